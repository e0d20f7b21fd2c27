// The npm package `ws` at one end of a stream, and a plain socket at the other.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import net from "node:net";
import WebSocket from "ws";
import { main } from "./rig.mjs";

/** A plain socket that says one line and hears as many as are wanted; what follows them is the stream's. */
async function lines(hub, request, count) {
  const socket = net.connect(hub.tcp, "127.0.0.1");
  const heard = [];
  let rest = Buffer.alloc(0);
  socket.write(`${JSON.stringify(request)}\n`);
  while (heard.length < count) {
    rest = Buffer.concat([rest, (await once(socket, "data"))[0]]);
    for (let end; heard.length < count && (end = rest.indexOf("\n")) >= 0; rest = rest.subarray(end + 1)) {
      heard.push(JSON.parse(rest.subarray(0, end)));
    }
  }
  socket.pause();
  if (rest.length > 0) socket.unshift(rest);
  return { socket, heard };
}

async function all(socket) {
  const parts = [];
  for await (const part of socket) parts.push(part);
  return Buffer.concat(parts);
}

async function wsAndSocket(hub) {
  const data = randomBytes(3_000_000);
  const waiting = lines(hub, { connect: "device", wait_s: 60 }, 1);
  const browser = new WebSocket(`ws://127.0.0.1:${hub.http}/stream/device?listen`, ["trefoil.v1.stream"]);
  const texts = [];
  const parts = [];
  let joined;
  const isJoined = new Promise((resolve) => (joined = resolve));
  browser.on("message", (message, isBinary) => {
    if (isBinary) parts.push(message);
    else {
      texts.push(JSON.parse(message));
      if ("stream" in texts.at(-1)) joined();
    }
  });
  const closed = once(browser, "close");
  const { socket, heard } = await waiting;
  await isJoined;
  assert.equal(browser.protocol, "trefoil.v1.stream");
  assert.deepEqual(heard, [{ stream: "device" }]);
  for (let at = 0; at < data.length; at += 100_000) browser.send(data.subarray(at, at + 100_000));
  browser.send('{"end":true}');
  socket.end(data);
  assert.equal(Buffer.compare(await all(socket), data), 0);
  assert.equal((await closed)[0], 1000);
  assert.equal(Buffer.compare(Buffer.concat(parts), data), 0);
  assert.deepEqual(texts.map((text) => Object.keys(text)[0]), ["listen", "stream", "end"]);
}

await main({ wsAndSocket });
