// Two lines that move over a small canvas: the recent past of two rates.

import { number } from "./format.js";

/** Two minutes at one value a second. */
const POINTS_MAX = 120;
/** The chart begins with this span and widens as the line grows, so that it is never nearly empty. */
const POINTS_MIN = 40;

export class Chart {
  #canvas;
  #context;
  #series;
  #label;
  #top = 1;

  /** `series`: the names of the CSS colours, one for each line. `label` shows the value at the upper edge. */
  constructor(canvas, series, label) {
    this.#canvas = canvas;
    this.#label = label;
    this.#context = canvas.getContext("2d");
    this.#series = series.map((colour) => ({ colour, points: [] }));
    new ResizeObserver(() => this.draw()).observe(canvas);
    addEventListener("themechange", () => this.draw());
  }

  /** Adds one value to each line, in order, and forgets what is older than two minutes. */
  push(values) {
    this.#series.forEach(({ points }, i) => {
      points.push(values[i]);
      if (points.length > POINTS_MAX) points.shift();
    });
    this.draw();
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const ratio = devicePixelRatio || 1;
    // Setting the size clears the canvas.
    this.#canvas.width = Math.round(width * ratio);
    this.#canvas.height = Math.round(height * ratio);
    const context = this.#context;
    context.scale(ratio, ratio);
    const style = getComputedStyle(this.#canvas);
    const highest = Math.max(1, ...this.#series.flatMap(({ points }) => points));
    this.#top = niceTop(highest);
    this.#label.textContent = this.#series[0].points.length ? number(this.#top) : "";
    context.strokeStyle = style.getPropertyValue("--line");
    context.lineWidth = 1;
    context.setLineDash([2, 4]);
    for (const part of [0, 0.5, 1]) {
      const y = Math.round((height - 3) * part) + 1.5;
      context.beginPath();
      context.moveTo(0, y);
      context.lineTo(width, y);
      context.stroke();
    }
    context.setLineDash([]);
    for (const { colour, points } of this.#series) this.#line(style.getPropertyValue(colour), points, width, height);
  }

  #line(colour, points, width, height) {
    if (points.length < 2) return;
    const context = this.#context;
    const step = width / (Math.max(POINTS_MIN, points.length) - 1);
    const x = (i) => width - (points.length - 1 - i) * step;
    const y = (value) => 2 + (height - 4) * (1 - value / this.#top);
    context.beginPath();
    points.forEach((value, i) => context.lineTo(x(i), y(value)));
    context.strokeStyle = colour;
    context.lineWidth = 1.75;
    context.lineJoin = "round";
    context.stroke();
    context.lineTo(width, height);
    context.lineTo(x(0), height);
    context.globalAlpha = 0.1;
    context.fillStyle = colour;
    context.fill();
    context.globalAlpha = 1;
  }
}

/** The next of 1, 2, 5, 10, 20… so that the scale jumps seldom. */
function niceTop(value) {
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((factor) => factor * unit >= value) * unit;
}
