// A gauge, which shows how things stand, and a chart, which shows how they came to stand so. Both are drawn once for each
// picture at most, whatever comes in.

const NS = "http://www.w3.org/2000/svg";

/** Half a circle. */
const ARC = "M 12 58 A 38 38 0 0 1 88 58";
const ARC_LENGTH = Math.PI * 38;

const stale = new Set();

export class Gauge {
  svg = shape("svg", { class: "gauge", viewBox: "0 0 100 66", role: "meter" });
  #hand = shape("path", { class: "hand", d: ARC, "stroke-dasharray": ARC_LENGTH, "stroke-dashoffset": ARC_LENGTH });
  #low;
  #high;
  #value = 0;

  constructor(what, { low, high }) {
    [this.#low, this.#high] = [low, high];
    this.svg.append(shape("path", { class: "scale", d: ARC }), this.#hand);
    for (const [name, value] of Object.entries({ label: what, valuemin: low, valuemax: high })) this.svg.setAttribute(`aria-${name}`, value);
  }

  show(value) {
    this.#value = value;
    later(this);
  }

  draw() {
    const part = Math.max(0, Math.min(1, (this.#value - this.#low) / (this.#high - this.#low)));
    this.svg.setAttribute("aria-valuenow", this.#value);
    this.#hand.setAttribute("stroke-dashoffset", ARC_LENGTH * (1 - part));
  }
}

export class Chart {
  svg = shape("svg", { class: "chart", preserveAspectRatio: "none", "aria-hidden": "true" });
  #line = shape("polyline", {});
  #points = [];
  #pointsMax;

  constructor(pointsMax) {
    this.#pointsMax = pointsMax;
    this.svg.setAttribute("viewBox", `0 0 ${pointsMax - 1} 100`);
    this.svg.append(this.#line);
  }

  push(value) {
    this.#points.push(value);
    if (this.#points.length > this.#pointsMax) this.#points.shift();
    later(this);
  }

  draw() {
    const low = Math.min(...this.#points);
    // A quiet line stays quiet: noise does not fill the height.
    const span = Math.max(2, Math.max(...this.#points) - low);
    const first = this.#pointsMax - this.#points.length;
    const at = (value, index) => `${first + index},${(96 - (92 * (value - low)) / span).toFixed(1)}`;
    this.#line.setAttribute("points", this.#points.map(at).join(" "));
  }
}

function later(instrument) {
  if (stale.size === 0) {
    requestAnimationFrame(() => {
      for (const each of stale) each.draw();
      stale.clear();
    });
  }
  stale.add(instrument);
}

function shape(name, attributes) {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
