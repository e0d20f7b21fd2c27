// All tiles: which there are, in which order, and the painting of those in sight.

import { Tile } from "./tile.js";

/** An order by price changes all the time; nobody can read what jumps. */
const ORDER_MS = 2_000;

const ORDERS = {
  symbol: (a, b) => (a.symbol < b.symbol ? -1 : 1),
  up: (a, b) => b.rise - a.rise,
  down: (a, b) => a.rise - b.rise,
  busy: (a, b) => b.changes - a.changes,
};

export class Board {
  #list;
  #pointsMax;
  #tiles = new Map();
  #byCard = new WeakMap();
  #order = "symbol";
  #wanted = "";
  #isOutOfOrder = false;
  /** A tile that nobody sees costs nothing but its memory. */
  #sight = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) this.#byCard.get(target).isVisible = isIntersecting;
  }, { rootMargin: "100px" });

  constructor(list, pointsMax) {
    this.#list = list;
    this.#pointsMax = pointsMax;
    setInterval(() => (this.#isOutOfOrder ||= this.#order !== "symbol"), ORDER_MS);
  }

  get size() {
    return this.#tiles.size;
  }

  /** Steps that the hub left out, of all symbols. */
  get skipped() {
    let sum = 0;
    for (const tile of this.#tiles.values()) sum += tile.skipped;
    return sum;
  }

  /** A symbol is traded, under this name, and its day began at this price. */
  list(symbol, about) {
    if (!(about?.price > 0)) return;
    const tile = this.#tile(symbol);
    tile.name = `${about.name ?? ""}`;
    tile.open = about.price;
    tile.isStale = true;
  }

  /** A symbol has another price. */
  quote(symbol, price, offset) {
    if (Number.isFinite(price)) this.#tile(symbol).quote(price, offset);
  }

  /** Orders by one of `symbol`, `up`, `down` and `busy`. */
  orderBy(order) {
    this.#order = order;
    this.#isOutOfOrder = true;
  }

  /** Shows the symbols that contain this, or whose names do. */
  search(wanted) {
    this.#wanted = wanted.toLowerCase();
    for (const tile of this.#tiles.values()) this.#hideOrShow(tile);
  }

  /** Brings the page up to date. */
  paint() {
    if (this.#isOutOfOrder) {
      this.#isOutOfOrder = false;
      const tiles = [...this.#tiles.values()].sort(ORDERS[this.#order]);
      this.#list.append(...tiles.map(({ card }) => card));
    }
    for (const tile of this.#tiles.values()) tile.paint();
  }

  #tile(symbol) {
    let tile = this.#tiles.get(symbol);
    if (!tile) {
      tile = new Tile(symbol, this.#pointsMax);
      this.#tiles.set(symbol, tile);
      this.#byCard.set(tile.card, tile);
      this.#sight.observe(tile.card);
      this.#hideOrShow(tile);
      this.#isOutOfOrder = true;
    }
    return tile;
  }

  #hideOrShow(tile) {
    tile.card.hidden = !`${tile.symbol} ${tile.name}`.toLowerCase().includes(this.#wanted);
  }
}
