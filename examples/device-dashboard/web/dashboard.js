// The greenhouse as the hub knows it. What is heard on `greenhouse/#` decides what is shown: a station of which the program
// knows nothing gets its card like all others. Nothing is shown as switched before the station has confirmed it.

import { Client } from "./trefoil.mjs";
import { follow, hubAddress } from "./connection.js";
import { Station } from "./station.js";

/** Seconds in a chart; as many are asked for from before the page came. */
const POINTS = 120;

const stations = new Map();
const summary = document.getElementById("summary");

const client = follow(new Client(await hubAddress()));
client.subscribe("greenhouse/+/sensor/+", ({ topic, data }) => {
  const [, bed, , what] = topic.split("/");
  if (Number.isFinite(data)) station(bed).measured(what, data);
}, { history: POINTS, retained: false });
client.subscribe(["greenhouse/+/status", "greenhouse/+/pump"], ({ topic, data }) => {
  const [, bed, what] = topic.split("/");
  if (what === "pump") station(bed).pumps(data === "on");
  else station(bed).isOnline(data === "online");
  sumUp();
}, { qos: 1 });

function station(bed) {
  let found = stations.get(bed);
  if (!found) {
    found = new Station(bed, POINTS, (what, word) => send(`greenhouse/${bed}/${what}`, word));
    stations.set(bed, found);
    const list = document.getElementById("stations");
    const after = [...list.children].find((card) => card.dataset.bed > bed);
    list.insertBefore(found.card, after ?? null);
    document.getElementById("empty").hidden = true;
  }
  return found;
}

async function send(topic, word) {
  try {
    await client.publish(topic, word, { qos: 1 });
  } catch (error) {
    summary.textContent = `Not sent: ${error.message}.`;
  }
}

function sumUp() {
  const all = [...stations.values()];
  const [online, pumping] = [all.filter((one) => one.online).length, all.filter((one) => one.pumping).length];
  summary.textContent = `${online} of ${all.length} stations online, ${pumping} ${pumping === 1 ? "pump runs" : "pumps run"}`;
}
