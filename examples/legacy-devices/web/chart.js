// A line of the last values.

import { element } from "./element.js";

const POINTS = 150;

export class Chart {
  #values = [];
  #line;
  #value;
  #max;
  #decimals;

  constructor(figure, { label, max, decimals = 0 }) {
    this.#max = max;
    this.#decimals = decimals;
    this.#value = element("b", "", "–");
    const caption = element("figcaption");
    caption.append(element("span", "", label), this.#value);
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", `0 0 ${POINTS - 1} 100`);
    svg.setAttribute("preserveAspectRatio", "none");
    this.#line = svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "polyline"));
    figure.append(caption, svg);
  }

  /** Shows one more; what is no number is left out. */
  add(value) {
    if (!Number.isFinite(value)) return;
    this.#values.push(value);
    if (this.#values.length > POINTS) this.#values.shift();
    this.#max = Math.max(this.#max, value);
    this.#value.textContent = value.toFixed(this.#decimals);
    const from = POINTS - this.#values.length;
    this.#line.setAttribute("points", this.#values.map((each, i) => `${from + i},${(98 - (96 * Math.max(0, each)) / this.#max).toFixed(1)}`).join(" "));
  }
}
