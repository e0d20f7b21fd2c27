// Who is in the room, and who is typing.

import { element } from "./element.js";

/** How long somebody counts as typing after the last letter. */
const TYPING_MS = 3_000;

const KINDS = { websocket: "browser", mqtt: "MQTT", tcp: "TCP", udp: "UDP", mqtt_sn: "MQTT-SN", sse: "browser", poll: "browser" };

const $ = (id) => document.getElementById(id);

/** How a client is called: as it says, or by its id. */
export function nameOf({ client, info }) {
  return typeof info?.name === "string" && info.name ? info.name : client;
}

/** Shows who is there. */
export function showPeople({ presence, count }) {
  const people = [...presence.values()].map((one) => ({ name: nameOf(one), kind: KINDS[one.kind] ?? one.kind }));
  people.sort((a, b) => a.name.localeCompare(b.name));
  const rows = people.map(({ name, kind }) => {
    const row = element("li");
    row.dataset.test = "person";
    row.append(element("span", "", name), element("small", "", kind));
    return row;
  });
  if (!people.length && count) rows.push(element("li", "", "too many to list"));
  $("who").replaceChildren(...rows);
  $("count").textContent = count;
}

export class Typing {
  #until = new Map();

  /** Somebody has typed a letter. */
  typed(name) {
    clearTimeout(this.#until.get(name));
    this.#until.set(name, setTimeout(() => this.stopped(name), TYPING_MS));
    this.#show();
  }

  /** Somebody has said it, or has thought better of it. */
  stopped(name) {
    clearTimeout(this.#until.get(name));
    if (this.#until.delete(name)) this.#show();
  }

  clear() {
    for (const timer of this.#until.values()) clearTimeout(timer);
    this.#until.clear();
    this.#show();
  }

  #show() {
    const names = [...this.#until.keys()];
    $("typing").textContent = names.length > 3 ? "Several are typing…" : names.length ? `${names.join(", ")} ${names.length > 1 ? "are" : "is"} typing…` : "";
  }
}
