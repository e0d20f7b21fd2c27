// Bans and users. Both are listed once somebody asks for them: where the hub knows users and this page was let in without
// one, the browser asks for a name and a password then, and not before.

import { ask, row, say, sureButton } from "./api.js";
import { duration, number } from "./format.js";

const $ = (id) => document.getElementById(id);

/** The members of a ban that say whom it is for, and what they are called here. */
const KINDS = { client_id: "client id", user: "user", address: "address" };

/** How the table stands in its card: hidden until it is asked for. */
function show(name) {
  $(`${name}-body`).hidden = false;
  $(`${name}-refresh`).textContent = "Refresh";
}

export class Bans {
  constructor() {
    $("ban-refresh").addEventListener("click", () => this.refresh());
    $("ban-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#add();
    });
  }

  refresh() {
    return say($("ban-answer"), async () => {
      await this.#list();
      return "";
    });
  }

  async #list() {
    const list = await ask("GET", "api/v1/bans");
    show("ban");
    $("ban-rows").replaceChildren(...list.bans.map((ban) => this.#row(ban)));
    $("ban-count").textContent = number(list.total) + (list.applied ? "" : ", and nobody is held to them (bans.apply)");
  }

  #add() {
    const ban = { [$("ban-kind").value]: $("ban-whom").value };
    if ($("ban-reason").value) ban.reason = $("ban-reason").value;
    if ($("ban-expires").value) ban.expires_in_s = Number($("ban-expires").value);
    return say($("ban-answer"), async () => {
      const done = await ask("POST", "api/v1/bans", ban);
      $("ban-whom").value = $("ban-reason").value = "";
      await this.#list();
      const cut = done.disconnected === 1 ? "1 connection has" : `${number(done.disconnected)} connections have`;
      return `Banned. ${cut} ended.${done.kept ? "" : " It is forgotten with the next start: the hub keeps no store."}`;
    });
  }

  #row(ban) {
    const kind = Object.keys(KINDS).find((name) => name in ban);
    const whom = ban[kind];
    const { element, cell } = row("ban");
    element.dataset.whom = whom;
    cell(KINDS[kind]);
    cell(whom, "mono name").title = whom;
    cell(ban.reason ?? "", "name").title = ban.reason ?? "";
    cell(ban.by ?? (ban.automatic ? "the hub itself" : ""));
    cell(new Date(ban.set_at * 1000).toLocaleString());
    cell(ban.expires_in_s === null ? "never" : `in ${duration(ban.expires_in_s)}`);
    cell(number(ban.refused), "number");
    const about = `Take back the ban of the ${KINDS[kind]} ${whom}`;
    cell("").append(sureButton("Take back", "ban-remove", about, () => say($("ban-answer"), async () => {
      await ask("DELETE", `api/v1/bans/${kind}/${encodeURIComponent(whom)}`);
      await this.#list();
      return `The ${KINDS[kind]} ${whom} may come again.`;
    })));
    return element;
  }
}

export class Users {
  constructor() {
    $("user-refresh").addEventListener("click", () => this.refresh());
    $("user-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#set();
    });
  }

  refresh() {
    return say($("user-answer"), async () => {
      await this.#list();
      return "";
    });
  }

  async #list() {
    const list = await ask("GET", "api/v1/users");
    show("user");
    $("user-form").hidden = !list.asked;
    $("user-rows").replaceChildren(...list.users.map((user) => this.#row(user)));
    $("user-count").textContent = list.asked ? number(list.total) : "none: this hub asks nobody who they are";
  }

  #set() {
    const name = $("user-name").value;
    return say($("user-answer"), async () => {
      const done = await ask("PUT", `api/v1/users/${encodeURIComponent(name)}`, { password: $("user-password").value });
      $("user-name").value = $("user-password").value = "";
      await this.#list();
      const cut = done.disconnected > 0 ? ` ${number(done.disconnected)} connections have ended.` : "";
      return `${name} is ${done.changed ? "given another password" : "added"}.${cut}`;
    });
  }

  #row(user) {
    const { element, cell } = row("user");
    element.dataset.user = user.user;
    cell(user.user, "mono name").title = user.user;
    const source = user.source === "file" ? "file, changed by trefoil passwd" : "store";
    cell(user.hidden ? "store, hidden by the same one in the file" : source);
    cell(user.record);
    const last = cell("");
    if (user.source === "store") {
      const about = `Delete the user ${user.user}`;
      last.append(sureButton("Delete", "user-delete", about, () => say($("user-answer"), async () => {
        await ask("DELETE", `api/v1/users/${encodeURIComponent(user.user)}`);
        await this.#list();
        return `${user.user} is deleted.`;
      })));
    }
    return element;
  }
}
