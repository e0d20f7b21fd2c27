// Readers whose connections break at random points, again and again, while messages flow: no gap, no duplicate, in order.
// TREFOIL_CUTS says how often each of them is cut, TREFOIL_SEAM_SEED where.
import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import { after, afterEach, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import WebSocket from "ws";

import { Client, eventStream, nodeSocket, polling, webSocket } from "../dist/node.js";
import { startHub } from "./real-hub.mjs";
import { until } from "./waiting.mjs";

const CUTS = Number(process.env.TREFOIL_CUTS ?? 100);
const SEED = Number(process.env.TREFOIL_SEAM_SEED ?? Date.now() % 2 ** 31);
const TOPICS = 8;

/** Messages on the way at one time, so that the history always has what is missing. */
const AHEAD = 2000;

const HISTORY = `
[[history]]
filter = "seam/#"
messages = 100000
bytes = 64000000
`;

describe(`the seam of history and live, ${CUTS} cuts, seed ${SEED}`, { timeout: 60_000 + CUTS * 1000 }, () => {
  let hub;
  let proxy;
  const clients = [];
  before(async () => {
    hub = await startHub(process.env.TREFOIL_BIN, { settings: HISTORY });
    proxy = await cutter(hub.port);
  });
  after(async () => {
    proxy.close();
    await hub.stop();
  });
  afterEach(() => {
    for (const client of clients.splice(0)) client.close();
  });

  for (const [name, transport, options] of [
    ["a plain socket", nodeSocket, {}],
    ["ws", webSocket(WebSocket), { qos: 1 }],
    ["server-sent events", eventStream(), {}],
    ["long polling", polling(), { qos: 1 }],
  ]) {
    it(`holds over ${name}`, async () => {
      const root = `seam/${name.replaceAll(" ", "-")}`;
      const writer = new Client(hub.url, { transport: nodeSocket });
      const reader = new Client(`http://127.0.0.1:${proxy.port}`, { transport, backoffMs: 1, backoffMaxMs: 4 });
      clients.push(writer, reader);
      const gaps = [];
      reader.on("gap", (gap) => gaps.push(gap));
      const next = new Map();
      let received = 0;
      const subscription = reader.subscribe(`${root}/#`, ({ topic, data }) => {
        const wanted = next.get(topic) ?? 0;
        assert.equal(data, wanted, `${topic}, after ${proxy.cuts} cuts`);
        next.set(topic, wanted + 1);
        received++;
      }, options);
      const errors = [];
      for (const client of clients) client.on("error", (error) => errors.push(error));
      await subscription.ready;
      proxy.cuts = 0;
      proxy.begin();
      let sent = 0;
      while (proxy.cuts < CUTS && !errors.length) {
        const flight = [];
        for (let i = 0; i < 100; i++, sent++) flight.push(writer.publish(`${root}/${sent % TOPICS}`, Math.floor(sent / TOPICS), { qos: 1 }));
        await Promise.all(flight);
        while (sent - received > AHEAD && !errors.length) await sleep(1);
      }
      proxy.end();
      await until(() => received === sent || errors.length);
      assert.deepEqual([errors, gaps], [[], []]);
      assert.deepEqual([received, next.size], [sent, TOPICS]);
      assert.ok(proxy.cuts >= CUTS && sent > CUTS * 10, `${sent} messages, ${proxy.cuts} cuts`);
    });
  }
});

/** A proxy that, between `begin` and `end`, cuts each connection after a number of bytes that the seed draws. */
async function cutter(port) {
  const random = randomFrom(SEED);
  let cutting = false;
  const open = new Set();
  const server = createServer((near) => {
    const far = connect(port, "127.0.0.1");
    const pair = { near, far };
    open.add(pair);
    // Small numbers hit the handshake and the subscribe, large ones the flow.
    let left = 0;
    pair.arm = () => (left = Math.floor(2 ** (6 + random() * 11)));
    pair.arm();
    const end = () => {
      open.delete(pair);
      near.destroy();
      far.destroy();
    };
    for (const [from, to] of [[near, far], [far, near]]) {
      from.on("error", end);
      from.on("close", end);
      from.on("data", (bytes) => {
        if (cutting && bytes.length >= left) {
          it.cuts++;
          // What is before the cut arrives, any part of a frame.
          to.end(bytes.subarray(0, left));
          open.delete(pair);
          from.destroy();
          return;
        }
        if (cutting) left -= bytes.length;
        if (!to.write(bytes)) {
          from.pause();
          to.once("drain", () => from.resume());
        }
      });
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const it = {
    port: server.address().port,
    cuts: 0,
    begin() {
      for (const pair of open) pair.arm();
      cutting = true;
    },
    end: () => (cutting = false),
    close() {
      for (const { near, far } of open) {
        near.destroy();
        far.destroy();
      }
      server.close();
    },
  };
  return it;
}

/** Numbers from 0 to 1 that follow from a seed (mulberry32). */
function randomFrom(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
