// The client against a real hub: the one at TREFOIL_URL, or one that is started here from the binary TREFOIL_BIN.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import WebSocket from "ws";

import { Client, eventStream, nodeSocket, polling, webSocket } from "../dist/node.js";
import { realHub } from "./real-hub.mjs";

let url;
let stop = async () => {};
const root = `js-client-test/${process.pid}`;

before(async () => {
  ({ url, stop } = await realHub());
}, { timeout: 20_000 });

after(() => stop());

/** By each way to the hub, as which kind of connection it counts them. */
const ways = {
  "plain socket": [nodeSocket, "json_ws"],
  ws: [webSocket(WebSocket), "json_ws"],
  "server-sent events": [eventStream(), "sse"],
  "long polling": [polling(), "poll"],
};

for (const [name, [transport, kind]] of Object.entries(ways)) {
  describe(`real hub over ${name}`, { timeout: 30_000 }, () => {
    const clients = [];
    const open = async (options) => {
      const client = new Client(url, { transport, ...options });
      clients.push(client);
      await new Promise((resolve, reject) => {
        client.on("open", resolve);
        client.on("close", ({ reason }) => reject(new Error(`no hub at ${client.url}: ${reason}`)));
      });
      return client;
    };
    // A client that stays open would keep this process alive, and a failed test closes nothing by itself.
    afterEach(() => {
      for (const client of clients.splice(0)) client.close();
    });

    it("carries text, JSON and bytes there and back at QoS 0 and 1", async () => {
      const client = await open();
      const values = ["text", "ünïcödé ☘", { a: [1, null, true] }, 4.5, null, Uint8Array.from([0, 255, 254, 128]), ""];
      for (const qos of [0, 1]) {
        const topic = `${root}/values/${name}/${qos}`;
        const subscription = client.subscribe(topic, { qos });
        assert.deepEqual(await subscription.ready, [qos]);
        for (const value of values) await client.publish(topic, value, { qos });
        for (const value of values) {
          const { value: message } = await subscription.next();
          assert.equal(message.qos, qos);
          assert.equal(message.retain, false);
          assert.deepEqual(message.data, value);
        }
        await subscription.unsubscribe();
      }
    });

    it("delivers a thousand messages in order, none lost, none twice, and acknowledges them", async () => {
      const [from, to] = [await open(), await open()];
      const topic = `${root}/many/${name}`;
      const subscription = to.subscribe(`${root}/many/+`, { qos: 1 });
      await subscription.ready;
      // In flights, since a publisher that never waits is told so by its queue.
      const publishing = (async () => {
        for (let flight = 0; flight < 10; flight++) {
          await Promise.all(Array.from({ length: 100 }, (_, i) => from.publish(topic, flight * 100 + i, { qos: 1 })));
        }
      })();
      for (let i = 0; i < 1000; i++) assert.equal((await subscription.next()).value.data, i);
      await publishing;
      await subscription.unsubscribe();
    });

    it("gets retained messages, unless it does not want them, and clears them", async () => {
      const client = await open();
      const topic = `${root}/retained/${name}`;
      await client.publish(topic, "kept", { qos: 1, retain: true });
      const without = client.subscribe(topic, () => assert.fail("nothing retained was wanted"), { retained: false });
      await without.ready;
      await client.ping();
      await without.unsubscribe();
      for await (const message of client.subscribe(topic)) {
        assert.equal(message.data, "kept");
        assert.equal(message.retain, true);
        break;
      }
      await client.publish(topic, undefined, { qos: 1, retain: true });
    });

    it("carries the properties of a message", async () => {
      const client = await open();
      const topic = `${root}/properties/${name}`;
      const subscription = client.subscribe(topic);
      await subscription.ready;
      const options = {
        contentType: "text/plain",
        responseTopic: `${root}/back`,
        correlation: Uint8Array.of(0, 255, 3),
        userProperties: [["a", "1"], ["a", "2"]],
      };
      await client.publish(topic, "x", options);
      const { value: message } = await subscription.next();
      for (const [key, value] of Object.entries(options)) assert.deepEqual(message[key], value);
    });

    it("hears its own messages only if it wants to", async () => {
      const client = await open();
      const topic = `${root}/local/${name}`;
      const subscription = client.subscribe(topic, () => assert.fail("its own message came back"), { noLocal: true });
      await subscription.ready;
      await client.publish(topic, "x", { qos: 1 });
      await client.ping();
    });

    it("says what is to happen if it is too slow", async () => {
      const client = await open();
      const topic = `${root}/slow/${name}`;
      const subscription = client.subscribe(topic, { slowReader: "latest_per_topic" });
      assert.deepEqual(await subscription.ready, [0]);
      await assert.rejects(client.subscribe(topic, { slowReader: "whatever" }).ready, { code: "bad_field", field: "slow_reader" });
      await client.publish(topic, 1);
      assert.equal((await subscription.next()).value.data, 1);
    });

    it("is told what is wrong with a request", async () => {
      const client = await open();
      await assert.rejects(client.publish(`${root}/#`, 1, { qos: 1 }), { code: "bad_topic" });
      await assert.rejects(client.subscribe("a/#/b").ready, { code: "bad_topic" });
      await assert.rejects(client.publish(`${root}/t`, 1, { qos: 7 }), { code: "bad_field", field: "qos" });
      assert.ok((await client.ping()) >= 0);
    });

    it("sees the hub's own figures", async () => {
      const client = await open();
      for await (const { data } of client.subscribe("$SYS/trefoil/stats")) {
        assert.ok(data.connections[kind] >= 1, JSON.stringify(data));
        for (const key of ["uptime_s", "sessions", "subscriptions", "retained", "messages_in", "messages_out", "dropped"]) {
          assert.equal(typeof data[key], "number", key);
        }
        break;
      }
    });
  });
}
