// What goes beyond publish and subscribe, against the fake hub and over every way to it: resume, requests, presence,
// sign-in, batches and bytes.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import WebSocket from "ws";

import { Client, eventStream, nodeSocket, polling, webSocket } from "../dist/node.js";
import { FakeHub } from "./fake-hub.mjs";
import { event, until } from "./waiting.mjs";

const ways = {
  "plain socket": nodeSocket,
  ws: webSocket(WebSocket),
  "server-sent events": eventStream(),
  "long polling": polling(),
};

for (const [name, transport] of Object.entries(ways)) {
  const isSocket = name === "plain socket" || name === "ws";
  describe(`over ${name}`, { timeout: 30_000 }, () => {
    let hub;
    const clients = [];
    const client = (options = {}) => {
      const made = new Client(hub.url, { transport, backoffMs: 20, ...options });
      clients.push(made);
      return made;
    };
    before(async () => (hub = await FakeHub.start()));
    after(() => hub.stop());
    afterEach(async () => {
      for (const made of clients.splice(0)) made.close();
      await until(() => hub.clients.size === 0);
      hub.frames.length = hub.raw.length = 0;
      hub.logs.clear();
      hub.retained.clear();
      hub.users.clear();
      hub.refuse = () => undefined;
      hub.mute = hub.old = false;
    });

    it("carries text, JSON and bytes there and back, in order", async () => {
      const one = client();
      const values = ["text", { a: [1, null] }, Uint8Array.of(0, 255), "ünïcödé ☘\n\n", 4.5, ""];
      const subscription = one.subscribe("t", { qos: 1 });
      await subscription.ready;
      await Promise.all(values.map((value, i) => one.publish("t", value, { qos: i % 2 })));
      for (const value of values) assert.deepEqual((await subscription.next()).value.data, value);
    });

    describe("resume", () => {
      const cut = async (one) => {
        const opened = event(one, "open");
        const closed = event(one, "close");
        hub.drop();
        await closed;
        return opened;
      };

      it("goes on where it was, without what came before and with what came meanwhile", async () => {
        const one = client({ backoffMs: 100 });
        const seen = [];
        const subscription = one.subscribe(["h/+", "news"], (message) => seen.push([message.topic, message.data, message.offset]));
        await subscription.ready;
        hub.route("h/a", "1");
        hub.route("h/a", "2");
        await until(() => seen.length === 2);
        const opened = cut(one);
        await event(one, "close");
        hub.route("h/a", "3");
        hub.route("h/b", "4");
        await opened;
        await until(() => seen.length === 4);
        hub.route("h/a", "5");
        await until(() => seen.length === 5);
        assert.deepEqual(seen, [["h/a", 1, 1], ["h/a", 2, 2], ["h/a", 3, 3], ["h/b", 4, 1], ["h/a", 5, 4]]);
        const { since, retained } = hub.frames.findLast((frame) => frame.sub);
        assert.deepEqual(Object.keys(since.topics), ["h/a"]);
        assert.equal(typeof since.time, "number");
        assert.equal(retained, undefined);
        assert.equal(subscription.since.topics["h/b"].offset, 1);
      });

      it("keeps subscriptions apart that share topics", async () => {
        const one = client();
        const all = [];
        const some = [];
        await one.subscribe("h/#", ({ data }) => all.push(data)).ready;
        hub.route("h/a", "1");
        hub.route("h/a", "2");
        await until(() => all.length === 2);
        await one.subscribe("h/a", ({ data }) => some.push(data), { history: 1 }).ready;
        await until(() => some.length === 1);
        await cut(one);
        hub.route("h/a", "3");
        await until(() => some.length === 2);
        assert.deepEqual([all, some], [[1, 2, 3], [2, 3]]);
        assert.equal(hub.frames.filter((frame) => frame.sub && frame.since).length, 2);
      });

      it("tells of a gap, by the answer and by topic", async () => {
        const one = client({ backoffMs: 100 });
        const gaps = [];
        one.on("gap", (gap) => gaps.push(gap));
        const subscription = one.subscribe("h/#");
        const own = [];
        subscription.on("gap", (gap) => own.push(gap));
        await subscription.ready;
        hub.route("h/a", "1");
        assert.equal((await subscription.next()).value.data, 1);
        const opened = cut(one);
        await event(one, "close");
        hub.route("h/a", "2");
        hub.forget("h/a");
        hub.route("h/a", "3");
        await opened;
        assert.equal((await subscription.next()).value.data, 3);
        await until(() => gaps.length === 2);
        const [first, second] = gaps;
        assert.deepEqual(first, { topic: "h/a", epoch: hub.logs.get("h/a").epoch, offset: 3, filters: ["h/#"] });
        assert.deepEqual(second, { filters: ["h/#"] });
        assert.deepEqual(own, gaps);
      });

      it("takes a new life of a history for what it is", async () => {
        const one = client();
        const subscription = one.subscribe("h/#");
        await subscription.ready;
        hub.route("h/a", "1");
        hub.route("h/a", "2");
        for (const data of [1, 2]) assert.equal((await subscription.next()).value.data, data);
        await cut(one);
        hub.logs.set("h/a", { epoch: "ffffffffffff", last: 0, kept: [] });
        hub.route("h/a", "3");
        const { value } = await subscription.next();
        assert.deepEqual([value.data, value.offset, value.epoch], [3, 1, "ffffffffffff"]);
      });

      it("passes over what a topic keeps beside its history, and no other", async () => {
        const one = client();
        const seen = [];
        await one.subscribe("#", ({ data, retain }) => seen.push([data, retain])).ready;
        hub.route("h/a", "1", { retain: true });
        hub.route("state", "2", { retain: true });
        await until(() => seen.length === 2);
        await cut(one);
        hub.route("h/a", "3");
        await until(() => seen.length === 4);
        assert.deepEqual(seen.slice(2).sort(), [[2, true], [3, false]]);
      });

      it("takes a page's own since, and history", async () => {
        const one = client();
        for (const data of [1, 2, 3]) hub.route("h/a", `${data}`);
        const { epoch } = hub.logs.get("h/a");
        const behind = one.subscribe("h/a", { since: { topics: { "h/a": { epoch, offset: 1 } } }, history: 1 });
        for (const data of [2, 3]) assert.equal((await behind.next()).value.data, data);
        await behind.unsubscribe();
        const last = one.subscribe("h/a", { history: 2, since: undefined });
        for (const data of [2, 3]) assert.equal((await last.next()).value.data, data);
        assert.equal(hub.frames.findLast((frame) => frame.sub).history, 2);
        const { since } = last;
        await last.unsubscribe();
        hub.route("h/a", "4");
        const again = one.subscribe("h/a", { history: 2, since });
        assert.equal((await again.next()).value.data, 4);
      });

      it("names no more topics than the hub takes, and still has nothing twice", async () => {
        const one = client({ queueMax: 3000 });
        const seen = new Map();
        await one.subscribe("h/#", ({ topic }) => seen.set(topic, (seen.get(topic) ?? 0) + 1)).ready;
        for (let i = 0; i < 1500; i++) hub.route(`h/${i}`, "1");
        await until(() => seen.size === 1500);
        await cut(one);
        hub.route("h/last", "1");
        await until(() => seen.has("h/last"));
        assert.deepEqual(new Set(seen.values()), new Set([1]));
        const { topics } = hub.frames.findLast((frame) => frame.sub).since;
        assert.equal(Object.keys(topics).length, 1024);
        assert.ok(topics["h/1499"] && !topics["h/0"]);
      });

      it("subscribes as at first where the hub keeps nothing", async () => {
        const one = client();
        await one.subscribe("t", () => {}, { history: 5 }).ready;
        hub.refuse = (frame) => frame.sub && { code: "not_authorized", reason: "" };
        assert.equal(hub.frames.find((frame) => frame.sub).history, 5);
        assert.equal(one.subscribe("x").since, undefined);
      });
    });

    describe("requests", () => {
      it("are answered by whoever responds", async () => {
        const [asker, server] = [client(), client()];
        await server.respond("svc/add", ({ data: [a, b] }) => a + b).ready;
        await server.respond("svc/bytes", async ({ data, contentType }) => Uint8Array.of(...data, contentType.length)).ready;
        const { data } = await asker.request("svc/add", [1, 2]);
        assert.equal(data, 3);
        const answer = await asker.request("svc/bytes", Uint8Array.of(9, 255), { contentType: "a/b", timeoutS: 5 });
        assert.deepEqual(answer, { data: Uint8Array.of(9, 255, 3) });
        assert.equal(hub.frames.findLast((frame) => frame.req).timeout_s, 5);
      });

      it("say why there is no answer", async () => {
        const [asker, server] = [client(), client()];
        await assert.rejects(asker.request("nobody"), { code: "no_responder" });
        const errors = [];
        server.on("error", (error) => errors.push(error.code));
        await server.respond("svc", () => { throw new Error("broken"); }).ready;
        await assert.rejects(asker.request("svc", 1, { timeoutS: 0.05 }), { code: "timeout" });
        assert.deepEqual(errors, ["handler_failed"]);
        hub.mute = true;
        const lost = asker.request("svc", 1);
        await until(() => hub.frames.some((frame) => frame.timeout_s === 10 && frame.req === "svc" && frame.id > 2));
        hub.drop();
        await assert.rejects(lost, { code: "disconnected" });
      });

      it("wait for a connection, but not for ever", async () => {
        hub.mute = true;
        const asker = client({ auth: { user: "u", password: "p" } });
        await assert.rejects(asker.request("svc", 1, { timeoutS: -0.9 }), { code: "timeout" });
        hub.mute = false;
        const other = client();
        await assert.rejects(other.request("nobody"), { code: "no_responder" });
      });
    });

    describe("presence", () => {
      it("is asked for", async () => {
        const one = client({ clientId: "ann", info: { name: "Ann" } });
        await one.subscribe("room").ready;
        const { count, clients: [ann], ...rest } = await client().presence("room");
        assert.deepEqual([count, ann.client, ann.info, typeof ann.connection, rest], [1, "ann", { name: "Ann" }, "string", {}]);
      });

      it("is followed, also over a break", async () => {
        const ann = client({ clientId: "ann" });
        const events = [];
        const room = ann.subscribe("room", () => {}, { presence: true });
        for (const type of ["join", "leave", "presence"]) room.on(type, ({ client, count }) => events.push([type, client, count]));
        await until(() => room.count === 1);
        assert.deepEqual([...room.presence.keys()], ["ann"]);
        const bob = client({ clientId: "bob", info: "Bob" });
        await bob.subscribe("room").ready;
        await until(() => room.presence.has("bob"));
        assert.equal(room.presence.get("bob").info, "Bob");
        bob.close();
        await until(() => room.count === 1);
        assert.deepEqual([...room.presence.keys()], ["ann"]);
        assert.deepEqual(events, [["presence", undefined, 1], ["join", "bob", 2], ["leave", "bob", 1]]);
        const again = event(room, "presence");
        hub.drop();
        assert.deepEqual(await again, { topic: "room", count: 1 });
      });

      it("keeps who comes again before the old connection is gone, and counts a crowd", async () => {
        const ann = client({ clientId: "ann" });
        const room = ann.subscribe("room", () => {}, { presence: true });
        await until(() => room.count === 1);
        const tell = (frame) => [...hub.clients][0].send(frame);
        tell({ join: "room", client: "bob", connection: "1", kind: "tcp", count: 2 });
        tell({ join: "room", client: "bob", connection: "2", kind: "tcp", count: 3 });
        tell({ leave: "room", client: "bob", connection: "1", kind: "tcp", count: 2 });
        await until(() => room.count === 2 && room.presence.size === 2);
        assert.equal(room.presence.get("bob").connection, "2");
        tell({ presence: "room", count: 1234 });
        await until(() => room.count === 1234);
        assert.equal(room.presence.size, 0);
      });
    });

    describe("sign-in", () => {
      it("comes first on every connection, and asks a function each time", async () => {
        hub.users.set("ann", "1");
        let asked = 0;
        const one = client({ auth: async () => ({ user: "ann", password: `${++asked && 1}` }) });
        await one.subscribe("t").ready;
        await one.publish("t", 1, { qos: 1 });
        assert.deepEqual(Object.keys(hub.frames[0]), ["auth", "id"]);
        const opened = event(one, "open");
        hub.drop();
        await opened;
        assert.equal(asked, 2);
      });

      it("is renewed when the hub says not_authorized, and what was refused is sent again", async () => {
        hub.users.set("ann", "1");
        const one = client({ auth: () => ({ user: "ann", password: "1" }) });
        await event(one, "open");
        hub.expire();
        await Promise.all([one.publish("t", 1, { qos: 1 }), one.subscribe("t").ready, one.presence("t")]);
        assert.equal(hub.frames.filter((frame) => frame.auth).length, 2);
        // What stays forbidden is refused after one more attempt.
        hub.refuse = (frame) => frame.sub === "secret" || frame.sub?.[0] === "secret" ? { code: "not_authorized", reason: "no" } : undefined;
        await assert.rejects(one.subscribe("secret").ready, { code: "not_authorized" });
        assert.equal(hub.frames.filter((frame) => frame.sub?.[0] === "secret").length, 2);
      });

      it("is renewed in time", async () => {
        hub.users.set("ann", "1");
        client({ auth: () => ({ user: "ann", password: "1" }), authRefreshMs: 20 });
        await until(() => hub.frames.filter((frame) => frame.auth).length === 4);
      });

      it("is final when fixed words are refused, and tried anew when a function gives others", async () => {
        hub.users.set("ann", "1");
        const wrong = client({ auth: { user: "ann", password: "2" } });
        const waiting = wrong.publish("t", 1);
        const { ready } = wrong.subscribe("t");
        await assert.rejects(waiting, { code: "not_authorized" });
        await assert.rejects(ready, { code: "not_authorized" });
        assert.equal(wrong.status, "closed");
        let password = 0;
        const errors = [];
        const right = client({ auth: () => { if (!password++) throw new Error("no token"); return { user: "ann", password: `${3 - password}` }; } });
        right.on("error", ({ code }) => errors.push(code));
        await event(right, "open");
        assert.deepEqual(errors, ["auth_failed"]);
      });
    });

    describe("frames", () => {
      it("are joined when the hub has said that it takes that", async () => {
        const one = client({ batch: true });
        const { limits, version } = await event(one, "hello");
        assert.equal(version, 1);
        assert.equal(limits.request_bytes_max, 1 << 20);
        await one.ping();
        hub.raw.length = 0;
        const subscription = one.subscribe("t");
        const published = Promise.all(Array.from({ length: 100 }, (_, i) => one.publish("t", i, { qos: 1 })));
        for (let i = 0; i < 100; i++) assert.equal((await subscription.next()).value.data, i);
        await published;
        assert.equal(hub.raw.length, 1);
        assert.equal(JSON.parse(hub.raw[0]).length, 101);
        // No array is longer than the hub takes, and none of them large.
        const many = Promise.all(Array.from({ length: 900 }, () => one.publish("u", "x".repeat(200), { qos: 1 })));
        await many;
        const arrays = hub.raw.slice(1);
        assert.ok(arrays.length >= 3 && arrays.every((text) => text.length <= 65_540), `${arrays.length}`);
      });

      if (isSocket) {
        it("may come as arrays", async () => {
          const one = client({ batch: true });
          await event(one, "hello");
          const seen = [];
          await one.subscribe("t", ({ data }) => seen.push(data)).ready;
          [...hub.clients][0].send([{ topic: "t", data: 1 }, { topic: "t", data: 2 }]);
          await until(() => seen.length === 2);
        });

        it("are as ever with a hub that knows no hello", async () => {
          hub.old = true;
          const plain = client();
          await plain.publish("t", 1, { qos: 1 });
          assert.ok(!hub.frames.some((frame) => frame.hello));
          const wishes = client({ batch: true, binary: true, clientId: "ann" });
          const errors = [];
          wishes.on("error", ({ code }) => errors.push(code));
          await Promise.all([wishes.publish("t", Uint8Array.of(1), { qos: 1 }), wishes.publish("t", 2, { qos: 1 })]);
          assert.deepEqual(errors, ["unknown_operation"]);
          await Promise.all([wishes.publish("t", 3, { qos: 1 }), wishes.publish("t", 4, { qos: 1 })]);
        });
      }

      it("carry bytes as they are where they can", async () => {
        const one = client({ binary: true });
        await event(one, "hello");
        const bytes = Uint8Array.from({ length: 70_000 }, (_, i) => i * 7);
        const subscription = one.subscribe("t", { qos: 1 });
        await subscription.ready;
        await one.publish("t", bytes, { qos: 1, contentType: "ö/x" });
        const { value } = await subscription.next();
        assert.deepEqual([value.data, value.contentType, value.qos], [bytes, "ö/x", 1]);
        assert.equal(hub.raw.filter((raw) => typeof raw !== "string").length, isSocket ? 1 : 0);
        // What the header has no room for goes as text.
        await one.publish("t", bytes, { qos: 1, userProperties: [["k", "x".repeat(65_530)]] });
        assert.deepEqual((await subscription.next()).value.data, bytes);
        assert.equal(hub.raw.filter((raw) => typeof raw !== "string").length, isSocket ? 1 : 0);
      });
    });
  });
}
