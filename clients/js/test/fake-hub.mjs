// A hub small enough to read in a sitting: the JSON protocol over WebSocket, one process, nothing kept on disk.
// The unit tests run against it and bend it (`refuse`, `mute`, `drop`). Started by hand it also serves a folder
// under the content policy that the real hub uses, and makes up traffic:
//   node test/fake-hub.mjs --port 8085 --folder ../../console --demo 40
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { pathToFileURL } from "node:url";
import { WebSocketServer } from "ws";

import { matches } from "../dist/trefoil.js";

const FIELDS = {
  pub: ["data", "data_base64", "qos", "retain", "id", "content_type", "response_topic", "correlation_base64", "expiry", "user_properties"],
  sub: ["qos", "id", "retained", "no_local", "slow_reader"],
  unsub: ["id"],
  ping: [],
  ack: [],
};

const CONTENT_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export class FakeHub {
  /** Every frame of every client, in order. */
  frames = [];
  /** Returns an error `{code, reason, field}` for a frame, or nothing. */
  refuse = () => undefined;
  /** Whether frames are taken without an answer. */
  mute = false;
  clients = new Set();
  retained = new Map();
  counts = { messages_in: 0, messages_out: 0, bytes_in: 0, bytes_out: 0, dropped: 0 };
  started = Date.now();

  static async start(port = 0, folder) {
    const hub = new FakeHub();
    hub.server = createServer((request, response) => hub.#serve(request, response, folder));
    hub.sockets = new WebSocketServer({ server: hub.server, path: "/ws" });
    hub.sockets.on("connection", (socket) => hub.#accept(socket));
    hub.ticker = setInterval(() => hub.route("$SYS/trefoil/stats", JSON.stringify(hub.stats()), {}), 1000);
    await new Promise((resolve) => hub.server.listen(port, "127.0.0.1", resolve));
    hub.port = hub.server.address().port;
    hub.url = `ws://127.0.0.1:${hub.port}/ws`;
    return hub;
  }

  async stop() {
    clearInterval(this.ticker);
    this.drop();
    this.sockets.close();
    await new Promise((resolve) => this.server.close(resolve));
  }

  /** Cuts every connection without a goodbye. */
  drop() {
    for (const client of this.clients) client.socket.terminate();
  }

  stats() {
    const subscriptions = [...this.clients].reduce((sum, client) => sum + client.subscriptions.size, 0);
    return {
      uptime_s: Math.floor((Date.now() - this.started) / 1000),
      version: "0.1.0",
      connections: { mqtt: 0, mqtt_ws: 0, json_ws: this.clients.size, json_tcp: 0, json_udp: 0, sse: 0, http: 0, ...this.pretend },
      sessions: this.clients.size,
      subscriptions,
      retained: this.retained.size,
      ...this.counts,
    };
  }

  /** Hands a payload (JSON text of `data`, or `{base64}`) to everybody who wants it. */
  route(topic, data, { qos = 0, retain = false, extras = {}, from } = {}) {
    const payload = typeof data === "string" ? { data: JSON.parse(data) } : { data_base64: data.base64 };
    if (topic[0] !== "$") {
      this.counts.messages_in++;
      if (retain && data === '""') this.retained.delete(topic);
      else if (retain) this.retained.set(topic, { topic, ...payload, ...extras, qos });
    }
    for (const client of this.clients) {
      const filters = [...client.subscriptions].filter(([filter, it]) => matches(filter, topic) && !(it.no_local && client === from));
      if (filters.length) this.#deliver(client, { topic, ...payload, ...extras }, Math.min(qos, Math.max(...filters.map(([, it]) => it.qos))));
    }
  }

  #deliver(client, message, qos) {
    if (message.topic[0] !== "$") this.counts.messages_out++;
    client.send(qos ? { ...message, qos, id: ++client.lastId } : message);
  }

  #accept(socket) {
    const client = { socket, subscriptions: new Map(), lastId: 0, send: (frame) => socket.send(JSON.stringify(frame)) };
    this.clients.add(client);
    socket.on("close", () => this.clients.delete(client));
    socket.on("error", () => {});
    socket.on("message", (bytes) => {
      const frame = JSON.parse(bytes.toString());
      this.frames.push(frame);
      if (this.mute) return;
      const error = this.#fault(frame) ?? this.refuse(frame);
      if (error) client.send({ error, id: frame.id });
      else this.#take(client, frame);
    });
  }

  /** What the real hub refuses as well; the client must never send such a frame. */
  #fault(frame) {
    const operation = Object.keys(FIELDS).find((name) => name in frame);
    if (!operation) return { code: "unknown_operation", reason: "none of pub, sub, unsub, ping, ack, auth is there" };
    const field = Object.keys(frame).find((name) => name !== operation && !FIELDS[operation].includes(name));
    if (field) return { code: "unknown_field", field, reason: `${operation} has no field ${field}` };
    if (operation === "pub" && frame.qos === 1 && frame.id === undefined) return { code: "missing_field", field: "id", reason: "qos 1 needs an id" };
    if (operation === "pub" && /[+#]/.test(frame.pub)) return { code: "bad_topic", field: "pub", reason: "a topic has no wildcards" };
    return undefined;
  }

  #take(client, frame) {
    const { id } = frame;
    if ("ping" in frame) return client.send({ pong: frame.ping });
    if ("pub" in frame) {
      const extras = {};
      for (const name of ["content_type", "response_topic", "correlation_base64", "expiry", "user_properties"]) {
        if (name in frame) extras[name] = frame[name];
      }
      const payload = frame.data_base64 === undefined ? JSON.stringify("data" in frame ? frame.data : "") : { base64: frame.data_base64 };
      this.route(frame.pub, payload, { qos: frame.qos, retain: frame.retain, extras, from: client });
      if (id !== undefined) client.send({ ack: id });
    } else if ("sub" in frame) {
      const filters = [frame.sub].flat();
      const qos = frame.qos ?? 0;
      for (const filter of filters) client.subscriptions.set(filter, { qos, no_local: frame.no_local });
      client.send({ sub: frame.sub, qos: Array.isArray(frame.sub) ? filters.map(() => qos) : qos, ...(id !== undefined && { ack: id }) });
      if (frame.retained === false) return;
      for (const kept of this.retained.values()) {
        if (!filters.some((filter) => matches(filter, kept.topic))) continue;
        const { qos: keptQos = 0, ...message } = kept;
        this.#deliver(client, { ...message, retain: true }, Math.min(qos, keptQos));
      }
    } else if ("unsub" in frame) {
      for (const filter of [frame.unsub].flat()) client.subscriptions.delete(filter);
      client.send({ unsub: frame.unsub, ...(id !== undefined && { ack: id }) });
    }
  }

  async #serve(request, response, folder) {
    const path = new URL(request.url, "http://hub").pathname;
    try {
      if (!folder) throw new Error("no folder");
      const body = await readFile(join(folder, normalize(path === "/" ? "/index.html" : path)));
      const types = { ".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml" };
      response.writeHead(200, { "Content-Type": types[extname(path === "/" ? ".html" : path)] ?? types[".html"], "Content-Security-Policy": CONTENT_POLICY });
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  }
}

