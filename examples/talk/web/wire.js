// What goes over the doorman's connection, line for line, and a way to type on it.

import { element } from "./element.js";

const LINES_MAX = 200;

const $ = (id) => document.getElementById(id);

export function showWire(client) {
  client.subscribe("talk-wire/line", ({ data }) => show(`${data}`), { history: 60 });
  $("type").onsubmit = (event) => {
    event.preventDefault();
    const line = $("line").value;
    if (!line) return;
    $("line").value = "";
    client.publish("talk-wire/type", line).catch(({ message }) => show(`! not sent: ${message}`));
  };
}

function show(line) {
  const row = element("li", "", line);
  row.dataset.test = "wire-line";
  if ("<>".includes(line[0])) row.dataset.direction = line[0];
  const wire = $("wire");
  wire.append(row);
  while (wire.children.length > LINES_MAX) wire.firstChild.remove();
  wire.scrollTop = wire.scrollHeight;
}
