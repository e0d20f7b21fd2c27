// How far it is, as the program publishes it four times a second, and three buttons.

import { Client } from "./trefoil.mjs";
import { follow, hubAddress } from "./connection.js";
import { element } from "./element.js";

const MIB = 1 << 20;

const $ = (id) => document.getElementById(id);
const client = follow(new Client(await hubAddress()));
/** The lines that are shown, by whose they are. */
const shown = new Map();

client.subscribe("file-drop/state", ({ data }) => show(data));
$("cut").onclick = () => ask("cut", true);
$("again").onclick = () => ask("again", true);
$("rate").oninput = () => ask("rate", Number($("rate").value));

function ask(what, data) {
  client.publish(`file-drop/${what}`, data).catch(({ message }) => ($("verdict").textContent = `not sent: ${message}`));
}

function show({ transfer, rate, cut, ann, bob }) {
  const { name, code, bytes, carried, cuts, lines, hashes, whole, fault, seconds } = transfer;
  $("way").dataset.cut = cut;
  $("name").textContent = name;
  $("code").textContent = code ?? "";
  $("bar").value = bytes ? Math.min(1, whole === true ? 1 : carried / bytes) : 0;
  $("figures").textContent = `${(bytes / MIB).toFixed(0)} MiB; ${(carried / MIB).toFixed(1)} MiB carried in ${seconds.toFixed(0)} s, cut ${cuts === 1 ? "once" : `${cuts} times`}`;
  if (document.activeElement !== $("rate")) $("rate").value = rate;
  $("rate-now").textContent = rate.toFixed(1);
  for (const [who, machine] of Object.entries({ ann, bob })) {
    document.querySelector(`#${who} [data-field="address"]`).textContent = machine.address;
    showLines(who, lines.filter(([of]) => of === who || of === "network"));
  }
  $("last").textContent = bob.last;
  const ended = whole !== null || fault !== null;
  $("again").disabled = !ended;
  $("verdict").dataset.whole = whole ?? (fault ? false : "");
  $("verdict").textContent = fault ?? (whole === null ? "" : whole ? "arrived whole" : "not the same file");
  $("hashes").textContent = hashes ? `SHA-256 at Ann's  ${hashes[0]}\nSHA-256 at Bob's  ${hashes[1]}` : "";
}

/** What a command has said; drawn anew only when there is something new. */
function showLines(who, lines) {
  const text = JSON.stringify(lines);
  if (shown.get(who) === text) return;
  shown.set(who, text);
  const list = document.querySelector(`[data-lines="${who}"]`);
  list.replaceChildren(...lines.map(([of, line]) => element("li", of === "network" ? "network" : line.startsWith("$ ") ? "command" : "", of === "network" ? "— the network is cut —" : line)));
  list.scrollTop = list.scrollHeight;
}
