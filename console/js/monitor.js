// Watches the hub: its figures, and every message for the tree as far as this page can keep up.

import { Connection } from "./connection.js";
import { Figures } from "./figures.js";
import { Tree } from "./tree.js";
import { TreeView } from "./tree-view.js";

const STATS = "$SYS/trefoil/stats";
const EVERYTHING = "#";
/** A page that is behind wants to know how things stand, and not how they came to stand so. */
const LATEST = { slow_reader: "latest_per_topic" };
const SECOND_MS = 1_000;
/** What the tree takes in a second. When more comes, it leaves until the next second begins: it samples. */
const MESSAGES_PER_SECOND_MAX = 3_000;

const $ = (id) => document.getElementById(id);

export class Monitor {
  tree = new Tree();
  view = new TreeView(this.tree);
  #figures = new Figures();
  #connection;
  #onListeners;
  /** Messages since the second began, and when it began. */
  #taken = 0;
  #began = performance.now();
  /** When the tree left in this second, if it did. */
  #leftAt;
  /** Seconds in a row without having to leave: the word "sampling" must not flicker. */
  #quietSeconds = 0;

  /** `onListeners(listeners)` hears which addresses the hub has, if its figures name them. */
  constructor(onListeners) {
    this.#onListeners = onListeners;
    this.#connection = new Connection({
      onMessage: (message) => this.#take(message),
      onStatus: (state, retryMs) => this.#showStatus(state, retryMs),
      skip: (text) => this.#skip(text),
    });
    this.#connection.subscribe(STATS);
    // Topics with a history are there at once, each with its newest message.
    this.#connection.subscribe(EVERYTHING, { history: 1, ...LATEST });
    setInterval(() => this.#second(), SECOND_MS);
    document.addEventListener("visibilitychange", () => this.#visibility());
  }

  #take(message) {
    if (message.topic === STATS) {
      this.#figures.show(message.data);
      if (message.data.listeners) this.#onListeners(message.data.listeners);
      return;
    }
    this.#taken++;
    this.view.touched(this.tree.add(message));
    if (this.#taken >= MESSAGES_PER_SECOND_MAX) this.#leave();
  }

  /** What was on its way when the tree left is not worth the parsing. */
  #skip(text) {
    return this.#leftAt !== undefined && text.startsWith('{"topic":') && !text.startsWith('{"topic":"$');
  }

  #leave() {
    if (this.#leftAt !== undefined) return;
    this.#leftAt = performance.now();
    this.#quietSeconds = 0;
    $("sampling").hidden = false;
    this.#connection.unsubscribe(EVERYTHING).catch(() => {});
  }

  #second() {
    const now = performance.now();
    const listened = (this.#leftAt ?? now) - this.#began;
    const whole = now - this.#began;
    // A page in the background gets no timely ticks; its seconds say nothing about rates.
    if (whole < 3 * SECOND_MS) this.tree.tick((listened / whole) * (whole / SECOND_MS));
    this.#began = now;
    this.#taken = 0;
    if (this.#leftAt !== undefined) {
      this.#leftAt = undefined;
      // The retained messages came the first time; every second again would be a burden.
      if (!document.hidden) this.#connection.subscribe(EVERYTHING, { retained: false, ...LATEST }).catch(() => {});
    } else if (++this.#quietSeconds >= 3) {
      $("sampling").hidden = true;
    }
    this.view.schedule();
  }

  /** Nobody looks: the hub need not send. The figures go on, so that the chart has no hole. */
  #visibility() {
    if (document.hidden) this.#connection.unsubscribe(EVERYTHING).catch(() => {});
    else this.#connection.subscribe(EVERYTHING, LATEST).catch(() => {});
  }

  #showStatus(state, retryMs) {
    const status = $("status");
    // The attempts in between are no news.
    if (state === "connecting" && status.dataset.state === "waiting") return;
    status.dataset.state = state;
    status.textContent = { connecting: "connecting", open: "connected", waiting: "reconnecting" }[state];
    status.title = state === "waiting" ? `No connection to the hub; next attempt in ${(retryMs / 1000).toFixed(1)} s` : "";
    if (state === "waiting") this.#figures?.interrupted();
  }
}
