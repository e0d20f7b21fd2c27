// A lake, drawn from its shore: nothing is loaded from elsewhere.

const TRACK_MAX = 600;
const WIDTH = 1000;
const HEIGHT = 640;
const MARGIN = 50;
/** A degree of latitude, in kilometres. */
const DEGREE_KM = 111.2;
/** Grid lines are so many degrees apart. */
const GRID = 0.01;

export class LakeMap {
  #track = [];
  #line;
  #boat;
  #place;

  constructor(svg, shore) {
    const [lats, lons] = [0, 1].map((i) => shore.map((point) => point[i]));
    const middle = (Math.min(...lats) + Math.max(...lats)) / 2;
    const shrink = Math.cos((middle * Math.PI) / 180);
    const [west, east, south, north] = [Math.min(...lons), Math.max(...lons), Math.min(...lats), Math.max(...lats)];
    const scale = Math.min((WIDTH - 2 * MARGIN) / ((east - west) * shrink), (HEIGHT - 2 * MARGIN) / (north - south));
    const [left, top] = [(WIDTH - (east - west) * shrink * scale) / 2, (HEIGHT - (north - south) * scale) / 2];
    this.#place = ([lat, lon]) => [left + (lon - west) * shrink * scale, top + (north - lat) * scale];
    svg.append(make("polygon", { class: "water", points: this.#points(shore) }));
    for (let lon = Math.ceil(west / GRID) * GRID; lon < east; lon += GRID) {
      const [x] = this.#place([north, lon]);
      svg.append(make("line", { class: "grid", x1: x, x2: x, y1: 0, y2: HEIGHT }), label(x + 4, HEIGHT - 8, `${lon.toFixed(2)}° E`));
    }
    for (let lat = Math.ceil(south / GRID) * GRID; lat < north; lat += GRID) {
      const [, y] = this.#place([lat, west]);
      svg.append(make("line", { class: "grid", x1: 0, x2: WIDTH, y1: y, y2: y }), label(6, y - 5, `${lat.toFixed(2)}° N`));
    }
    const km = scale / DEGREE_KM;
    svg.append(make("line", { class: "scale", x1: WIDTH - 30 - km, x2: WIDTH - 30, y1: 30, y2: 30 }), label(WIDTH - 30 - km, 22, "1 km"));
    this.#line = svg.appendChild(make("polyline", { class: "track" }));
    this.#boat = svg.appendChild(make("path", { class: "boat", d: "M0 -17 L10 12 L0 6 L-10 12 Z", visibility: "hidden" }));
    this.#boat.dataset.test = "boat";
  }

  /** The boat is here now, and goes this way. */
  move({ lat, lon, course }) {
    this.#track.push([lat, lon]);
    if (this.#track.length > TRACK_MAX) this.#track.shift();
    this.#line.setAttribute("points", this.#points(this.#track));
    const [x, y] = this.#place([lat, lon]);
    this.#boat.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)}) rotate(${course})`);
    this.#boat.setAttribute("visibility", "visible");
  }

  #points(places) {
    return places.map((place) => this.#place(place).map((value) => value.toFixed(1)).join(",")).join(" ");
  }
}

function label(x, y, text) {
  const made = make("text", { x, y });
  made.textContent = text;
  return made;
}

function make(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  return made;
}
