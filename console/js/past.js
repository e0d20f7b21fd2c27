// What a topic has been: the newest of its history, with a line through the values if they are numbers. The hub is asked
// for what came since the last look, so that nothing depends on how much of the live messages the tree listens to.

import { ask } from "./api.js";
import { line, number, time } from "./format.js";

/** Messages shown. */
const SHOWN_MAX = 100;
/** The hub is asked at most so often. */
const LOOK_MS = 500;
const PAYLOAD_CHARS_MAX = 200;
const WIDTH = 240;
const HEIGHT = 40;

const $ = (id) => document.getElementById(id);

export class Past {
  #topic;
  #next;
  #messages = [];
  #timer;

  /** Shows the history of a topic, or none. */
  show(topic) {
    clearTimeout(this.#timer);
    this.#topic = topic;
    this.#next = this.#timer = undefined;
    this.#messages = [];
    $("past").hidden = topic === undefined;
    if (topic === undefined) return;
    this.#write();
    this.#look();
  }

  /** Something new is on the topic. */
  touched() {
    this.#timer ??= setTimeout(() => this.#look(), LOOK_MS);
  }

  async #look() {
    const topic = this.#topic;
    const from = this.#next === undefined ? `last=${SHOWN_MAX}` : `limit=${SHOWN_MAX}&since=${this.#next}`;
    try {
      const page = await ask("GET", `api/v1/history?topic=${encodeURIComponent(topic)}&${from}`);
      if (topic !== this.#topic) return;
      this.#timer = undefined;
      // More came than is shown, or the hub let go of some: the newest are what counts.
      if (this.#next !== undefined && (page.more || page.gap)) {
        this.#next = undefined;
        this.#messages = [];
        return this.#look();
      }
      this.#next = page.next ?? undefined;
      this.#messages = this.#messages.concat(page.messages).slice(-SHOWN_MAX);
      this.#write();
    } catch (error) {
      if (topic !== this.#topic) return;
      this.#timer = undefined;
      $("past-count").textContent = error.message;
    }
  }

  #write() {
    const rows = document.createDocumentFragment();
    for (const message of this.#messages.toReversed()) rows.append(newRow(message));
    $("past-rows").replaceChildren(rows);
    const count = this.#messages.length;
    $("past-count").textContent = count ? `the newest ${number(count)}, up to offset ${this.#messages[count - 1].offset}` : "empty";
    const values = this.#messages.map(({ data }) => data);
    const points = values.length > 1 && values.every((value) => typeof value === "number") ? values : [];
    $("past-line").toggleAttribute("hidden", !points.length);
    if (points.length) this.#draw(points);
  }

  #draw(values) {
    const low = Math.min(...values);
    const span = Math.max(...values) - low || 1;
    const x = (at) => ((WIDTH * at) / (values.length - 1)).toFixed(1);
    const y = (value) => (2 + (HEIGHT - 4) * (1 - (value - low) / span)).toFixed(1);
    $("past-line").firstElementChild.setAttribute("points", values.map((value, at) => `${x(at)},${y(value)}`).join(" "));
    $("past-line").setAttribute("aria-label", `From ${low} to ${low + span}, now ${values.at(-1)}`);
  }
}

function newRow(message) {
  const row = document.createElement("li");
  row.dataset.test = "past-message";
  const at = new Date(message.time / 1000);
  const when = document.createElement("time");
  when.className = "at";
  when.dateTime = at.toISOString();
  when.textContent = time(at);
  const payload = document.createElement("span");
  payload.className = "payload";
  payload.textContent = line(message, PAYLOAD_CHARS_MAX);
  row.append(when, payload);
  return row;
}
