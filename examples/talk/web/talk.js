// Who speaks is the last level of the topic, what is said is the payload: `talk/nora`, "Hello".

import { Client } from "./trefoil.mjs";
import { follow, hubAddress } from "./connection.js";
import { element } from "./element.js";
import { showWire } from "./wire.js";

/** What is asked for of what was said before, and how much is shown at most. */
const REMEMBERED = 100;
const SHOWN_MAX = 300;
/** What is no name: it has to be one level of a topic. */
const NO_NAME = /[/+#\0]/g;

const $ = (id) => document.getElementById(id);
const address = await hubAddress();
const client = follow(new Client(address));

$("name").value = localStorage.getItem("name") ?? `guest-${Math.floor(Math.random() * 900 + 100)}`;
$("name").addEventListener("change", () => localStorage.setItem("name", me()));
const { port } = await (await fetch("configuration.json")).json();
for (const place of document.querySelectorAll("[data-hub]")) place.textContent = place.dataset.hub === "port" ? port : address.hostname;

client.subscribe("talk/+", ({ topic, data }) => heard(topic.slice("talk/".length), data), { qos: 1, history: REMEMBERED });
showWire(client);

function me() {
  return $("name").value.replace(NO_NAME, "").trim() || "somebody";
}

/** Shows what somebody has said: a text, or whatever value it is. */
function heard(name, data) {
  if (data === undefined || data === "") return;
  const row = element("li", name === me() ? "mine" : "");
  row.dataset.test = "said";
  row.style.setProperty("--hue", hue(name));
  row.append(element("b", "", name), element("p", "", typeof data === "string" ? data : JSON.stringify(data)));
  const log = $("log");
  log.append(row);
  while (log.children.length > SHOWN_MAX) log.firstChild.remove();
  log.scrollTop = log.scrollHeight;
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
    await client.publish(`talk/${me()}`, text, { qos: 1 });
    $("answer").textContent = "";
  } catch (error) {
    $("text").value = text;
    $("answer").textContent = `Not sent: ${error.message}`;
  }
});
