// The npm package `ws` against the hub, with compression in every setting that it has; and Chromium.

import assert from "node:assert/strict";
import { once } from "node:events";
import mqtt from "mqtt";
import WebSocket from "ws";
import { withPage } from "./browser.mjs";
import { main } from "./rig.mjs";

/** Text in which everything comes again. */
const quotes = (count) => JSON.stringify(Array.from({ length: count }, (_, n) => ({ symbol: `SYM${n % 50}`, price: n * 7 % 100 })));

async function open(url, perMessageDeflate) {
  const socket = new WebSocket(url, { perMessageDeflate });
  await once(socket, "open");
  return socket;
}

/** Sends a message, compressed if it may be, and insists that it comes back. */
async function echoed(socket, message) {
  const came = once(socket, "message");
  socket.send(message, { compress: true });
  const [data, isBinary] = await came;
  assert.equal(isBinary, typeof message !== "string");
  assert.equal(Buffer.compare(data, Buffer.from(message)), 0);
}

async function closed(socket, code) {
  const ended = once(socket, "close");
  socket.close(code);
  assert.equal((await ended)[0], code);
}

async function compressedInEveryWay(hub) {
  const windows = [undefined, 8, 9, 10, 12, 15];
  for (const serverNoContextTakeover of [undefined, true]) {
    for (const clientNoContextTakeover of [undefined, true]) {
      for (const serverMaxWindowBits of windows) {
        for (const clientMaxWindowBits of [undefined, true, 9, 11, 15]) {
          const options = { threshold: 0, serverNoContextTakeover, clientNoContextTakeover, serverMaxWindowBits, clientMaxWindowBits };
          const socket = await open(`ws://127.0.0.1:${hub.http}/ws/echo`, options);
          assert(socket.extensions.includes("permessage-deflate"), JSON.stringify(options));
          for (const count of [0, 1, 3, 30, 3000]) await echoed(socket, quotes(count));
          await echoed(socket, Buffer.from(quotes(100)));
          await echoed(socket, "");
          await closed(socket, 1000);
        }
      }
    }
  }
}

async function withoutContexts(hub) {
  const socket = await open(`ws://127.0.0.1:${hub.http}/ws`, { threshold: 0 });
  const lines = [];
  socket.on("message", (data) => lines.push(JSON.parse(data)));
  socket.send('{"sub":"quotes","id":1}');
  while (lines.length < 1) await once(socket, "message");
  for (let n = 0; n < 50; n++) socket.send(`{"pub":"quotes","data":${quotes(n)}}`);
  while (lines.length < 51) await once(socket, "message");
  lines.slice(1).forEach((line, n) => assert.equal(JSON.stringify(line.data), quotes(n)));
  await closed(socket, 1001);
}

async function goodbyes(hub) {
  for (const perMessageDeflate of [false, true]) {
    for (const code of [1000, 1001, 3000, 4999]) {
      await closed(await open(`ws://127.0.0.1:${hub.http}/ws/echo`, perMessageDeflate), code);
    }
    const socket = await open(`ws://127.0.0.1:${hub.http}/ws`, perMessageDeflate);
    const ended = once(socket, "close");
    socket.send("no JSON");
    assert.equal((await ended)[0], 1007);
  }
}

async function mqttCompressed(hub) {
  let socket;
  const createWebsocket = (url, protocols) => (socket = new WebSocket(url, protocols, { perMessageDeflate: { threshold: 0 } }));
  const client = await mqtt.connectAsync(`ws://127.0.0.1:${hub.http}/mqtt`, { createWebsocket, reconnectPeriod: 0 });
  assert(socket.extensions.includes("permessage-deflate"));
  const came = [];
  client.on("message", (_, payload) => came.push(payload.toString()));
  await client.subscribeAsync("quotes", { qos: 1 });
  await Promise.all(Array.from({ length: 50 }, (_, n) => client.publishAsync("quotes", quotes(n), { qos: n % 2 })));
  while (came.length < 50) await once(client, "message");
  assert.deepEqual(came.toSorted(), Array.from({ length: 50 }, (_, n) => quotes(n)).toSorted());
  await client.endAsync();
}

async function inAPage(hub) {
  await withPage(`http://127.0.0.1:${hub.http}/`, async (page) => {
    const talked = await page.evaluate(async ({ texts }) => {
      const socket = new WebSocket(`ws://${location.host}/ws/echo`);
      await new Promise((resolve, reject) => Object.assign(socket, { onopen: resolve, onerror: reject }));
      const came = [];
      const all = new Promise((resolve) => {
        socket.onmessage = ({ data }) => came.push(data) === texts.length && resolve();
      });
      texts.forEach((text) => socket.send(text));
      await all;
      const ended = new Promise((resolve) => (socket.onclose = resolve));
      socket.close(4001, "enough");
      const { code, wasClean } = await ended;
      return { extensions: socket.extensions, came, code, wasClean };
    }, { texts: ["", "short", quotes(30), quotes(3000)] });
    assert(talked.extensions.startsWith("permessage-deflate"), talked.extensions);
    assert.deepEqual(talked.came, ["", "short", quotes(30), quotes(3000)]);
    assert.deepEqual([talked.code, talked.wasClean], [4001, true]);

    // The hub's own goodbye ends cleanly, too.
    const goodbye = await page.evaluate(async () => {
      const socket = new WebSocket(`ws://${location.host}/ws`);
      await new Promise((resolve) => (socket.onopen = resolve));
      const ended = new Promise((resolve) => (socket.onclose = resolve));
      socket.send("no JSON");
      const { code, wasClean } = await ended;
      return { code, wasClean };
    });
    assert.deepEqual(goodbye, { code: 1007, wasClean: true });
  });
}

await main({ compressedInEveryWay, withoutContexts, goodbyes, mqttCompressed, inAPage });
