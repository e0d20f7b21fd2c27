// Watches the copies of the players' datagrams, and lends them a hand.

import { Client } from "./trefoil.mjs";
import { follow, hubAddress } from "./connection.js";
import { Table } from "./table.js";

/** How far a key moves a hand, and how often, and how often hands are told at all. */
const KEY_STEP = 0.035;
const HAND_MS = 40;
const KEYS = { KeyW: ["left", -1], KeyS: ["left", 1], ArrowUp: ["right", -1], ArrowDown: ["right", 1] };

const $ = (id) => document.getElementById(id);
const sizes = await (await fetch("configuration.json")).json();
const table = new Table($("table"), sizes);
const client = follow(new Client(await hubAddress()));
const pressed = new Map();
const hands = new Map();

client.subscribe(`${sizes.room}/+`, ({ data }) => {
  if (!["left", "right"].includes(data?.side) || !Number.isFinite(data.paddle)) return;
  table.paddle(data.side, data.paddle);
  if (!hands.has(data.side)) hands.set(data.side, data.paddle);
  if (data.side !== "left" || !Array.isArray(data.ball) || !Array.isArray(data.speed)) return;
  table.fly(data.ball, data.speed);
  $("score-left").textContent = data.score[0];
  $("score-right").textContent = data.score[1];
});
client.subscribe("pong/net", ({ data }) => {
  if (document.activeElement !== $("loss")) $("loss").value = data.loss;
  $("loss-now").textContent = `${data.loss} %`;
  for (const row of document.querySelectorAll("tr[data-side]")) {
    for (const cell of row.querySelectorAll("[data-field]")) cell.textContent = data[row.dataset.side][cell.dataset.field];
  }
});

$("loss").addEventListener("input", () => publish("pong/loss", Number($("loss").value)));

// A finger or a mouse on a half of the table holds its paddle.
$("table").addEventListener("pointerdown", (event) => {
  $("table").setPointerCapture(event.pointerId);
  drag(event);
});
$("table").addEventListener("pointermove", (event) => event.buttons && drag(event));

function drag({ clientX, clientY }) {
  const { left, top, width, height } = $("table").getBoundingClientRect();
  hold(clientX - left < width / 2 ? "left" : "right", (clientY - top) / height);
}

addEventListener("keydown", (event) => {
  if (!KEYS[event.code] || event.target.matches("input")) return;
  event.preventDefault();
  pressed.set(...KEYS[event.code]);
});
addEventListener("keyup", ({ code }) => KEYS[code] && pressed.delete(KEYS[code][0]));

const wanted = new Map();
setInterval(() => {
  for (const [side, direction] of pressed) hold(side, (hands.get(side) ?? 0.5) + direction * KEY_STEP);
  for (const [side, y] of wanted) publish(`pong/hand/${side}`, y);
  wanted.clear();
}, HAND_MS);

function hold(side, y) {
  const within = Math.min(1, Math.max(0, y));
  hands.set(side, within);
  wanted.set(side, Math.round(within * 1000) / 1000);
  table.held(side);
}

/** What does not arrive is made up for by the next. */
function publish(topic, data) {
  client.publish(topic, data).catch(() => {});
}