/** Traffic that looks like a small plant, `rate` messages a second. */
function demo(hub, rate) {
  hub.pretend = { mqtt: 37, mqtt_ws: 4, json_tcp: 2, sse: 1 };
  const topics = [];
  for (const hall of ["hall-1", "hall-2", "yard"]) {
    for (const [kind, low, high] of [["temperature", 18, 24], ["humidity", 35, 60], ["power", 200, 900]]) {
      for (let unit = 1; unit <= 4; unit++) topics.push([`plant/${hall}/${kind}/${unit}`, low, high]);
    }
  }
  const tick = () => {
    for (let sent = 0; sent < Math.max(1, rate / 20); sent++) {
      const [topic, low, high] = topics[Math.floor(Math.random() * topics.length)];
      const value = (low + Math.random() * (high - low)).toFixed(1);
      hub.route(topic, topic.includes("power") ? `{"watts":${value},"phase":"L${1 + (sent % 3)}"}` : value, { retain: true, qos: 1 });
    }
    if (Math.random() < 0.1) hub.route("chat/lobby", JSON.stringify("Ana: the second pump is back"), {});
    if (Math.random() < 0.05) hub.route("camera/gate/thumbnail", { base64: "iVBORw0KGgoAAAANSUhEUg==" }, {});
    if (Math.random() < 0.05) hub.counts.dropped++;
    hub.counts.messages_out += Math.round(rate / 6);
  };
  setInterval(tick, 50);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const option = (name, fallback) => {
    const at = process.argv.indexOf(`--${name}`);
    return at < 0 ? fallback : process.argv[at + 1];
  };
  const hub = await FakeHub.start(Number(option("port", 8085)), option("folder"));
  const rate = Number(option("demo", 0));
  if (rate) demo(hub, rate);
  console.log(`http://127.0.0.1:${hub.port}/`);
}
