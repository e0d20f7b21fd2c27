// The home as the hub knows it. What is heard on `home/#` decides what is shown: a device of which the program knows
// nothing gets its card like all others. Nothing is shown as switched before the device has confirmed it.

import { element } from "./element.js";
import { connect } from "./hub.js";
import { describe, icon } from "./devices.js";

const SCENES = { morning: "Morning", movie: "Movie", night: "Night", off: "All off" };

const rooms = document.getElementById("rooms");
const summary = document.getElementById("summary");
/** Cards by place, `ROOM/DEVICE`. */
const cards = new Map();
let scene;

for (const [name, label] of Object.entries(SCENES)) {
  const button = element("button", "scene");
  button.type = "button";
  button.dataset.test = `scene-${name}`;
  button.dataset.scene = name;
  button.append(icon(name), element("span", "", label));
  button.onclick = () => send("home/scene", name, { retain: true });
  document.getElementById("scenes").append(button);
}
const hub = await connect({ filters: ["home/#"], onMessage: take });

function take({ topic, data, retain }) {
  const [, room, device, what] = topic.split("/");
  if (topic === "home/scene") showScene(data);
  else if (what === "state") showState(room, device, data);
  else if (what === "status") showStatus(room, device, data, retain);
  else return;
  sumUp();
}

async function send(topic, data, more) {
  try {
    await hub.publish(topic, data, more);
  } catch (fault) {
    summary.textContent = `Not sent: ${fault.message}.`;
  }
}

function showScene(name) {
  scene = Object.hasOwn(SCENES, name) ? name : undefined;
  for (const button of document.querySelectorAll(".scene")) {
    button.setAttribute("aria-pressed", button.dataset.scene === scene);
  }
}

function showState(room, device, state) {
  const about = describe(state);
  if (!about) return;
  const card = cardFor(room, device);
  card.scene = state.scene;
  card.root.dataset.kind = state.kind;
  card.root.dataset.lit = about.lit;
  card.text.textContent = about.text;
  if (card.kind !== state.kind) {
    card.kind = state.kind;
    card.icon.replaceChildren(icon(about.icon));
    card.controls = about.controls((command) => send(`home/${room}/${device}/set`, command));
    card.control.replaceChildren(...card.controls.elements);
  }
  card.icon.firstChild.style.setProperty("--level", about.level);
  card.controls.show(state);
  enable(card);
}

function showStatus(room, device, status, retain) {
  const card = cardFor(room, device);
  card.away = status === "offline";
  card.root.dataset.status = status;
  // Only who was there when it happened knows the time.
  const since = retain ? "" : ` since ${new Date().toLocaleTimeString([], { hourCycle: "h23" })}`;
  card.gone.textContent = card.away ? `no contact${since}` : "";
  card.power.setAttribute("aria-label", `${card.away ? "Put back" : "Pull"} the plug of ${card.name}`);
  card.power.title = card.away ? "Put the plug back" : "Pull the plug";
  card.power.replaceChildren(icon(card.away ? "unplugged" : "plug"));
  enable(card);
}

/** A device that is gone hears no commands. */
function enable(card) {
  for (const control of card.control.querySelectorAll("button, input")) control.disabled = card.away;
}

function cardFor(room, device) {
  const place = `${room}/${device}`;
  return cards.get(place) ?? addCard(room, device, place);
}

function addCard(room, device, place) {
  const card = { name: words(device), away: false, root: element("article", "device") };
  card.root.dataset.test = "device";
  card.root.dataset.place = place;
  card.icon = element("span", "icon");
  card.text = element("p", "text", "–");
  card.gone = element("p", "gone");
  card.control = element("div", "control");
  card.power = element("button", "power");
  card.power.type = "button";
  card.power.dataset.test = "power";
  card.power.onclick = () => send(`home/${place}/power`, card.away ? "on" : "off");
  const title = element("div", "title");
  title.append(element("h3", "", card.name), card.text, card.gone);
  card.root.append(card.icon, title, card.power, card.control);
  insert(section(room), card.root, place);
  cards.set(place, card);
  return card;
}

function section(room) {
  const id = `room-${room}`;
  const found = document.getElementById(id);
  if (found) return found;
  const made = element("section", "room");
  made.id = id;
  made.append(element("h2", "", words(room)));
  insert(rooms, made, id);
  return made;
}

/** In the order of names, whatever comes first; a heading stays where it is. */
function insert(list, made, name) {
  made.dataset.order = name;
  const after = [...list.children].find(({ dataset }) => dataset.order > name);
  list.insertBefore(made, after ?? null);
}

function sumUp() {
  const all = [...cards.values()];
  const away = all.filter((card) => card.away).length;
  const parts = [`${all.length} devices`, away ? `${away} without contact` : "all here"];
  if (scene) {
    const following = all.filter(({ kind }) => ["lamp", "blind", "thermostat"].includes(kind));
    const confirmed = following.filter((card) => card.scene === scene && !card.away).length;
    parts.push(`${SCENES[scene]}: ${confirmed} of ${following.length} confirmed`);
  }
  summary.textContent = parts.join(" · ");
}

function words(level) {
  const text = level.replaceAll("-", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
