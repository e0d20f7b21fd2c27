// The forms to publish and subscribe, and the log of what came. They have a connection of their own, made when first
// needed: what the reader asked for must not queue behind the flood that feeds the tree.

import { Connection } from "./connection.js";
import { line, number, time } from "./format.js";

/** Rows in the log. */
const ROWS_MAX = 500;
const PAYLOAD_CHARS_MAX = 2_000;
const FILTERS_MAX = 50;

const $ = (id) => document.getElementById(id);

export class Panel {
  #connection;
  #opened;
  #waiting = [];
  #unseen = 0;
  #total = 0;
  #scheduled = false;
  #paused = false;

  constructor() {
    $("publish").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#publish();
    });
    $("subscribe").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#subscribe();
    });
    $("pub-payload").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("publish").requestSubmit();
    });
    $("log-clear").addEventListener("click", () => this.#clear());
    $("log-pause").addEventListener("click", () => this.#pause());
  }

  /** Fills the form with a topic and subscribes to it and to all below. */
  subscribeTo(filter) {
    $("sub-filter").value = filter;
    $("subscribe").requestSubmit();
  }

  publishTo(topic) {
    $("pub-topic").value = topic;
    $("pub-payload").focus();
    $("pub-payload").select();
  }

  async #publish() {
    const payload = $("pub-payload").value;
    const frame = { pub: $("pub-topic").value, data: payload, qos: Number($("pub-qos").value) };
    if ($("pub-retain").checked) frame.retain = true;
    await this.#answer("pub-answer", async (connection) => {
      const start = performance.now();
      await connection.request(frame);
      const taken = performance.now() - start;
      return frame.retain && payload === "" ? "cleared" : `accepted, ${taken.toFixed(1)} ms`;
    });
  }

  async #subscribe() {
    const qos = Number($("sub-qos").value);
    const filters = $("sub-filter").value.split(/\s+/).filter(Boolean);
    await this.#answer("sub-answer", async (connection) => {
      for (const filter of filters) {
        if ($("filters").children.length >= FILTERS_MAX) throw new Error(`${FILTERS_MAX} subscriptions are enough for one page`);
        await connection.subscribe(filter, { qos });
        this.#showFilter(filter, qos);
      }
      return "";
    });
  }

  async #answer(id, work) {
    const output = $(id);
    try {
      output.textContent = await work(await this.#connected());
      output.classList.remove("failed");
    } catch (error) {
      output.textContent = error.message;
      output.classList.add("failed");
    }
  }

  #connected() {
    if (this.#connection?.open) return this.#connection;
    this.#opened ??= new Promise((resolve, reject) => {
      const connection = (this.#connection ??= new Connection({
        onMessage: (message) => this.#take(message),
        onStatus: (state) => {
          if (state === "open") this.#resolve?.();
          else if (state === "waiting") this.#reject?.(new Error("no connection to the hub; try again in a moment"));
        },
      }));
      this.#resolve = () => resolve(connection);
      this.#reject = reject;
    }).finally(() => (this.#opened = this.#resolve = this.#reject = undefined));
    return this.#opened;
  }
  #resolve;
  #reject;

  #showFilter(filter, qos) {
    const list = $("filters");
    let item = [...list.children].find((child) => child.dataset.filter === filter);
    if (!item) {
      item = document.createElement("li");
      item.dataset.filter = filter;
      item.dataset.test = "filter";
      const code = document.createElement("code");
      code.textContent = filter;
      const remove = document.createElement("button");
      remove.type = "button";
      remove.textContent = "✕";
      remove.setAttribute("aria-label", `Unsubscribe from ${filter}`);
      remove.addEventListener("click", () => {
        item.remove();
        this.#answer("sub-answer", async (connection) => {
          await connection.unsubscribe(filter);
          return "";
        });
      });
      item.append(code, document.createElement("small"), remove);
      list.append(item);
    }
    item.querySelector("small").textContent = `QoS ${qos}`;
  }

  #take(message) {
    this.#total++;
    message.at = new Date();
    this.#waiting.push(message);
    if (this.#waiting.length > ROWS_MAX) this.#waiting.shift();
    if (this.#paused) this.#unseen++;
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      this.#render();
    });
  }

  #render() {
    $("log-count").textContent = this.#paused ? `${number(this.#unseen)} waiting` : `${number(this.#total)} received`;
    if (this.#paused) return;
    const log = $("messages");
    const rows = document.createDocumentFragment();
    for (const message of this.#waiting.reverse()) rows.append(newRow(message));
    this.#waiting = [];
    log.prepend(rows);
    while (log.children.length > ROWS_MAX) log.lastChild.remove();
  }

  #pause() {
    this.#paused = !this.#paused;
    this.#unseen = this.#waiting.length;
    $("log-pause").setAttribute("aria-pressed", this.#paused);
    $("log-pause").textContent = this.#paused ? "Resume" : "Pause";
    this.#render();
  }

  #clear() {
    this.#waiting = [];
    this.#total = this.#unseen = 0;
    $("messages").replaceChildren();
    $("log-count").textContent = "";
  }
}

function newRow(message) {
  const row = document.createElement("li");
  row.dataset.test = "message";
  row.dataset.topic = message.topic;
  const part = (name, className, text) => {
    const element = document.createElement(name);
    element.className = className;
    element.textContent = text;
    row.append(element);
    return element;
  };
  part("time", "at", time(message.at)).dateTime = message.at.toISOString();
  part("code", "topic", message.topic);
  if (message.qos) part("span", "tag", `QoS ${message.qos}`);
  if (message.retain) part("span", "tag", "retained");
  part("span", "payload", line(message, PAYLOAD_CHARS_MAX)).dataset.test = "message-payload";
  return row;
}
