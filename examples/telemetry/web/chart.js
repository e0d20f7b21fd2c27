// A chart of one or two lines whose time axis moves with the clock, drawn on a canvas.

/** How much of the past the chart shows. */
const SPAN_MS = 60_000;
/** The right edge lies this far in the past, so that the newest value slides in and does not jump. */
const DELAY_MS = 1_200;

const COLOURS = ["--first", "--second"];

export class Chart {
  #canvas;
  #context;
  #format;
  #fixedTop;
  #top = 0;
  #points = [];

  /** `top`: the value at the upper edge; without it the scale follows the values. `format(value)` labels the edge. */
  constructor(canvas, { top, format }) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
    this.#fixedTop = top;
    this.#format = format;
  }

  set top(value) {
    this.#fixedTop = value;
  }

  /** Adds a value for each line. */
  push(values) {
    const now = performance.now();
    this.#points.push({ at: now, values });
    while (this.#points[0].at < now - SPAN_MS - 2 * DELAY_MS) this.#points.shift();
  }

  /** Called for every frame. */
  draw(now) {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const ratio = devicePixelRatio || 1;
    const pixels = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.#canvas.width !== pixels[0] || this.#canvas.height !== pixels[1]) [this.#canvas.width, this.#canvas.height] = pixels;
    const context = this.#context;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const style = getComputedStyle(this.#canvas);
    const top = this.#scale();
    this.#grid(style, width, height, top);
    const right = now - DELAY_MS;
    const x = (at) => width * (1 - (right - at) / SPAN_MS);
    const y = (value) => height - 2 - (height - 6) * Math.min(1, value / top);
    const lines = this.#points[0]?.values.length ?? 0;
    for (let line = 0; line < lines; line++) {
      this.#line(style.getPropertyValue(COLOURS[line]), height, this.#points.map((it) => [x(it.at), y(it.values[line])]));
    }
  }

  /** The value at the upper edge, which glides to where it should be. */
  #scale() {
    if (this.#fixedTop) return this.#fixedTop;
    const highest = Math.max(1024, ...this.#points.flatMap(({ values }) => values)) * 1.1;
    this.#top = this.#top === 0 ? highest : this.#top + (highest - this.#top) * 0.12;
    return this.#top;
  }

  #grid(style, width, height, top) {
    const context = this.#context;
    context.strokeStyle = style.getPropertyValue("--line");
    context.lineWidth = 1;
    for (const part of [0, 0.5, 1]) {
      const y = Math.round(4 + (height - 6) * part) - 0.5;
      context.beginPath();
      context.moveTo(0, y);
      context.lineTo(width, y);
      context.stroke();
    }
    context.fillStyle = style.color;
    context.globalAlpha = 0.55;
    context.font = `10.5px ${style.fontFamily}`;
    context.fillText(this.#format(top), 2, 16);
    context.globalAlpha = 1;
  }

  #line(colour, height, points) {
    if (points.length < 2) return;
    const context = this.#context;
    context.beginPath();
    for (const [x, y] of points) context.lineTo(x, y);
    context.strokeStyle = colour;
    context.lineWidth = 1.75;
    context.lineJoin = "round";
    context.stroke();
    context.lineTo(points.at(-1)[0], height);
    context.lineTo(points[0][0], height);
    context.globalAlpha = 0.12;
    context.fillStyle = colour;
    context.fill();
    context.globalAlpha = 1;
  }
}
