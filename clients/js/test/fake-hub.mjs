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
import { Channels } from "./fake-channels.mjs";

const FIELDS = {
  pub: ["data", "data_base64", "qos", "retain", "id", "content_type", "response_topic", "correlation_base64", "expiry", "user_properties"],
  req: ["data", "data_base64", "id", "timeout_s", "content_type", "expiry", "user_properties"],
  sub: ["qos", "id", "retained", "no_local", "slow_reader", "since", "history", "presence"],
  unsub: ["id"],
  hello: ["id"],
  auth: ["id"],
  presence: ["id"],
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
  /** Whether it is one that knows neither `hello` nor arrays. */
  old = false;
  /** Whether WebSockets are refused: `true`, or `"hang"` when they open and nothing comes through. */
  blocked = false;
  /** What is larger is answered with an error without an id, and closes the WebSocket. */
  requestBytesMax = Infinity;
  /** The topics that have a history. */
  history = "h/#";
  /** Passwords by user; with any, nobody may do anything before `auth`. */
  users = new Map();
  /** Frames as they came: texts and bytes. */
  raw = [];
  logs = new Map();
  replies = new Map();
  #clock = 1;
  clients = new Set();
  retained = new Map();
  counts = { messages_in: 0, messages_out: 0, bytes_in: 0, bytes_out: 0, dropped: 0 };
  started = Date.now();

  static async start(port = 0, folder) {
    const hub = new FakeHub();
    hub.channels = new Channels(hub);
    hub.server = createServer((request, response) => {
      if (request.url.startsWith("/channel")) void hub.channels.serve(request, response);
      else void hub.#serve(request, response, folder);
    });
    hub.sockets = new WebSocketServer({ server: hub.server, path: "/ws", verifyClient: () => hub.blocked !== true });
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
    this.channels.stop();
    this.sockets.close();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  /** Cuts every connection without a goodbye. */
  drop() {
    for (const client of this.clients) client.cut();
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
    const message = { topic, ...payload, ...extras };
    if (matches(this.history, topic)) Object.assign(message, this.#keep(topic, message));
    for (const client of this.clients) {
      const filters = [...client.subscriptions].filter(([filter, it]) => matches(filter, topic) && !(it.no_local && client === from));
      if (filters.length) this.#deliver(client, message, Math.min(qos, Math.max(...filters.map(([, it]) => it.qos))));
    }
  }

  /** Gives a message its place. */
  #keep(topic, message) {
    let log = this.logs.get(topic);
    if (!log) this.logs.set(topic, (log = { epoch: `00000000000${this.logs.size}`, last: 0, kept: [] }));
    const place = { epoch: log.epoch, offset: ++log.last };
    log.kept.push({ ...message, ...place, time: this.#clock++ });
    return place;
  }

  /** Loses what a topic has kept so far. */
  forget(topic) {
    this.logs.get(topic).kept = [];
  }

  /** What a subscription gets of the histories; whether something is missing of it. */
  #replay(client, filters, { since, history }) {
    let gap = false;
    for (const [topic, log] of this.logs) {
      if (!filters.some((filter) => matches(filter, topic))) continue;
      const place = since?.topics?.[topic];
      let kept = log.kept;
      if (place?.epoch === log.epoch) kept = kept.filter(({ offset }) => offset > place.offset);
      else if (since?.time !== undefined) kept = kept.filter(({ time }) => time >= since.time);
      else if (!place) kept = history ? kept.slice(-history) : [];
      if (place && place.offset < log.last && kept[0]?.offset !== place.offset + 1) {
        gap = true;
        client.send({ gap: { topic, epoch: log.epoch, offset: kept[0]?.offset ?? log.last + 1 } });
      }
      for (const { time, ...message } of kept) client.send(message);
    }
    return gap;
  }

  #deliver(client, message, qos) {
    if (message.topic[0] !== "$") this.counts.messages_out++;
    client.send(qos ? { ...message, qos, id: ++client.lastId } : message);
  }

  #accept(socket) {
    const client = this.join("websocket", {
      cut: () => socket.terminate(),
      send: (frame) => {
        const { data_base64, ...header } = frame;
        if (!client.hello?.binary || data_base64 === undefined) return socket.send(JSON.stringify(frame));
        const text = Buffer.from(JSON.stringify(header));
        if (text.length > 65_535) return socket.send(JSON.stringify(frame));
        socket.send(Buffer.concat([Buffer.from([1, text.length >> 8, text.length & 255]), text, Buffer.from(data_base64, "base64")]));
      },
    });
    socket.on("close", () => this.leave(client));
    socket.on("error", () => {});
    socket.on("message", (bytes, isBinary) => {
      this.raw.push(isBinary ? bytes : bytes.toString());
      if (this.blocked || socket.readyState !== socket.OPEN) return;
      if (bytes.length > this.requestBytesMax) {
        client.send({ error: { code: "too_large", reason: "the message is too large" } });
        return socket.close(1009);
      }
      if (!isBinary) return this.receive(client, JSON.parse(bytes.toString()));
      const end = 3 + bytes.readUInt16BE(1);
      this.receive(client, { ...JSON.parse(bytes.subarray(3, end).toString()), data_base64: bytes.subarray(end).toString("base64") });
    });
  }

  /** A client has come, by whatever way; `send` gives it a frame, `cut` takes its connection away. */
  join(kind, way) {
    const client = { kind, ...way, subscriptions: new Map(), lastId: 0, connection: `2-${this.#clock++}` };
    client.name = client.connection;
    this.clients.add(client);
    return client;
  }

  leave(client) {
    this.clients.delete(client);
    for (const topic of client.subscriptions.keys()) this.#tell(topic, "leave", client);
  }

  /** Takes what came in one frame. */
  receive(client, frame) {
    const frames = [frame].flat();
    if (Array.isArray(frame) && (this.old || !frame.length || frame.length > 1000)) {
      return client.send({ error: { code: "bad_json", reason: "a message is one JSON object" } });
    }
    for (const one of frames) {
      this.frames.push(one);
      if (this.mute) continue;
      const error = this.#fault(one) ?? this.#strange(client, one) ?? this.refuse(one);
      if (error) client.send({ error, id: one.id });
      else this.#take(client, one);
    }
  }

  #strange(client, frame) {
    if (!this.users.size || client.user || frame.auth) return undefined;
    return { code: "not_authorized", reason: "say who you are" };
  }

  /** Forgets who is who, as when tokens end. */
  expire() {
    for (const client of this.clients) client.user = undefined;
  }

  /** What the real hub refuses as well; the client must never send such a frame. */
  #fault(frame) {
    const operation = Object.keys(FIELDS).find((name) => name in frame);
    if (!operation || (this.old && operation === "hello")) return { code: "unknown_operation", reason: "none of pub, sub, unsub, ping, ack, auth is there" };
    const field = Object.keys(frame).find((name) => name !== operation && !FIELDS[operation].includes(name));
    if (field) return { code: "unknown_field", field, reason: `${operation} has no field ${field}` };
    if (operation === "pub" && frame.qos === 1 && frame.id === undefined) return { code: "missing_field", field: "id", reason: "qos 1 needs an id" };
    if (operation === "pub" && /[+#]/.test(frame.pub)) return { code: "bad_topic", field: "pub", reason: "a topic has no wildcards" };
    if (Object.keys(frame.since?.topics ?? {}).length > 1024) return { code: "too_large", field: "since", reason: "more than 1024 topics" };
    return undefined;
  }

  #take(client, frame) {
    const { id } = frame;
    const answer = (it) => client.send({ ...it, ...(id !== undefined && { ack: id }) });
    if ("ping" in frame) return client.send({ pong: frame.ping });
    if ("hello" in frame) {
      client.hello = frame.hello;
      client.name = frame.hello.client ?? client.name;
      const { name, connection } = client;
      return answer({ hello: { version: 1, client: name, connection, limits: { request_bytes_max: 1 << 20 } } });
    }
    if ("auth" in frame) {
      const { user, password } = frame.auth;
      if (this.users.get(user) !== password) {
        return client.send({ error: { code: "not_authorized", field: "auth", reason: "user name or password is wrong" }, id });
      }
      client.user = user;
      return answer({ auth: { user } });
    }
    if ("presence" in frame && !("sub" in frame)) return answer(this.#presence(frame.presence));
    const payload = frame.data_base64 === undefined ? JSON.stringify("data" in frame ? frame.data : "") : { base64: frame.data_base64 };
    const extras = {};
    for (const name of ["content_type", "response_topic", "correlation_base64", "expiry", "user_properties"]) {
      if (name in frame) extras[name] = frame[name];
    }
    if ("req" in frame) return this.#ask(client, frame, payload, extras);
    if ("pub" in frame) {
      const reply = this.replies.get(frame.pub);
      if (reply) reply(payload, extras);
      else this.route(frame.pub, payload, { qos: frame.qos, retain: frame.retain, extras, from: client });
      if (id !== undefined) client.send({ ack: id });
    } else if ("sub" in frame) {
      const filters = [frame.sub].flat();
      const qos = frame.qos ?? 0;
      const time = this.#clock++;
      for (const filter of filters) {
        const presence = frame.presence ?? client.subscriptions.get(filter)?.presence;
        const isNew = !client.subscriptions.has(filter);
        client.subscriptions.set(filter, { qos, no_local: frame.no_local, presence });
        if (isNew) this.#tell(filter, "join", client);
      }
      // Before the answer, as the real hub may.
      const gap = this.#replay(client, filters, frame);
      answer({ sub: frame.sub, qos: Array.isArray(frame.sub) ? filters.map(() => qos) : qos, time, ...(frame.since && { gap }) });
      if (frame.presence) client.send(this.#presence(filters[0]));
      if (frame.retained === false) return;
      for (const kept of this.retained.values()) {
        if (!filters.some((filter) => matches(filter, kept.topic))) continue;
        const { qos: keptQos = 0, ...message } = kept;
        this.#deliver(client, { ...message, retain: true }, Math.min(qos, keptQos));
      }
    } else if ("unsub" in frame) {
      for (const filter of [frame.unsub].flat()) {
        if (client.subscriptions.delete(filter)) this.#tell(filter, "leave", client);
      }
      answer({ unsub: frame.unsub });
    }
  }

  #ask(client, { req, id, timeout_s }, payload, extras) {
    const responder = [...this.clients].find((other) => [...other.subscriptions.keys()].some((filter) => matches(filter, req)));
    if (!responder) return client.send({ error: { code: "no_responder", reason: `nobody has subscribed to ${req}` }, id });
    const response_topic = `$reply/${this.#clock++}`;
    const correlation_base64 = "AP8D";
    const timer = setTimeout(() => {
      this.replies.delete(response_topic);
      client.send({ error: { code: "timeout", reason: "no answer in time" }, id });
    }, timeout_s * 1000);
    this.replies.set(response_topic, (answer, { correlation_base64: came, ...properties }) => {
      if (came !== correlation_base64) return;
      clearTimeout(timer);
      this.replies.delete(response_topic);
      client.send({ res: id, ...(typeof answer === "string" ? { data: JSON.parse(answer) } : { data_base64: answer.base64 }), ...properties });
    });
    this.route(req, payload, { extras: { ...extras, response_topic, correlation_base64 } });
  }

  #presence(topic) {
    const here = [...this.clients].filter(({ subscriptions }) => subscriptions.has(topic));
    return { presence: topic, count: here.length, clients: here.map(who) };
  }

  #tell(topic, what, client) {
    const { count } = this.#presence(topic);
    for (const other of this.clients) {
      if (other !== client && other.subscriptions.get(topic)?.presence) other.send({ [what]: topic, ...who(client), count });
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

/** A client as presence shows it. */
function who({ name: client, connection, kind, user, hello }) {
  return { client, connection, kind, ...(user && { user }), ...(hello?.info && { info: hello.info }) };
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
