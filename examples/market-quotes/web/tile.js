// One symbol: its latest price, how far it is from where the day began, and the line of the last prices. What has come is
// remembered at once; the page is changed when it is painted, and only where it can be seen.

import { element } from "./element.js";

const WIDTH = 130;
const HEIGHT = 28;

const percent = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 2, signDisplay: "exceptZero" });

export class Tile {
  name = "";
  open;
  price;
  changes = 0;
  /** Steps that the hub left out, by the places of what came. */
  skipped = 0;
  isVisible = false;
  isStale = true;
  #offset;
  #points = [];
  #pointsMax;
  #parts;

  constructor(symbol, pointsMax) {
    this.symbol = symbol;
    this.#pointsMax = pointsMax;
  }

  /** Takes a price. */
  quote(price, offset) {
    if (offset !== undefined) {
      if (this.#offset !== undefined && offset > this.#offset) this.skipped += offset - this.#offset - 1;
      this.#offset = offset;
    }
    this.price = price;
    this.changes++;
    this.#points.push(price);
    if (this.#points.length > this.#pointsMax) this.#points.shift();
    this.isStale = true;
  }

  /** The part of the price at the beginning of the day by which it has risen. */
  get rise() {
    return this.open > 0 && this.price !== undefined ? this.price / this.open - 1 : 0;
  }

  /** What stands in the page. */
  get card() {
    return (this.#parts ??= this.#make()).card;
  }

  /** Writes what is new, if anybody can see it. */
  paint() {
    if (!this.isVisible || !this.isStale) return;
    this.isStale = false;
    const { card, name, price, change, canvas } = this.#parts;
    name.textContent = this.name;
    price.textContent = this.price === undefined ? "–" : this.price.toFixed(2);
    change.textContent = percent.format(this.rise);
    card.dataset.way = this.rise > 0 ? "up" : this.rise < 0 ? "down" : "";
    this.#draw(canvas);
  }

  #make() {
    const card = element("article", "tile");
    card.dataset.test = "tile";
    card.dataset.symbol = this.symbol;
    const [top, below] = [element("div", "line"), element("div", "line")];
    const price = element("span", "price");
    price.dataset.test = "price";
    const [name, change] = [element("span", "name"), element("span", "change")];
    const canvas = element("canvas");
    top.append(element("span", "symbol", this.symbol), price);
    below.append(name, change);
    card.append(top, below, canvas);
    return { card, name, price, change, canvas };
  }

  #draw(canvas) {
    const ratio = devicePixelRatio || 1;
    // Setting the size clears the canvas.
    canvas.width = WIDTH * ratio;
    canvas.height = HEIGHT * ratio;
    if (this.#points.length < 2) return;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const low = Math.min(...this.#points);
    const span = Math.max(...this.#points) - low || 1;
    const x = (at) => WIDTH - ((this.#points.length - 1 - at) * WIDTH) / (this.#pointsMax - 1);
    context.beginPath();
    this.#points.forEach((price, at) => context.lineTo(x(at), 2 + (HEIGHT - 4) * (1 - (price - low) / span)));
    context.strokeStyle = getComputedStyle(canvas).getPropertyValue(this.rise < 0 ? "--bad" : "--first");
    context.lineWidth = 1.4;
    context.lineJoin = "round";
    context.stroke();
  }
}
