// The site as the hub knows it. Values come from the translator; below each device stands what it has really sent.

import { Client } from "./trefoil.mjs";
import { follow, hubAddress } from "./connection.js";
import { Chart } from "./chart.js";
import { LakeMap } from "./map.js";

/** What is asked for of what was measured before. */
const REMEMBERED = 200;
/** How the charts are called, and up to where they go at least. */
const CHARTS = {
  rpm: { label: "turns a minute", max: 3000 },
  bar: { label: "bar", max: 6, decimals: 2 },
  litres_a_minute: { label: "litres a minute", max: 120 },
  celsius: { label: "°C", max: 80, decimals: 1 },
  metres: { label: "metres", max: 3, decimals: 2 },
};
const KNOTS_TO_KMH = 1.852;

const { shore } = await (await fetch("configuration.json")).json();
const map = new LakeMap(document.getElementById("map"), shore);
const client = follow(new Client(await hubAddress(), { binary: true }));
const devices = new Map([...document.querySelectorAll(".device")].map((section) => [section.id, section]));
const charts = new Map([...document.querySelectorAll("[data-chart]")].map((figure) => [figure.dataset.chart, new Chart(figure, CHARTS[figure.dataset.chart])]));

client.subscribe("site/+/values", ({ topic, data }) => measured(level(topic), data), { history: REMEMBERED, retained: false });
client.subscribe("site/+/status", ({ topic, data }) => {
  const device = devices.get(level(topic));
  if (!device) return;
  device.dataset.status = write(device, "status", data?.status ?? "unknown");
  device.querySelector(".plug").textContent = data?.status === "online" ? "pull the cable" : "put it back";
}, { qos: 1 });
client.subscribe("site/+/answer", ({ topic, data }) => devices.has(level(topic)) && write(devices.get(level(topic)), "answer", `${data}`));
client.subscribe(["site/+/raw", "site/+/nmea/+"], ({ topic, data }) => {
  const device = devices.get(level(topic));
  if (device) write(device, "wire", topic.endsWith("/raw") ? hex(data) : `${data}`);
});

for (const [name, device] of devices) {
  const set = (wanted) => publish(device, `site/${name}/set`, wanted);
  for (const button of device.querySelectorAll("[data-set]")) button.onclick = () => set(JSON.parse(button.dataset.set));
  const plug = device.querySelector(".plug");
  plug.onclick = () => publish(device, `site/${name}/plug`, device.dataset.status === "online" ? "off" : "on");
}
const speed = document.getElementById("rpm");
speed.onchange = () => publish(devices.get("pump-7"), "site/pump-7/set", { rpm: Number(speed.value) });

function measured(name, values) {
  if (typeof values !== "object" || values === null) return;
  if (name === "ferry") sailed(values);
  if (name === "gauge") document.querySelector(".lamp").dataset.on = values.light === true;
  if (name === "pump-7" && Number.isFinite(values.rpm_wanted)) {
    write(devices.get(name), "wanted", values.rpm_wanted);
    if (document.activeElement !== speed) speed.value = values.rpm_wanted;
  }
  for (const [what, value] of Object.entries(values)) {
    if (devices.get(name)?.querySelector(`[data-chart="${CSS.escape(what)}"]`)) charts.get(what).add(value);
  }
}

function sailed({ lat, lon, knots, course, time }) {
  if (![lat, lon, knots, course].every(Number.isFinite)) return;
  map.move({ lat, lon, course });
  const ferry = devices.get("ferry");
  write(ferry, "position", `${lat.toFixed(5)}° N  ${lon.toFixed(5)}° E`);
  write(ferry, "speed", `${(knots * KNOTS_TO_KMH).toFixed(1)} km/h, course ${course.toFixed(0)}°, recorded at ${time}`);
}

async function publish(device, topic, data) {
  try {
    await client.publish(topic, data, { qos: 1 });
  } catch (error) {
    write(device, "answer", `not sent: ${error.message}`);
  }
}

function write(device, field, text) {
  device.querySelector(`[data-field="${field}"]`).textContent = text;
  return text;
}

/** Bytes as they are; a frame that happens to be text comes as one. */
function hex(data) {
  const all = data instanceof Uint8Array ? data : new TextEncoder().encode(typeof data === "string" ? data : JSON.stringify(data ?? ""));
  return [...all].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

const level = (topic) => topic.split("/")[1];
