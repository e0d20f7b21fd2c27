// The alarms that stand. Each is a retained message with an expiry: the hub says how much of it is left, and forgets
// it when it is over; the page does the same.

import { element } from "./element.js";

const list = document.getElementById("alarms");
const none = document.getElementById("no-alarms");

export class Alarms {
  #standing = new Map();
  #clear;

  /** `clear(topic)` is called when the person has seen an alarm. */
  constructor(clear) {
    this.#clear = clear;
    setInterval(() => this.#tick(), 250);
  }

  /** An alarm that is raised, again perhaps, or with an empty payload one that is no longer one. */
  take({ topic, data, expiry }) {
    const [, , machine, kind] = topic.split("/");
    if (data === "" || data === undefined) return this.#forget(topic);
    // One without an expiry is nobody's alarm of this plant.
    if (!machine || !kind || !Number.isFinite(expiry)) return;
    const alarm = this.#standing.get(topic) ?? this.#add(topic, machine, kind);
    alarm.until = performance.now() + expiry * 1000;
    this.#tick();
  }

  forgetAll() {
    for (const topic of [...this.#standing.keys()]) this.#forget(topic);
  }

  #add(topic, machine, kind) {
    const row = element("li", "alarm");
    row.dataset.test = "alarm";
    row.dataset.topic = topic;
    const left = element("span", "left");
    const seen = element("button", "seen", "Seen");
    seen.type = "button";
    seen.setAttribute("aria-label", `Clear ${kind} of ${machine}`);
    seen.onclick = () => this.#clear(topic);
    row.append(element("strong", "", kind.replaceAll("-", " ")), element("span", "where", machine), left, seen);
    list.prepend(row);
    const alarm = { row, left };
    this.#standing.set(topic, alarm);
    return alarm;
  }

  #forget(topic) {
    this.#standing.get(topic)?.row.remove();
    this.#standing.delete(topic);
    none.hidden = this.#standing.size > 0;
  }

  #tick() {
    const now = performance.now();
    for (const [topic, { until, left }] of [...this.#standing]) {
      if (until <= now) this.#forget(topic);
      else left.textContent = `${Math.ceil((until - now) / 1000)} s`;
    }
    none.hidden = this.#standing.size > 0;
  }
}
