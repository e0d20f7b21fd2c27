// One article on the page. Its words come from strangers: they are text, never markup.

import { element } from "./element.js";

const number = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "medium" });

export class Article {
  #reach = element("span", "reach");

  constructor({ id, title, text, at }) {
    this.at = Number.isFinite(at) ? at : 0;
    this.card = element("article", "article new");
    this.card.dataset.test = "article";
    this.card.dataset.id = id;
    this.card.dataset.at = this.at;
    this.#reach.dataset.test = "reach";
    const about = element("div", "about");
    about.append(element("time", "", clock.format(this.at)), this.#reach);
    this.card.append(element("h2", "", title), element("p", "", typeof text === "string" ? text : ""), about);
  }

  reached({ readers, of, ms }) {
    const all = readers >= of ? number.format(readers) : `${number.format(readers)} of ${number.format(of)}`;
    this.#reach.textContent = `with ${all} readers within ${number.format(ms)} ms`;
  }
}
