// A WebSocket by hand: what goes out and what comes in, frame by frame as the browser shows them. It has a connection of
// its own, which nothing mends: the reader sees how it ends.

import { number, time } from "./format.js";

/** Frames in the log. */
const FRAMES_MAX = 500;
/** How much of a frame is shown. */
const FRAME_CHARS_MAX = 2_000;
const FRAME_BYTES_MAX = 512;

/** What the hub expects on each path, and what to begin with. */
const PATHS = {
  "/ws": { protocol: "trefoil.v1.json", example: "subscribe" },
  "/ws/echo": { protocol: "", example: "text" },
  "/mqtt": { protocol: "mqtt", example: "connect" },
};

const EXAMPLES = {
  subscribe: { label: "JSON: subscribe", text: '{"sub":"demo/#","id":1}' },
  publish: { label: "JSON: publish", text: '{"pub":"demo/hello","data":"from the playground","id":2}' },
  acknowledged: { label: "JSON: publish at QoS 1", text: '{"pub":"demo/hello","data":{"n":1},"qos":1,"retain":true,"id":3}' },
  history: { label: "JSON: the last of a history", text: '{"sub":"demo/hello","history":10,"id":4}' },
  ping: { label: "JSON: ping", text: '{"ping":"are you there?"}' },
  mistake: { label: "JSON: a mistake", text: '{"sub":"demo/#","qso":1,"id":5}' },
  text: { label: "Text: anything", text: "Hello, ☘" },
  connect: { label: "MQTT: CONNECT", bytes: "10 10 00 04 4d 51 54 54 04 02 00 3c 00 04 70 61 67 65" },
  mqttSubscribe: { label: "MQTT: SUBSCRIBE demo/#", bytes: "82 0b 00 01 00 06 64 65 6d 6f 2f 23 00" },
  mqttPing: { label: "MQTT: PINGREQ", bytes: "c0 00" },
};

const $ = (id) => document.getElementById(id);

export class Playground {
  #socket;
  #count = 0;
  #waiting = [];
  #scheduled = false;

  constructor() {
    for (const [name, { label }] of Object.entries(EXAMPLES)) $("play-example").add(new Option(label, name));
    $("play-path").addEventListener("change", () => this.#suggest());
    $("play-example").addEventListener("change", () => this.#show(EXAMPLES[$("play-example").value]));
    $("play-connect").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#socket) this.#socket.close(1000);
      else this.#connect();
    });
    $("play-send").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    $("play-text").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("play-send").requestSubmit();
    });
    $("play-clear").addEventListener("click", () => this.#clear());
    this.#show(EXAMPLES.subscribe);
  }

  #suggest() {
    const known = PATHS[$("play-path").value];
    if (!known) return;
    $("play-protocol").value = known.protocol;
    $("play-example").value = known.example;
    this.#show(EXAMPLES[known.example]);
  }

  #show({ text, bytes }) {
    $("play-text").value = text ?? bytes;
    $("play-form").value = bytes ? "binary" : "text";
  }

  #connect() {
    const url = new URL($("play-path").value.replace(/^\//, ""), document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    const protocols = $("play-protocol").value.split(/[\s,]+/).filter(Boolean);
    let socket;
    try {
      socket = new WebSocket(url, protocols);
    } catch (error) {
      return this.#state(error.message, true);
    }
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    $("play-button").textContent = "Close";
    this.#state(`connecting to ${url.pathname}`);
    let opened = false;
    socket.onopen = () => {
      opened = true;
      const with_ = [socket.protocol, socket.extensions].filter(Boolean).join(", ");
      this.#state("open");
      this.#note(with_ ? `open, with ${with_}` : "open");
    };
    socket.onmessage = ({ data }) => this.#frame("←", data);
    socket.onclose = ({ code, reason }) => {
      this.#socket = undefined;
      $("play-button").textContent = "Connect";
      // A page is not told why a handshake failed.
      const why = opened ? `closed with ${code}${reason ? `: ${reason}` : ""}` : "no connection: the hub did not agree to this path and subprotocol";
      this.#state(why, !opened || (code !== 1000 && code !== 1005));
      this.#note(why);
    };
  }

  #send() {
    if (this.#socket?.readyState !== WebSocket.OPEN) return this.#state("connect first", true);
    const text = $("play-text").value;
    const data = $("play-form").value === "binary" ? fromHex(text) : text;
    if (data === undefined) return this.#state("bytes are written as hexadecimal digits, two for each: 0a ff", true);
    this.#state("open");
    this.#socket.send(data);
    this.#frame("→", data);
  }

  #state(text, failed = false) {
    $("play-state").textContent = text;
    $("play-state").classList.toggle("failed", failed);
  }

  #frame(arrow, data) {
    this.#count++;
    if (typeof data === "string") {
      const cut = data.length > FRAME_CHARS_MAX ? `${data.slice(0, FRAME_CHARS_MAX)}…` : data;
      this.#add(arrow, `text, ${number(data.length)} characters`, cut || "(empty)");
    } else {
      const bytes = data instanceof ArrayBuffer ? new Uint8Array(data) : data;
      this.#add(arrow, `binary, ${number(bytes.length)} bytes`, toHex(bytes) || "(empty)");
    }
  }

  #note(text) {
    this.#add("·", "", text);
  }

  /** A flood of frames costs one change of the page for each time that it is painted. */
  #add(arrow, about, body) {
    this.#waiting.push({ arrow, about, body, at: new Date() });
    if (this.#waiting.length > FRAMES_MAX) this.#waiting.shift();
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      const log = $("play-frames");
      const rows = document.createDocumentFragment();
      for (const frame of this.#waiting.reverse()) rows.append(newRow(frame));
      this.#waiting = [];
      log.prepend(rows);
      while (log.children.length > FRAMES_MAX) log.lastChild.remove();
      $("play-count").textContent = this.#count ? `${number(this.#count)}` : "";
    });
  }

  #clear() {
    this.#waiting = [];
    this.#count = 0;
    $("play-frames").replaceChildren();
    $("play-count").textContent = "";
  }
}

function newRow({ arrow, about, body, at }) {
  const row = document.createElement("li");
  row.dataset.test = "play-frame";
  row.dataset.way = { "→": "out", "←": "in", "·": "note" }[arrow];
  const part = (name, className, text) => {
    const element = document.createElement(name);
    element.className = className;
    element.textContent = text;
    row.append(element);
    return element;
  };
  part("b", "way", arrow);
  part("time", "at", time(at)).dateTime = at.toISOString();
  if (about) part("span", "tag", about);
  part("span", "payload", body);
  return row;
}

function fromHex(text) {
  const digits = text.replace(/\s+/g, "");
  if (digits.length % 2 || /[^0-9a-f]/i.test(digits)) return undefined;
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

function toHex(bytes) {
  const shown = [...bytes.subarray(0, FRAME_BYTES_MAX)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return bytes.length > FRAME_BYTES_MAX ? `${shown} …` : shown;
}
