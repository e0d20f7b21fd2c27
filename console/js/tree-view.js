// Shows the tree. Only the rows in sight exist in the page, and they are written once per animation frame at most,
// so that the cost does not depend on how many topics or messages there are.

import { full, line, number, rate, time } from "./format.js";
import { Past } from "./past.js";

const ROW_PX = 26;
/** Rows above and below the visible part, so that scrolling does not show gaps. */
const MARGIN_ROWS = 6;
const PAYLOAD_CHARS_MAX = 200;
const DETAIL_CHARS_MAX = 20_000;

const $ = (id) => document.getElementById(id);

export class TreeView {
  #tree;
  #list = $("tree");
  #spacer = document.createElement("div");
  #pool = [];
  #rows = [];
  #rowsVersion = -1;
  #filter = "";
  #selected;
  #past = new Past();
  /** Whether the past of the selected topic is shown. */
  #hasPast = false;
  #scheduled = false;
  /** Topics with news since the last frame: their rows flash. */
  #fresh = new Set();

  constructor(tree) {
    this.#tree = tree;
    this.#spacer.className = "spacer";
    this.#list.append(this.#spacer);
    this.#list.addEventListener("scroll", () => this.schedule(), { passive: true });
    this.#list.addEventListener("click", (event) => this.#click(event));
    this.#list.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.schedule()).observe(this.#list);
    $("tree-filter").addEventListener("input", () => this.#setFilter($("tree-filter").value.trim()));
    $("tree-fold").addEventListener("click", () => this.#foldAll());
    $("tree-clear").addEventListener("click", () => this.clear());
    $("detail-close").addEventListener("click", () => this.#select(undefined));
    this.schedule();
  }

  /** The topic that the reader selected. */
  get selected() {
    return this.#selected?.topic;
  }

  touched(node) {
    if (node) this.#fresh.add(node);
    if (node && node === this.#selected) this.#showPast();
    this.schedule();
  }

  clear() {
    this.#tree.clear();
    this.#fresh.clear();
    this.#select(undefined);
  }

  schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      this.#render();
    });
  }

  #render() {
    if (this.#rowsVersion !== this.#tree.version) {
      this.#rows = this.#tree.rows(this.#filter);
      this.#rowsVersion = this.#tree.version;
      this.#spacer.style.height = `${this.#rows.length * ROW_PX}px`;
    }
    const first = Math.max(0, Math.floor(this.#list.scrollTop / ROW_PX) - MARGIN_ROWS);
    const count = Math.ceil(this.#list.clientHeight / ROW_PX) + 2 * MARGIN_ROWS;
    for (let i = 0; i < Math.max(count, this.#pool.length); i++) {
      const node = i < count ? this.#rows[first + i] : undefined;
      if (node) this.#write((this.#pool[i] ??= this.#newRow()), node, first + i);
      else if (this.#pool[i]) this.#pool[i].hidden = true;
    }
    this.#fresh.clear();
    const { nodes, unplaced } = this.#tree;
    $("tree-empty").hidden = nodes > 0;
    this.#list.hidden = $("tree-head").hidden = nodes === 0;
    $("topic-count").textContent = unplaced
      ? `${number(nodes)} nodes, the most it holds; ${number(unplaced)} messages on other topics`
      : nodes
        ? `${number(nodes)} nodes`
        : "";
    this.#list.setAttribute("aria-activedescendant", this.#selectedRow()?.id ?? "");
    if (this.#selected) this.#writeDetail();
  }

  #newRow() {
    const row = document.createElement("div");
    row.id = `topic-row-${this.#pool.length}`;
    row.className = "node";
    row.dataset.test = "topic-node";
    row.setAttribute("role", "treeitem");
    row.innerHTML =
      '<span class="twist" aria-hidden="true"></span><span class="name"></span><span class="payload"></span><span class="total"></span><span class="per-second"></span>';
    this.#list.append(row);
    return row;
  }

  #write(row, node, index) {
    row.hidden = false;
    const moved = row.node !== node;
    row.node = node;
    row.style.transform = `translateY(${index * ROW_PX}px)`;
    row.dataset.topic = node.topic;
    const [twist, name, payload, total, perSecond] = row.children;
    const branch = node.children.size > 0;
    const open = branch && (this.#filter !== "" || node.open);
    twist.textContent = branch ? (open ? "▾" : "▸") : "";
    twist.style.marginInlineStart = `${(node.level - 1) * 16}px`;
    row.setAttribute("aria-level", node.level);
    if (branch) row.setAttribute("aria-expanded", open);
    else row.removeAttribute("aria-expanded");
    row.setAttribute("aria-selected", node === this.#selected);
    set(name, node.name || "(empty)");
    set(payload, node.message ? line(node.message, PAYLOAD_CHARS_MAX) : open ? "" : `${number(node.children.size)} below`);
    payload.classList.toggle("note", !node.message);
    row.classList.toggle("retained", !!node.message?.retain);
    set(total, node.count ? number(node.count) : "");
    set(perSecond, node.rate >= 0.1 ? `${rate(Math.round(node.rate * 10) / 10)}/s` : "");
    if (this.#fresh.has(node)) flash(payload);
    else if (moved) payload.getAnimations().forEach((animation) => animation.cancel());
  }

  #writeDetail() {
    const node = this.#selected;
    const { message } = node;
    set($("detail-topic"), node.topic);
    const about = [
      node.count ? `${number(node.count)} messages` : "",
      message ? time(new Date(node.at)) : "",
      message?.qos ? `QoS ${message.qos}` : "",
      message?.retain ? "retained" : "",
      message?.content_type ?? "",
    ];
    set($("detail-about"), about.filter(Boolean).join(" · "));
    set($("detail-payload"), message ? full(message, DETAIL_CHARS_MAX) : "No message on this topic itself, only below it.");
  }

  #select(node) {
    if (node !== this.#selected) {
      this.#hasPast = false;
      this.#past.show(undefined);
    }
    this.#selected = node;
    $("detail").hidden = !node;
    this.#showPast();
    this.schedule();
  }

  /** A message with a place is of a topic that has a history. */
  #showPast() {
    if (this.#hasPast) {
      this.#past.touched();
    } else if (this.#selected?.message?.offset !== undefined) {
      this.#hasPast = true;
      this.#past.show(this.#selected.topic);
    }
  }

  #selectedRow() {
    return this.#selected && this.#pool.find((row) => !row.hidden && row.node === this.#selected);
  }

  #click(event) {
    const row = event.target.closest(".node");
    if (!row) return;
    if (event.target.classList.contains("twist") && row.node.children.size) this.#toggle(row.node, !row.node.open);
    else this.#select(row.node);
  }

  #key(event) {
    const at = this.#rows.indexOf(this.#selected);
    const node = this.#selected;
    const page = Math.max(1, Math.floor(this.#list.clientHeight / ROW_PX) - 1);
    const steps = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: this.#rows.length - 1, PageDown: at + page, PageUp: at - page };
    if (event.key in steps) {
      this.#goTo(steps[event.key]);
    } else if (event.key === "ArrowRight" && node?.children.size) {
      if (node.open) this.#goTo(at + 1);
      else this.#toggle(node, true);
    } else if (event.key === "ArrowLeft" && node) {
      if (node.children.size && node.open) this.#toggle(node, false);
      else this.#goTo(this.#rows.indexOf(node.parent));
    } else if (event.key === "Enter" && node?.children.size) {
      this.#toggle(node, !node.open);
    } else if (event.key === "Escape") {
      this.#select(undefined);
    } else {
      return;
    }
    event.preventDefault();
  }

  #goTo(index) {
    const row = Math.max(0, Math.min(index, this.#rows.length - 1));
    if (!this.#rows[row]) return;
    const top = row * ROW_PX;
    const { scrollTop, clientHeight } = this.#list;
    if (top < scrollTop) this.#list.scrollTop = top;
    else if (top + ROW_PX > scrollTop + clientHeight) this.#list.scrollTop = top + ROW_PX - clientHeight;
    this.#select(this.#rows[row]);
  }

  #toggle(node, open) {
    node.chosen = open;
    this.#tree.version++;
    this.schedule();
  }

  #foldAll() {
    const button = $("tree-fold");
    const open = button.textContent === "Expand";
    this.#tree.fold(open);
    button.textContent = open ? "Collapse" : "Expand";
    this.schedule();
  }

  #setFilter(filter) {
    this.#filter = filter;
    this.#rowsVersion = -1;
    this.#list.scrollTop = 0;
    this.schedule();
  }
}

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const calm = matchMedia("(prefers-reduced-motion: reduce)");

function flash(element) {
  if (calm.matches) return;
  const [running] = element.getAnimations();
  // One flash at a time: a topic with many messages glows, it does not flicker.
  if (running) running.currentTime = 0;
  else element.animate([{ color: "var(--accent)" }, { color: "var(--accent)", offset: 0.3 }, {}], { duration: 900 });
}
