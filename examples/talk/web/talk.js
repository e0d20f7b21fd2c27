// A message is a line of text: `nora: Hello`. Who is here is who has subscribed to its topic, whatever they speak.

import { Client } from "./trefoil.mjs";
import { follow, hubAddress } from "./connection.js";
import { element } from "./element.js";
import { showWire } from "./wire.js";

/** What is asked for of what was said before, and how much is shown at most. */
const REMEMBERED = 100;
const SHOWN_MAX = 300;
const LINE = /^([^:\n]{1,40}): ([^]*)$/;
const KINDS = { websocket: "browser", mqtt: "MQTT", tcp: "netcat", udp: "UDP", mqtt_sn: "MQTT-SN", sse: "browser", poll: "browser" };

const $ = (id) => document.getElementById(id);
const address = await hubAddress();

$("name").value = localStorage.getItem("name") ?? `guest-${Math.floor(Math.random() * 900 + 100)}`;
$("name").addEventListener("change", comeIn);
const { port } = await (await fetch("configuration.json")).json();
for (const place of document.querySelectorAll("[data-hub]")) place.textContent = place.dataset.hub === "port" ? port : address.hostname;

let client;
comeIn();

/** One connection for each name: presence shows what the client says of itself when it connects. */
function comeIn() {
  client?.close();
  localStorage.setItem("name", me());
  $("log").replaceChildren();
  $("wire").replaceChildren();
  client = follow(new Client(address, { info: { name: me() } }));
  const room = client.subscribe("talk", ({ data }) => heard(data), { qos: 1, history: REMEMBERED, presence: true });
  for (const event of ["join", "leave", "presence"]) room.on(event, () => showPeople(room));
  showWire(client);
}

function me() {
  return $("name").value.replaceAll(":", "").trim() || "somebody";
}

/** Shows what somebody has said. Whoever says no name is shown without one. */
function heard(data) {
  if (data === undefined || data === "") return;
  const line = typeof data === "string" ? data : JSON.stringify(data);
  const [, name, text] = LINE.exec(line) ?? [, "", line];
  const row = element("li", name === me() ? "mine" : "");
  row.dataset.test = "said";
  row.style.setProperty("--hue", hue(name));
  row.append(element("b", "", name), element("p", "", text));
  const log = $("log");
  log.append(row);
  while (log.children.length > SHOWN_MAX) log.firstChild.remove();
  log.scrollTop = log.scrollHeight;
}

/** Who is here, and by what. */
function showPeople({ presence }) {
  const people = [...presence.values()].map(({ client: id, info, kind }) => [typeof info?.name === "string" ? info.name : id, KINDS[kind] ?? kind]);
  people.sort(([a], [b]) => a.localeCompare(b));
  $("here").replaceChildren(
    ...people.map(([name, kind]) => {
      const row = element("li");
      row.dataset.test = "person";
      row.append(element("span", "", name), element("small", "", kind));
      return row;
    }),
  );
}

/** A colour for each name, the same for all who look. */
function hue(name) {
  let sum = 7;
  for (const letter of name) sum = (sum * 31 + letter.codePointAt(0)) % 360;
  return sum;
}

$("say").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  $("text").value = "";
  try {
    await client.publish("talk", `${me()}: ${text}`, { qos: 1 });
    $("answer").textContent = "";
  } catch (error) {
    $("text").value = text;
    $("answer").textContent = `Not sent: ${error.message}`;
  }
});
