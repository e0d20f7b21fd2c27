// Requests, frames, sign-in and resume against a real hub, which is started from the binary TREFOIL_BIN.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import WebSocket from "ws";

import { Client, eventStream, nodeSocket, polling, webSocket } from "../dist/node.js";
import { startHub } from "./real-hub.mjs";
import { event, until } from "./waiting.mjs";

const SETTINGS = `
[[history]]
filter = "kept/#"
messages = 3
`;

const ways = {
  "a plain socket": nodeSocket,
  ws: webSocket(WebSocket),
  "server-sent events": eventStream(),
  "long polling": polling(),
};

let hub;
before(async () => (hub = await startHub(process.env.TREFOIL_BIN, { settings: SETTINGS })), { timeout: 20_000 });
after(() => hub.stop());

for (const [name, transport] of Object.entries(ways)) {
  describe(`a real hub over ${name}`, { timeout: 30_000 }, () => {
    const root = name.replaceAll(" ", "-");
    const clients = [];
    const client = (options = {}) => {
      const made = new Client(hub.url, { transport, backoffMs: 20, ...options });
      clients.push(made);
      made.on("error", ({ code }) => (made.errors ??= []).push(code));
      return made;
    };
    afterEach(() => {
      for (const made of clients.splice(0)) made.close();
    });

    it("gives up what is too large, and goes on with all else", async () => {
      const one = client();
      const subscription = one.subscribe(`${root}/large`, { qos: 1 });
      await subscription.ready;
      const large = one.publish(`${root}/large`, "y".repeat(2_000_000), { qos: 1 });
      const small = one.publish(`${root}/large`, "small", { qos: 1 });
      await assert.rejects(large, { code: "too_large" });
      await small;
      assert.equal((await subscription.next()).value.data, "small");
    });

    // A channel is not told why it has ended.
    if (transport === nodeSocket || name === "ws") {
      it("comes back slowly where another client has its id", async () => {
        const [first, second] = [0, 1].map(() => client({ clientId: `${root}-tab` }));
        const { code, retryMs } = await Promise.race([event(first, "close"), event(second, "close")]);
        assert.equal(code, 1008);
        assert.ok(retryMs >= 20 * 2 ** 6 / 2, `${retryMs}`);
      });
    }

    it("says hello, and takes and gives batches and bytes", async () => {
      const one = client({ clientId: `${root}-ann`, info: { name: "Ann" }, batch: true, binary: true });
      const hello = await event(one, "hello");
      assert.deepEqual([hello.version, hello.client, typeof hello.connection], [1, `${root}-ann`, "string"]);
      assert.ok(hello.limits.request_bytes_max > 0);
      const subscription = one.subscribe(`${root}/#`, { qos: 1 });
      await subscription.ready;
      const bytes = Uint8Array.from({ length: 70_000 }, (_, i) => i * 7);
      const values = Array.from({ length: 300 }, (_, i) => (i % 3 ? i : Uint8Array.of(255, i)));
      values.push(bytes, "x".repeat(100_000));
      await Promise.all(values.map((value) => one.publish(`${root}/values`, value, { qos: 1 })));
      for (const value of values) assert.deepEqual((await subscription.next()).value.data, value);
      assert.equal(one.errors, undefined);
    });

    it("asks and answers", async () => {
      const [asker, server] = [client(), client({ binary: true })];
      await server.respond(`${root}/add`, ({ data: [a, b] }) => a + b).ready;
      await server.respond(`${root}/bytes`, async ({ data }) => Uint8Array.of(255, ...data)).ready;
      await server.respond(`${root}/broken`, () => { throw new Error("broken"); }).ready;
      assert.equal((await asker.request(`${root}/add`, [1, 2])).data, 3);
      const { data } = await asker.request(`${root}/bytes`, Uint8Array.of(254, 0), { contentType: "a/b" });
      assert.deepEqual(data, Uint8Array.of(255, 254, 0));
      await assert.rejects(asker.request(`${root}/nobody`), { code: "no_responder" });
      await assert.rejects(asker.request(`${root}/broken`, 1, { timeoutS: 1 }), { code: "timeout" });
      const many = await Promise.all(Array.from({ length: 200 }, (_, i) => asker.request(`${root}/add`, [i, i])));
      assert.deepEqual(many.map((answer) => answer.data), Array.from({ length: 200 }, (_, i) => 2 * i));
    });

    it("is told of a gap when it was away for longer than the hub remembers", async () => {
      const [one, other] = [client(), client()];
      const topic = `kept/${root}`;
      const first = one.subscribe(topic, { history: 10 });
      await first.ready;
      await other.publish(topic, 1, { qos: 1 });
      assert.equal((await first.next()).value.data, 1);
      const { since } = first;
      await first.unsubscribe();
      for (const data of [2, 3, 4]) await other.publish(topic, data, { qos: 1 });
      const second = one.subscribe(topic, { since });
      for (const data of [2, 3, 4]) assert.equal((await second.next()).value.data, data);
      await second.unsubscribe();
      for (const data of [5, 6, 7]) await other.publish(topic, data, { qos: 1 });
      const gaps = [];
      one.on("gap", (gap) => gaps.push(gap));
      const third = one.subscribe(topic, { since });
      for (const data of [5, 6, 7]) assert.equal((await third.next()).value.data, data);
      await until(() => gaps.length === 2);
      assert.deepEqual(gaps.map((gap) => gap.topic).sort(), [topic, undefined]);
      const last = one.subscribe(`kept/+`, { history: 2 });
      assert.ok(await last.ready);
    });
  });

  describe(`a real hub that knows users, over ${name}`, { timeout: 30_000 }, () => {
    let guarded;
    const clients = [];
    const client = (auth, options = {}) => {
      const made = new Client(guarded.url, { transport, backoffMs: 20, auth, ...options });
      clients.push(made);
      return made;
    };
    before(async () => (guarded = await startHub(process.env.TREFOIL_BIN, { users: { ann: "secret" } })), { timeout: 20_000 });
    after(() => guarded.stop());
    afterEach(() => {
      for (const made of clients.splice(0)) made.close();
    });

    it("signs in, renews that, and is refused with a wrong password", async () => {
      const ann = client(() => ({ user: "ann", password: "secret" }), { authRefreshMs: 30, clientId: "ann-1" });
      const errors = [];
      ann.on("error", (error) => errors.push(error));
      const subscription = ann.subscribe("t");
      await subscription.ready;
      let frames = 0;
      while (frames++ < 20) await ann.publish("t", frames, { qos: 1 });
      assert.equal((await subscription.next()).value.data, 1);
      const wrong = client({ user: "ann", password: "wrong" });
      await assert.rejects(wrong.publish("t", 1), { code: "not_authorized" });
      assert.equal(wrong.status, "closed");
      assert.deepEqual(errors, []);
    });
  });
}
