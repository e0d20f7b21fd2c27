// Who is on a topic now. The hub is asked every other second while the page is looked at: whoever looks after a hub wants
// to see who is there, and not to be one of those who are.

import { ask } from "./api.js";
import { number } from "./format.js";

/** Clients shown. */
const SHOWN_MAX = 100;
const LOOK_MS = 2_000;

const $ = (id) => document.getElementById(id);

export class Present {
  #topic;
  #timer;

  /** Shows who is on a topic, or nothing. */
  show(topic) {
    clearTimeout(this.#timer);
    this.#topic = topic;
    $("present").hidden = true;
    if (topic !== undefined) this.#look();
  }

  async #look() {
    const topic = this.#topic;
    if (!document.hidden) {
      try {
        const there = await ask("GET", `api/v1/presence?topic=${encodeURIComponent(topic)}`);
        if (topic !== this.#topic) return;
        this.#write(there);
      } catch {
        // There may be no hub for a while; what was there then says nothing.
        if (topic !== this.#topic) return;
        $("present").hidden = true;
      }
    }
    this.#timer = setTimeout(() => this.#look(), LOOK_MS);
  }

  #write({ count, clients }) {
    $("present").hidden = count === 0;
    $("present-count").textContent = number(count);
    const more = count - Math.min(clients.length, SHOWN_MAX);
    const rows = document.createDocumentFragment();
    for (const client of clients.slice(0, SHOWN_MAX)) rows.append(newRow(client));
    if (more > 0) rows.append(newItem(`and ${number(more)} more`));
    $("present-rows").replaceChildren(rows);
  }
}

function newRow({ client, kind, user, connection }) {
  const row = newItem(client);
  row.dataset.test = "present-client";
  row.title = [kind, user, `connection ${connection}`].filter(Boolean).join(" · ");
  return row;
}

function newItem(text) {
  const row = document.createElement("li");
  row.textContent = text;
  return row;
}
