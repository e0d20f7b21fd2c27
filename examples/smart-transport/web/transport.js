// Listens to `transport/#` and shows it. Positions and contact come straight from the vehicles' topics; what was
// counted comes from the centre, on `transport/state`. Buttons publish to `transport/centre/…`.

import { City } from "./map.js";
import { Devices } from "./devices.js";
import { Fleet } from "./fleet.js";

const status = document.getElementById("status");
const configuration = await (await fetch("configuration.json")).json();
const city = new City(document.getElementById("map"), configuration);
const devices = new Devices(document.getElementById("devices"));
const fleet = new Fleet(document.getElementById("fleet"), configuration.doings, ask);
let socket;
let nextId = 1;

makeLinkForm();
connect(0);

function connect(attempts) {
  socket = new WebSocket(configuration.hub);
  socket.onopen = () => {
    show("connected");
    attempts = 0;
    socket.send(JSON.stringify({ sub: "transport/#" }));
  };
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    if (frame.topic !== undefined) take(frame);
    else if (frame.error) console.error(frame.error.reason);
  };
  socket.onclose = () => {
    show("reconnecting");
    const wait = Math.min(5_000, 300 * 2 ** attempts) * (0.5 + Math.random() / 2);
    setTimeout(() => connect(attempts + 1), wait);
  };
}

function show(state) {
  status.dataset.state = state;
  status.textContent = state;
}

/** Asks the centre for something. */
function ask(what, data) {
  if (socket.readyState !== WebSocket.OPEN) return;
  socket.send(JSON.stringify({ pub: `transport/centre/${what}`, data, qos: 1, id: nextId++ }));
}

function take({ topic, data }) {
  const [, kind, name, what] = topic.split("/");
  if (kind === "state") return takeState(data);
  if (kind !== "vehicles") return;
  if (what === "position" && Number.isFinite(data?.x) && Number.isFinite(data?.y)) city.move(name, data);
  if (what === "contact") {
    city.contact(name, String(data));
    fleet.contact(name, String(data));
  }
}

function takeState({ total, vehicles, devices: stops, quality }) {
  devices.show(stops);
  fleet.count(vehicles);
  for (const { name, tunnel_s } of vehicles) city.tunnel(name, tunnel_s > 0);
  showTotals(total, vehicles);
  showLink(quality);
}

function showTotals(total, vehicles) {
  const { orders, link, devices } = total;
  const gaps = vehicles.reduce((sum, vehicle) => sum + vehicle.gaps, 0);
  const onTheWay = total.published - total.received;
  const wrong = devices.out_of_order + devices.strange + gaps + total.out_of_order + total.strange + orders.executed_twice + orders.confirmed_twice;
  const tiles = [
    ["published", total.published, "positions published"],
    ["received", total.received, onTheWay > 0 ? `received; ${onTheWay} on the way` : "received: all of them"],
    ["gaps", gaps, "missing in between"],
    ["disorder", total.out_of_order, "out of order"],
    ["orders", `${orders.confirmed} / ${orders.given}`, `orders confirmed; ${orders.given_while_away} given while away`],
    ["twice", orders.executed_twice, "carried out twice"],
    ["cuts", link.cuts + link.tunnels, `cuts and tunnels; ${link.packets_lost} packets lost`],
  ];
  const list = document.getElementById("totals");
  list.dataset.state = wrong === 0 ? "sound" : "wrong";
  if (list.children.length === 0) {
    for (const [name] of tiles) {
      const tile = element("div", "tile");
      const value = element("strong", "");
      value.dataset.test = `total-${name}`;
      tile.append(value, element("span", ""));
      list.append(tile);
    }
  }
  tiles.forEach(([, value, label], i) => {
    const [number, words] = list.children[i].children;
    number.textContent = typeof value === "number" ? value.toLocaleString("en") : value;
    words.textContent = label;
  });
}

function makeLinkForm() {
  const form = document.getElementById("link");
  const fields = [
    ["loss_percent", "loss", "%", 50, 1],
    ["delay_ms", "delay", "ms", 500, 10],
    ["jitter_ms", "jitter", "ms", 500, 10],
    ["cut_every_s", "a cut every", "s", 60, 1],
    ["stall_every_s", "a stall every", "s", 60, 1],
  ];
  for (const [name, label, unit, max, step] of fields) {
    const line = element("label", "");
    const input = document.createElement("input");
    Object.assign(input, { type: "range", name, min: 0, max, step, value: 0 });
    input.dataset.test = `link-${name}`;
    const output = element("output", "");
    output.dataset.unit = unit;
    line.append(element("span", "", label), input, output);
    form.append(line);
    input.oninput = () => say(input);
    input.onchange = () => {
      ask("link", { [name]: Number(input.value) });
      input.dataset.asked = performance.now();
    };
  }
}

function showLink(quality) {
  for (const input of document.getElementById("link").elements) {
    if (input.name === "" || input.matches(":active") || performance.now() - (input.dataset.asked ?? -1e9) < 1_000) continue;
    input.value = quality[input.name];
    say(input);
  }
}

function say(input) {
  const output = input.parentElement.querySelector("output");
  const never = input.name.endsWith("_every_s") && Number(input.value) === 0;
  output.textContent = never ? "never" : `${input.value} ${output.dataset.unit}`;
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}
