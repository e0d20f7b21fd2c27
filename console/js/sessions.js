// The largest sessions, and the end of one. A click asks; nothing is asked again and again, since the hub looks at all
// of its sessions for it.

import { ask, row, say, sureButton } from "./api.js";
import { duration, number, size } from "./format.js";

const LIMIT = 50;

const $ = (id) => document.getElementById(id);

export class Sessions {
  constructor() {
    $("session-refresh").addEventListener("click", () => this.refresh());
    $("session-sort").addEventListener("change", () => this.refresh());
    $("session-more").addEventListener("click", () => this.#list($("session-rows").rows.length));
    this.refresh();
  }

  refresh() {
    return this.#list(0);
  }

  /** Shows those that come behind the first `offset` of the list below them. */
  async #list(offset) {
    await this.#answer(async () => {
      const page = `limit=${LIMIT}&offset=${offset}`;
      const list = await ask("GET", `api/v1/sessions?sort=${$("session-sort").value}&${page}`);
      const rows = list.sessions.map((session) => this.#row(session));
      const body = $("session-rows");
      if (offset) body.append(...rows);
      else body.replaceChildren(...rows);
      const shown = body.rows.length;
      const total = Math.max(list.total, shown);
      $("session-count").textContent = shown < total ? `${number(shown)} of ${number(total)}` : number(total);
      $("session-more").hidden = shown >= total || !rows.length;
      return "";
    });
  }

  #row(session) {
    const { element, cell } = row("session");
    element.dataset.clientId = session.client_id;
    cell(session.client_id, "mono name").title = session.client_id;
    cell(session.user ?? "");
    cell(session.connected ? "now" : `${duration(session.away_s)} ago`);
    cell(expiry(session));
    for (const count of [session.subscriptions, session.queued_messages]) cell(number(count), "number");
    cell(size(session.queued_bytes), "number");
    cell(number(session.in_flight), "number");
    cell("").append(this.#button(session));
    return element;
  }

  /** What waits for the client is gone then. */
  #button(session) {
    const about = `Drop the session of ${session.client_id} with all that waits for it`;
    return sureButton("Drop", "session-drop", about, (row) => this.#answer(async () => {
      await ask("DELETE", `api/v1/sessions/${encodeURIComponent(session.client_id)}`);
      row.remove();
      return `The session of ${session.client_id} has ended.`;
    }));
  }

  #answer(work) {
    return say($("session-answer"), work);
  }
}

function expiry(session) {
  if (session.connected) return session.expiry_s === null ? "never" : session.expiry_s ? `${duration(session.expiry_s)} after` : "with it";
  return session.expires_in_s === null ? "never" : `in ${duration(session.expires_in_s)}`;
}
