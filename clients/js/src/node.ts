/**
 * The entry for Node: the same client, over a WebSocket of its own where Node has none (18 and 20).
 *
 * It speaks as much of RFC 6455 as the hub's frames need, so that the package depends on nothing.
 */
import { createHash, randomBytes } from "node:crypto";
import { request as requestHttp, type IncomingMessage } from "node:http";
import { request as requestHttps } from "node:https";
import type { Socket } from "node:net";

import { eventStream, polling } from "./channel.js";
import { Client as BareClient, type ClientOptions } from "./client.js";
import { webSocket, type Connect, type TransportEvents } from "./transport.js";

export * from "./index.js";

/** A connection to the hub that mends itself. It connects as soon as it is constructed. */
export class Client extends BareClient {
  constructor(url: string | URL, options: ClientOptions = {}) {
    super(url, { transport: [globalThis.WebSocket ? webSocket() : nodeSocket, eventStream(), polling()], ...options });
  }
}

const MESSAGE_BYTES_MAX = 64 << 20;
const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;

/** The transport over a plain socket of Node. */
export const nodeSocket: Connect = (url, events) => {
  let socket: Socket | undefined;
  let ended = false;
  const end = (code: number, reason: string): void => {
    if (ended) return;
    ended = true;
    socket?.destroy();
    events.close(code, reason);
  };
  const key = randomBytes(16).toString("base64");
  const target = new URL(url.replace(/^ws/, "http"));
  const request = (target.protocol === "https:" ? requestHttps : requestHttp)(target, {
    headers: { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": 13, "Sec-WebSocket-Key": key },
  });
  request.on("error", (error) => end(1006, error.message));
  request.on("response", (response) => {
    response.resume();
    end(1006, `the server answered ${response.statusCode}`);
  });
  request.on("upgrade", (response: IncomingMessage, upgraded: Socket, head: Buffer) => {
    socket = upgraded;
    if (ended) return void upgraded.destroy();
    upgraded.on("error", (error) => end(1006, error.message));
    upgraded.on("close", () => end(1006, "the connection broke"));
    const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    if (response.headers["sec-websocket-accept"] !== accept) return end(1006, "the answer to the handshake is wrong");
    upgraded.setNoDelay();
    events.open();
    const receive = receiver(events, upgraded, end);
    upgraded.on("data", receive);
    if (head.length) receive(head);
  });
  request.end();
  return {
    binary: true,
    send: (data) => void socket?.write(typeof data === "string" ? frame(TEXT, Buffer.from(data)) : frame(BINARY, data)),
    close() {
      if (ended) return;
      ended = true;
      // 1000: this end is done.
      if (socket) socket.end(frame(CLOSE, Buffer.from([0x03, 0xe8])));
      else request.destroy();
    },
    get bufferedAmount() {
      return socket?.writableLength ?? 0;
    },
  };
};

/** Takes bytes as they come and tells of each message that is complete. */
function receiver(events: TransportEvents, socket: Socket, end: (code: number, reason: string) => void) {
  let waiting: Buffer = Buffer.alloc(0);
  let parts: Buffer[] = [];
  let isText = false;
  return (bytes: Buffer): void => {
    waiting = waiting.length ? Buffer.concat([waiting, bytes]) : bytes;
    while (waiting.length >= 2 && !socket.destroyed && !socket.writableEnded) {
      const [first, second] = waiting as unknown as [number, number];
      let at = 2;
      let length = second & 127;
      if (length === 126) {
        if (waiting.length < 4) return;
        length = waiting.readUInt16BE(2);
        at = 4;
      } else if (length === 127) {
        if (waiting.length < 10) return;
        length = Number(waiting.readBigUInt64BE(2));
        at = 10;
      }
      if (length > MESSAGE_BYTES_MAX) return end(1009, "the hub sent a message that is too long");
      if (waiting.length < at + length) return;
      const payload = waiting.subarray(at, at + length);
      waiting = waiting.subarray(at + length);
      const opcode = first & 15;
      if (opcode === CLOSE) {
        return end(length >= 2 ? payload.readUInt16BE(0) : 1005, payload.subarray(2).toString());
      } else if (opcode === PING) {
        socket.write(frame(10, payload));
      } else if (opcode <= BINARY) {
        if (opcode) isText = opcode === TEXT;
        parts.push(payload);
        if (first & 128) {
          const message = Buffer.concat(parts);
          parts = [];
          events.frame(isText ? message.toString() : message);
        } else if (parts.reduce((sum, part) => sum + part.length, 0) > MESSAGE_BYTES_MAX) {
          return end(1009, "the hub sent a message that is too long");
        }
      }
    }
  };
}

/** One unfragmented frame, masked as a client's frames have to be. */
function frame(opcode: number, payload: Uint8Array): Buffer {
  const { length } = payload;
  const header = Buffer.alloc(length < 126 ? 2 : length < 65536 ? 4 : 10);
  header[0] = 0x80 | opcode;
  header[1] = 0x80 | (length < 126 ? length : length < 65536 ? 126 : 127);
  if (header.length === 4) header.writeUInt16BE(length, 2);
  if (header.length === 10) header.writeBigUInt64BE(BigInt(length), 2);
  const mask = randomBytes(4);
  const masked = Buffer.from(payload);
  for (let i = 0; i < length; i++) masked[i]! ^= mask[i & 3]!;
  return Buffer.concat([header, mask, masked]);
}
