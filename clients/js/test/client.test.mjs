// The client against the fake hub, over three transports: its own plain socket, the `ws` package, and Node's
// WebSocket where Node has one. In a browser the transport is the same class of code as the last two.
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { after, afterEach, before, describe, it } from "node:test";
import WebSocket from "ws";

import { Client, TrefoilError, matches, nodeSocket, webSocket } from "../dist/node.js";
import { FakeHub } from "./fake-hub.mjs";
import { until } from "./waiting.mjs";

const transports = { "plain socket": nodeSocket, ws: webSocket(WebSocket) };
if (globalThis.WebSocket) transports["Node's WebSocket"] = webSocket();

for (const [name, transport] of Object.entries(transports)) {
  describe(`client over ${name}`, { timeout: 20_000 }, () => {
    let hub;
    const clients = [];
    const client = (options = {}) => {
      const made = new Client(hub.url, { transport, backoffMs: 20, ...options });
      clients.push(made);
      return made;
    };
    before(async () => (hub = await FakeHub.start()));
    after(() => hub.stop());
    afterEach(() => {
      for (const made of clients.splice(0)) made.close();
      hub.frames.length = 0;
      hub.retained.clear();
      hub.refuse = () => undefined;
      hub.mute = false;
      hub.requestBytesMax = Infinity;
    });

    it("publishes and receives text, JSON and bytes as they were", async () => {
      const all = Uint8Array.from({ length: 20_000 }, (_, i) => i * 7);
      const values = ["text", "12", "ünïcödé ☘", { a: [1, null, true] }, 4.5, null, false, all, ""];
      const hearer = client();
      const subscription = hearer.subscribe("t/+");
      await subscription.ready;
      for (const value of values) await client().publish("t/x", value, { qos: 1 });
      for (const value of values) {
        const { value: message } = await subscription.next();
        assert.equal(message.topic, "t/x");
        assert.deepEqual(message.data, value);
      }
    });

    it("carries the properties of a message", async () => {
      const hearer = client();
      const subscription = hearer.subscribe("t");
      await subscription.ready;
      const options = {
        contentType: "text/plain",
        responseTopic: "back",
        correlation: Uint8Array.of(0, 255, 3),
        expiry: 60,
        userProperties: [["a", "1"], ["a", "2"]],
      };
      await hearer.publish("t", "x", options);
      const { value: message } = await subscription.next();
      assert.deepEqual(message, { topic: "t", data: "x", qos: 0, retain: false, dup: false, ...options });
    });

    it("acknowledges a QoS 1 delivery after the handler's promise", async () => {
      const hearer = client();
      let finish;
      await hearer.subscribe("t", () => new Promise((resolve) => (finish = resolve)), { qos: 1 }).ready;
      await hearer.publish("t", 1, { qos: 1 });
      await until(() => finish);
      await hearer.ping();
      assert.equal(acks(hub).length, 0);
      finish();
      await until(() => acks(hub).length === 1);
    });

    it("acknowledges what an iterator took once the next is asked for", async () => {
      const hearer = client();
      const subscription = hearer.subscribe("t", { qos: 1 });
      await subscription.ready;
      await hearer.publish("t", 1, { qos: 1 });
      assert.equal((await subscription.next()).value.data, 1);
      await hearer.ping();
      assert.equal(acks(hub).length, 0);
      const next = subscription.next();
      await until(() => acks(hub).length === 1);
      await subscription.unsubscribe();
      assert.deepEqual(await next, { value: undefined, done: true });
    });

    it("acknowledges and reports when a handler throws", async () => {
      const hearer = client();
      const errors = [];
      hearer.on("error", (error) => errors.push(error));
      await hearer.subscribe("t", () => { throw new Error("broken handler"); }, { qos: 1 }).ready;
      await hearer.publish("t", 1, { qos: 1 });
      await until(() => acks(hub).length === 1);
      assert.equal(errors[0].code, "handler_failed");
      assert.match(errors[0].cause.message, /broken handler/);
    });

    it("leaves a for-await loop by unsubscribing", async () => {
      const hearer = client();
      hub.route("t", "1", { retain: true });
      for await (const message of hearer.subscribe("t")) {
        assert.equal(message.retain, true);
        break;
      }
      assert.deepEqual(hub.frames.at(-1).unsub, ["t"]);
    });

    it("drops the oldest of QoS 0 when an iterator does not keep up, and counts them", async () => {
      const hearer = client();
      const subscription = hearer.subscribe("t", { bufferMax: 3 });
      await subscription.ready;
      for (let i = 0; i < 10; i++) hub.route("t", String(i));
      await hearer.ping();
      assert.equal(subscription.dropped, 7);
      assert.equal((await subscription.next()).value.data, 7);
    });

    it("keeps a filter at the hub while another subscription uses it", async () => {
      const hearer = client();
      const one = hearer.subscribe(["a", "b"], () => {});
      const seen = [];
      const two = hearer.subscribe("a", (message) => seen.push(message.data));
      await Promise.all([one.ready, two.ready]);
      await one.unsubscribe();
      assert.deepEqual(hub.frames.at(-1).unsub, ["b"]);
      await hearer.publish("a", 5, { qos: 1 });
      assert.deepEqual(seen, [5]);
    });

    it("reconnects, subscribes again, and sends again what was not acknowledged", async () => {
      const hearer = client();
      const seen = [];
      const statuses = [];
      hearer.on("status", (status) => statuses.push(status));
      await hearer.subscribe("t", (message) => seen.push(message.data)).ready;
      hub.mute = true;
      const published = hearer.publish("t", "kept", { qos: 1 });
      await until(() => hub.frames.some((frame) => frame.pub));
      hub.mute = false;
      const reopened = new Promise((resolve) => hearer.on("open", resolve));
      hub.drop();
      assert.deepEqual(await reopened, { reconnected: true });
      await published;
      await until(() => seen.length === 1);
      assert.deepEqual(seen, ["kept"]);
      assert.deepEqual(statuses, ["open", "waiting", "connecting", "open"]);
    });

    it("queues in order while there is no connection, up to the bound", async () => {
      const away = client({ queueMax: 3 });
      const sent = [1, 2, 3].map((value) => away.publish("t", value, { qos: value % 2 }));
      await assert.rejects(away.publish("t", 4), { name: "TrefoilError", code: "queue_full" });
      await Promise.all(sent);
      await until(() => hub.frames.filter((frame) => frame.pub).length === 3);
      assert.deepEqual(hub.frames.filter((frame) => frame.pub).map((frame) => frame.data), [1, 2, 3]);
      await away.publish("t", 5);
    });

    it("rejects what no topic is, at any QoS and before it is sent", async () => {
      const here = client();
      await here.publish("no/topic", 1);
      for (const topic of ["", "a/#", "+/b", "nul\0"]) {
        await assert.rejects(here.publish(topic, 1), { name: "TrefoilError", code: "bad_topic", field: "pub" });
      }
      await here.publish("no/topic", 2);
      const published = () => hub.frames.filter((frame) => frame.pub === "no/topic").map((frame) => frame.data);
      await until(() => published().includes(2));
      assert.deepEqual(published(), [1, 2]);
    });

    it("bounds the queue in length too", async () => {
      const away = client({ queueBytesMax: 1000 });
      await assert.rejects(away.publish("t", "x".repeat(2000)), { code: "queue_full" });
      await away.publish("t", "x".repeat(100));
    });

    it("gives the hub's refusals to whoever asked", async () => {
      const asker = client();
      await assert.rejects(asker.publish("a/#", 1, { qos: 1 }), (error) => {
        assert.ok(error instanceof TrefoilError);
        assert.deepEqual([error.code, error.field], ["bad_topic", "pub"]);
        return true;
      });
      hub.refuse = (frame) => frame.sub && { code: "not_authorized", reason: "not yours" };
      const subscription = asker.subscribe("secret");
      await assert.rejects(subscription.ready, { code: "not_authorized" });
      await assert.rejects(subscription.next(), { code: "not_authorized" });
    });

    it("emits an error that belongs to nobody", async () => {
      const asker = client();
      hub.refuse = (frame) => frame.pub && { code: "not_authorized", reason: "not yours" };
      const error = new Promise((resolve) => asker.on("error", resolve));
      await asker.publish("secret", 1);
      assert.equal((await error).code, "not_authorized");
    });

    it("notices a silent hub and comes back", async () => {
      const patient = client({ pingIntervalMs: 40 });
      await new Promise((resolve) => patient.on("open", resolve));
      hub.mute = true;
      const { reason } = await new Promise((resolve) => patient.on("close", resolve));
      assert.match(reason, /silent/);
      hub.mute = false;
      await new Promise((resolve) => patient.on("open", resolve));
      assert.ok((await patient.ping()) >= 0);
    });

    it("gives up what is too large for the hub, and goes on with all else", async () => {
      hub.requestBytesMax = 1000;
      const talker = client();
      const subscription = client().subscribe("t");
      await subscription.ready;
      const results = [talker.publish("t", "x".repeat(2000), { qos: 1 }), talker.publish("t", "small", { qos: 1 })];
      await assert.rejects(results[0], { code: "too_large" });
      await results[1];
      assert.equal((await subscription.next()).value.data, "small");
    });

    it("backs off longer each time, with jitter, while nobody answers", async () => {
      const nobody = new Client("ws://127.0.0.1:9/ws", { transport, backoffMs: 10, backoffMaxMs: 40 });
      clients.push(nobody);
      const waits = [];
      nobody.on("close", ({ retryMs }) => waits.push(retryMs));
      await until(() => waits.length === 5);
      waits.forEach((wait, i) => {
        const whole = Math.min(40, 10 * 2 ** i);
        assert.ok(wait >= whole / 2 && wait <= whole, `attempt ${i} waits ${wait}`);
      });
    });

    it("gives up on an attempt that hangs", async () => {
      const hole = createServer(() => {}).listen(0, "127.0.0.1");
      await new Promise((resolve) => hole.on("listening", resolve));
      const stuck = new Client(`http://127.0.0.1:${hole.address().port}`, { transport, connectTimeoutMs: 50 });
      clients.push(stuck);
      const { reason } = await new Promise((resolve) => stuck.on("close", resolve));
      assert.match(reason, /in time/);
      stuck.close();
      hole.close();
    });

    it("ends everything on close", async () => {
      const ending = client();
      const subscription = ending.subscribe("t");
      await subscription.ready;
      hub.mute = true;
      const unanswered = ending.publish("t", 1, { qos: 1 });
      const next = subscription.next();
      ending.close();
      await assert.rejects(unanswered, { code: "closed" });
      assert.deepEqual(await next, { value: undefined, done: true });
      await assert.rejects(ending.publish("t", 1), { code: "closed" });
      await assert.rejects(ending.subscribe("t").ready, { code: "closed" });
      assert.equal(ending.status, "closed");
      await until(() => hub.clients.size === 0);
    });
  });
}

describe("filters", () => {
  for (const [filter, topic, expected] of [
    ["a/b", "a/b", true], ["a/b", "a", false], ["a", "a/b", false], ["+", "a", true], ["+", "a/b", false],
    ["a/+/c", "a/b/c", true], ["a/+", "a/", true], ["a/+", "a", false], ["#", "a/b", true], ["a/#", "a", true],
    ["a/#", "a/b/c", true], ["a/#", "ab", false], ["+/+", "/a", true], ["#", "$SYS/x", false], ["+/x", "$SYS/x", false],
    ["$SYS/#", "$SYS/x", true], ["$share/g/a/#", "a/b", true], ["$share/g/b", "a", false],
  ]) {
    it(`${filter} ${expected ? "takes" : "leaves"} ${topic}`, () => assert.equal(matches(filter, topic), expected));
  }
});

function acks(hub) {
  return hub.frames.filter((frame) => "ack" in frame);
}
