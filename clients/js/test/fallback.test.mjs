// What happens where no WebSocket comes about, or nothing comes through it.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import WebSocket from "ws";

import { Client, eventStream, polling, webSocket } from "../dist/node.js";
import { FakeHub } from "./fake-hub.mjs";
import { event, until } from "./waiting.mjs";

describe("fallback", { timeout: 30_000 }, () => {
  let hub;
  const clients = [];
  const client = (options = {}) => {
    const transport = [webSocket(WebSocket), eventStream(), polling()];
    const made = new Client(hub.url, { transport, backoffMs: 20, connectTimeoutMs: 2000, ...options });
    clients.push(made);
    return made;
  };
  const kinds = () => [...hub.clients].map(({ kind }) => kind);
  before(async () => (hub = await FakeHub.start()));
  after(() => hub.stop());
  afterEach(async () => {
    for (const made of clients.splice(0)) made.close();
    await until(() => hub.clients.size === 0);
    hub.blocked = hub.channels.collects = hub.mute = false;
    hub.channels.lose = 0;
    hub.logs.clear();
    for (const name of Object.keys(hub.channels.counts)) hub.channels.counts[name] = 0;
  });

  it("is not needed where a WebSocket comes about", async () => {
    await client().publish("t", 1, { qos: 1 });
    assert.deepEqual([kinds(), hub.channels.counts.open], [["websocket"], 0]);
  });

  it("takes server-sent events where a WebSocket is refused, and stays with them", async () => {
    hub.blocked = true;
    const one = client();
    const subscription = one.subscribe("t");
    await subscription.ready;
    await one.publish("t", "x");
    assert.equal((await subscription.next()).value.data, "x");
    assert.deepEqual(kinds(), ["sse"]);
    const attempts = hub.channels.counts.open;
    hub.drop();
    await until(() => hub.channels.counts.open === attempts + 1);
    await one.publish("t", "y", { qos: 1 });
    assert.deepEqual(kinds(), ["sse"]);
  });

  it("takes them where a WebSocket opens and nothing comes through it", async () => {
    hub.blocked = "hang";
    const one = client({ connectTimeoutMs: 200 });
    await one.publish("t", 1, { qos: 1 });
    assert.ok(kinds().includes("sse"));
  });

  it("polls where a proxy collects the events", async () => {
    hub.blocked = hub.channels.collects = true;
    const one = client({ connectTimeoutMs: 300 });
    await one.publish("t", 1, { qos: 1 });
    assert.deepEqual([kinds(), hub.channels.counts.stream > 0], [["poll"], true]);
  });

  it("goes back to a WebSocket when that works again, and misses nothing", async () => {
    hub.blocked = true;
    const one = client({ upgradeIntervalMs: 30 });
    const seen = [];
    await one.subscribe("h/a", ({ data }) => seen.push(data)).ready;
    hub.route("h/a", "1");
    await until(() => seen.length === 1);
    const opened = event(one, "open");
    hub.blocked = false;
    hub.route("h/a", "2");
    await opened;
    hub.route("h/a", "3");
    await until(() => seen.length === 3 && kinds().join() === "websocket");
    assert.deepEqual(seen, [1, 2, 3]);
    assert.deepEqual(hub.channels.counts.close, 1);
  });

  it("waits for what is asked before it goes back", async () => {
    hub.blocked = true;
    const one = client({ upgradeIntervalMs: 20 });
    const responder = client({ upgradeIntervalMs: 60_000 });
    let answer;
    await responder.respond("slow", () => new Promise((resolve) => (answer = resolve))).ready;
    const asked = one.request("slow");
    await until(() => answer);
    hub.blocked = false;
    // Probes come and go meanwhile.
    const before = hub.raw.filter((text) => text === '{"ping":0}').length;
    await until(() => hub.raw.filter((text) => text === '{"ping":0}').length >= before + 3);
    assert.ok(!kinds().includes("websocket") || one.status === "open");
    answer("done");
    assert.equal((await asked).data, "done");
    await event(one, "open");
  });

  it("keeps to the WebSocket that worked while a hub restarts", async () => {
    const one = client();
    await event(one, "open");
    await one.ping();
    hub.blocked = true;
    const closes = [];
    one.on("close", ({ retryMs }) => closes.push(retryMs));
    hub.drop();
    await until(() => closes.length === 3);
    assert.equal(hub.channels.counts.open, 0);
    await until(() => hub.channels.counts.open > 0);
    hub.blocked = false;
  });

  it("waits longer after each round of all ways", async () => {
    const transport = [webSocket(WebSocket), eventStream(), polling()];
    const nobody = new Client("ws://127.0.0.1:9/ws", { transport, backoffMs: 10 });
    clients.push(nobody);
    const waits = [];
    nobody.on("close", ({ retryMs }) => waits.push(retryMs));
    await until(() => waits.length === 9);
    [10, 10, 10, 10, 10, 20, 10, 10, 40].forEach((whole, i) => {
      assert.ok(waits[i] >= whole / 2 && waits[i] <= whole, `${waits}`);
    });
  });

  for (const [name, transport] of [["server-sent events", eventStream()], ["long polling", polling()]]) {
    it(`loses no answer that is lost on the way, with ${name}`, async () => {
      const one = client({ transport });
      const seen = [];
      await one.subscribe("t", ({ data }) => seen.push(data)).ready;
      hub.channels.lose = 2;
      for (let i = 0; i < 5; i++) hub.route("t", `${i}`);
      await until(() => seen.length === 5);
      assert.deepEqual(seen, [0, 1, 2, 3, 4]);
      assert.deepEqual([hub.channels.lose, hub.channels.counts.open], [0, 1]);
    });

    it(`opens another channel when the hub has ended one, with ${name}`, async () => {
      const one = client({ transport });
      await event(one, "open");
      await one.ping();
      const closed = event(one, "close");
      const opened = event(one, "open");
      hub.drop();
      await closed;
      await opened;
      await one.publish("t", 1, { qos: 1 });
      assert.equal(hub.channels.counts.open, 2);
    });

    it(`sends in order, one request at a time, what is sent meanwhile together, with ${name}`, async () => {
      const one = client({ transport });
      await event(one, "open");
      hub.frames.length = hub.channels.counts.send = 0;
      await Promise.all(Array.from({ length: 300 }, (_, i) => one.publish("t", i, { qos: i % 2 })));
      assert.deepEqual(hub.frames.filter((frame) => frame.pub).map(({ data }) => data), Array.from({ length: 300 }, (_, i) => i));
      assert.ok(hub.channels.counts.send <= 3, `${hub.channels.counts.send}`);
    });

    it(`sends what was published before it was closed, with ${name}`, async () => {
      const one = client({ transport });
      await event(one, "open");
      await one.ping();
      hub.frames.length = 0;
      void one.publish("t", "last");
      one.close();
      await until(() => hub.channels.counts.close === 1);
      assert.equal(hub.frames.at(-1).data, "last");
    });
  }
});
