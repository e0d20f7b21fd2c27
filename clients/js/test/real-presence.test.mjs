// Who is on a topic, against a real hub, which is started from the binary TREFOIL_BIN.
import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, afterEach, before, describe, it } from "node:test";
import WebSocket from "ws";

import { Client, eventStream, nodeSocket, polling, webSocket } from "../dist/node.js";
import { startHub } from "./real-hub.mjs";
import { event, until } from "./waiting.mjs";

const ways = {
  "a plain socket": [nodeSocket, "websocket"],
  ws: [webSocket(WebSocket), "websocket"],
  "server-sent events": [eventStream(), "sse"],
  "long polling": [polling(), "poll"],
};

let hub;
before(async () => (hub = await startHub(process.env.TREFOIL_BIN)), { timeout: 20_000 });
after(() => hub.stop());

for (const [name, [transport, kind]] of Object.entries(ways)) {
  describe(`presence over ${name}`, { timeout: 30_000 }, () => {
    const topic = `room/${name.replaceAll(" ", "-")}`;
    const clients = [];
    const client = (options = {}) => {
      const made = new Client(hub.url, { transport, backoffMs: 20, ...options });
      clients.push(made);
      return made;
    };
    afterEach(() => {
      for (const made of clients.splice(0)) made.close();
    });

    it("is asked for and followed, with clients of other kinds", async () => {
      const ann = client({ clientId: `ann of ${topic}`, info: { name: "Ann" } });
      const room = ann.subscribe(topic, () => {}, { presence: true });
      await until(() => room.count === 1);
      assert.deepEqual(room.presence.get(`ann of ${topic}`).info, { name: "Ann" });
      assert.equal(room.presence.get(`ann of ${topic}`).kind, kind);
      const joined = event(room, "join");
      const line = connect(hub.port, "127.0.0.1");
      line.write(`{"sub":"${topic}"}\n`);
      const { client: bob, count } = await joined;
      assert.deepEqual([count, room.presence.get(bob).kind], [2, "tcp"]);
      const list = await client().presence(topic);
      assert.deepEqual([list.count, list.clients.map((one) => one.kind).sort()], [2, [kind, "tcp"].sort()]);
      const left = event(room, "leave");
      line.resetAndDestroy();
      const gone = await left;
      assert.deepEqual([gone.client, gone.count, room.presence.size], [bob, 1, 1]);
      await assert.rejects(ann.subscribe(`${topic}/+`, () => {}, { presence: true }).ready, { code: "bad_field" });
    });

    it("is kept while another subscription shares the topic", async () => {
      const ann = client();
      const room = ann.subscribe(topic, () => {}, { presence: true });
      await until(() => room.count === 1);
      const plain = ann.subscribe(topic);
      await plain.ready;
      const bob = client();
      await bob.subscribe(topic).ready;
      await until(() => room.count === 2);
      await plain.unsubscribe();
      bob.close();
      await until(() => room.count === 1);
    });
  });
}
