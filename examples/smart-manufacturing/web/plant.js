// The plant as it reports itself, twice a second; the pieces themselves are too many for a page. What is done here are
// messages too: to the office, and requests that machines answer.

import { Alarms } from "./alarms.js";
import { element } from "./element.js";
import { connect } from "./hub.js";
import { Requests } from "./requests.js";

const number = new Intl.NumberFormat("en");
const cards = new Map();
const rows = new Map();

const requests = new Requests((...message) => hub.publish(...message));
const alarms = new Alarms((topic) => send(topic, undefined, { retain: true }));
const hub = await connect({
  filters: ["plant/report", "plant/alarms/#", requests.topic],
  onMessage: take,
  // What expired while there was no connection is not told.
  onConnected: () => alarms.forgetAll(),
});
document.getElementById("hire").onclick = () => send("plant/crew", "hire");

function take(message) {
  if (message.topic === "plant/report") showReport(message.data);
  else if (message.topic === requests.topic) requests.take(message);
  else alarms.take(message);
}

async function send(...message) {
  try {
    await hub.publish(...message);
  } catch (fault) {
    console.warn(fault.message);
  }
}

function showReport({ machines, workers, running }) {
  const sum = (name) => machines.reduce((all, machine) => all + machine[name], 0);
  show("rate", running ? sum("rate") : "ended");
  show("recorded", sum("recorded"));
  bad("missing", sum("missing"));
  bad("out-of-order", sum("out_of_order"));
  show("handled", sum("handled"));
  show("under-way", Math.max(0, sum("made") - sum("handled")));
  show("repeats", sum("repeats"));
  for (const machine of machines) (cards.get(machine.name) ?? addMachine(machine.name))(machine);
  const most = Math.max(1, ...workers.map(({ handled }) => handled));
  for (const worker of workers) (rows.get(worker.name) ?? addWorker(worker.name))(worker, most);
}

function show(id, value) {
  document.getElementById(id).textContent = typeof value === "number" ? number.format(value) : value;
}

/** A figure that has to be nought. */
function bad(id, value) {
  show(id, value);
  document.getElementById(id).parentElement.dataset.good = value === 0;
}

/** Adds a machine; what is returned shows a report of it. */
function addMachine(name) {
  const card = element("article", "machine");
  card.dataset.test = "machine";
  card.dataset.machine = name;
  const rate = element("output", "rate");
  const bar = element("span", "bar");
  const facts = element("p", "facts");
  const slider = Object.assign(element("input"), { type: "range", min: 0, max: 2000, step: 100 });
  slider.setAttribute("aria-label", `Pieces a second of ${name}`);
  const wanted = element("output", "wanted");
  const answer = element("p", "answer");
  answer.dataset.test = "answer";
  slider.oninput = () => (wanted.textContent = `${slider.value}/s`);
  slider.onchange = async () => {
    answer.textContent = "asking…";
    answer.textContent = await requests.ask(name, { set_speed: Number(slider.value) });
  };
  const control = element("label", "control");
  control.append(slider, wanted);
  card.append(element("h3", "", name), rate, bar, facts, control, answer);
  document.getElementById("machines").append(card);
  const update = (machine) => {
    rate.textContent = `${number.format(machine.rate)}/s`;
    bar.style.setProperty("--part", Math.min(1, machine.rate / 2000));
    facts.textContent = `${number.format(machine.recorded)} in order, ${machine.missing} missing, ${number.format(machine.rejects)} rejected`;
    card.dataset.good = machine.missing + machine.out_of_order === 0;
    if (slider.matches(":active")) return;
    slider.value = machine.speed;
    wanted.textContent = `${machine.speed}/s`;
  };
  cards.set(name, update);
  return update;
}

/** The same for a worker. */
function addWorker(name) {
  const row = element("li", "worker");
  row.dataset.test = "worker";
  row.dataset.worker = name;
  const handled = element("output", "handled");
  const bar = element("span", "bar");
  const order = (verb, title) => {
    const button = element("button", verb, title);
    button.type = "button";
    button.setAttribute("aria-label", `${title} ${name}`);
    button.onclick = () => send("plant/crew", `${verb} ${name}`);
    return button;
  };
  const buttons = element("span", "buttons");
  buttons.append(order("release", "Release"), order("kill", "Kill"));
  row.append(element("span", "name", name), handled, buttons, bar);
  document.getElementById("workers").append(row);
  const update = (worker, most) => {
    row.dataset.standing = worker.standing;
    const gone = worker.standing !== "working";
    handled.textContent = gone ? `${number.format(worker.handled)}, ${worker.standing}` : number.format(worker.handled);
    bar.style.setProperty("--part", worker.handled / most);
    for (const button of buttons.children) button.disabled = gone;
  };
  rows.set(name, update);
  return update;
}
