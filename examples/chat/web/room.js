// The room that is open: what was said in it, who is there, who is typing. It is two subscriptions and nothing else.

import { element } from "./element.js";
import { Typing, showPeople } from "./people.js";

/** What is asked for of what was said before, and how much is shown at most. */
const REMEMBERED = 100;
const SHOWN_MAX = 500;

const $ = (id) => document.getElementById(id);
const clock = new Intl.DateTimeFormat("en", { timeStyle: "short" });

export class Room {
  #said;
  #typing;
  #typists = new Typing();
  /** What has been said, by its id: at QoS 1 a message may come twice. */
  #known = new Set();
  #me;

  constructor(client, name, me) {
    this.#me = me;
    $("room-title").textContent = name;
    $("log").replaceChildren();
    $("gap").hidden = true;
    this.#said = client.subscribe(`chat/${name}/said`, ({ data }) => this.#say(data), { qos: 1, history: REMEMBERED, presence: true });
    this.#typing = client.subscribe(`chat/${name}/typing`, ({ data }) => this.#typed(data), { noLocal: true });
    for (const event of ["join", "leave", "presence"]) this.#said.on(event, () => showPeople(this.#said));
    this.#said.on("gap", () => ($("gap").hidden = false));
    this.#said.ready.catch(({ message }) => ($("answer").textContent = message));
    showPeople(this.#said);
  }

  /** Leaves it. */
  leave() {
    this.#typists.clear();
    for (const subscription of [this.#said, this.#typing]) subscription.unsubscribe().catch(() => {});
  }

  #say(data) {
    const { id, from, text, at } = data ?? {};
    // Whoever publishes by hand need not number what he says.
    if (typeof from !== "string" || typeof text !== "string" || (id !== undefined && this.#known.has(id))) return;
    if (id !== undefined) this.#known.add(id);
    if (this.#known.size > 2 * SHOWN_MAX) this.#known.delete(this.#known.values().next().value);
    this.#typists.stopped(from);
    const row = element("li", from === this.#me() ? "mine" : "");
    row.dataset.test = "said";
    const head = element("div", "from");
    head.append(element("b", "", from), element("time", "", Number.isFinite(at) ? clock.format(at) : ""));
    row.append(head, element("p", "", text));
    const log = $("log");
    const isAtEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 40;
    log.append(row);
    while (log.children.length > SHOWN_MAX) log.firstChild.remove();
    if (isAtEnd) log.scrollTop = log.scrollHeight;
  }

  #typed(data) {
    if (typeof data?.from === "string" && data.from !== this.#me()) this.#typists.typed(data.from.slice(0, 40));
  }
}
