// The city as a drawing: lines, stops, and vehicles that glide from position to position.

const COLOURS = ["--line-1", "--line-2", "--line-3", "--line-4"];
/** Lines that share a way are drawn beside each other. */
const BESIDE = 5;

export class City {
  #vehicles = new Map();
  #lines;
  #layer;

  constructor(map, { lines, stops }) {
    this.#lines = lines;
    lines.forEach(({ stops: way }, i) => {
      const points = way.map((stop) => `${stops[stop].x},${stops[stop].y + offset(i)}`).join(" ");
      map.append(svg("polyline", { class: "way", points, style: `stroke: var(${COLOURS[i % COLOURS.length]})` }));
    });
    for (const { name, x, y } of stops) {
      const group = svg("g", { class: "stop", transform: `translate(${x} ${y})` });
      const label = svg("text", { x: 0, y: y > 540 ? 26 : -14, "text-anchor": x > 900 ? "end" : x < 100 ? "start" : "middle" });
      label.textContent = name;
      group.append(svg("circle", { r: 6 }), label);
      map.append(group);
    }
    this.#layer = map.appendChild(svg("g", {}));
  }

  move(name, { line, x, y, at }) {
    const vehicle = this.#vehicles.get(name) ?? this.#add(name, line);
    const number = this.#lines.findIndex((it) => it.name === line);
    vehicle.style.transform = `translate(${x}px, ${y + offset(Math.max(0, number))}px)`;
    vehicle.classList.toggle("stands", at !== undefined);
  }

  contact(name, state) {
    const vehicle = this.#vehicles.get(name);
    if (vehicle) vehicle.dataset.contact = state;
    else this.#waiting.set(name, state);
  }

  tunnel(name, within) {
    this.#vehicles.get(name)?.classList.toggle("tunnel", within);
  }

  /** What was said of vehicles that have no position yet. */
  #waiting = new Map();

  #add(name, line) {
    const number = this.#lines.findIndex((it) => it.name === line);
    const group = svg("g", { class: "vehicle", style: `--colour: var(${COLOURS[Math.max(0, number) % COLOURS.length]})` });
    group.dataset.test = "vehicle";
    group.dataset.name = name;
    group.dataset.contact = this.#waiting.get(name) ?? "in contact";
    const label = svg("text", { "text-anchor": "middle", y: 4 });
    label.textContent = name.replace(/^(.).*-/, "$1");
    group.append(svg("circle", { class: "halo", r: 19 }), svg("rect", { x: -14, y: -9, width: 28, height: 18, rx: 6 }), label);
    this.#layer.append(group);
    this.#vehicles.set(name, group);
    return group;
  }
}

const offset = (line) => ((line % 2) - 0.5) * BESIDE;

function svg(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [attribute, value] of Object.entries(attributes)) {
    if (attribute === "style") made.style.cssText = value;
    else made.setAttribute(attribute, value);
  }
  return made;
}
