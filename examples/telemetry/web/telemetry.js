// Listens to `telemetry/#` and gives each topic a chart. What it hears decides what it shows: another machine that
// publishes to the same hub gets its own section.

import { Chart } from "./chart.js";
import { element } from "./element.js";
import { connect } from "./hub.js";

const charts = new Map();

await connect({ filters: ["telemetry/#"], onMessage: take });
requestAnimationFrame(drawAll);

function take({ topic, data, retain }) {
  const [, host, kind, ...name] = topic.split("/");
  const about = describe(kind, name.join("/"), data);
  // A retained value is from some time ago: it says that the topic is there, and is no point of the curve.
  if (!about) return;
  const chart = charts.get(topic) ?? addChart(topic, host, kind, about);
  about.values.forEach(({ text }, i) => (chart.texts[i].textContent = text));
  if (about.top) chart.chart.top = about.top;
  if (!retain) chart.chart.push(about.values.map(({ value }) => value));
}

/** What to show for a message, or nothing if it is of another kind or its payload makes no sense. */
function describe(kind, name, data) {
  const sound = {
    cpu: () => Number.isFinite(data),
    memory: () => data?.total_bytes > 0 && data.used_bytes >= 0,
    disk: () => data?.in_bytes_per_s >= 0 && data.out_bytes_per_s >= 0,
  };
  sound.network = sound.disk;
  if (!Object.hasOwn(sound, kind) || !sound[kind]()) return undefined;
  const both = (first, second) => ({
    format: rate,
    values: [
      { label: first, value: data.in_bytes_per_s, text: rate(data.in_bytes_per_s) },
      { label: second, value: data.out_bytes_per_s, text: rate(data.out_bytes_per_s) },
    ],
  });
  switch (kind) {
    case "cpu":
      return {
        title: `Core ${name}`,
        top: 100,
        format: (value) => `${value} %`,
        values: [{ label: "busy", value: data, text: `${data.toFixed(1)} %` }],
      };
    case "memory":
      return {
        title: "Memory",
        top: data.total_bytes,
        format: size,
        values: [{ label: `of ${size(data.total_bytes)} in use`, value: data.used_bytes, text: size(data.used_bytes) }],
      };
    case "disk":
      return { title: `Disk ${name}`, ...both("read", "written") };
    default:
      return { title: `Network ${name}`, ...both("received", "sent") };
  }
}

function addChart(topic, host, kind, about) {
  document.getElementById("empty").hidden = true;
  const card = element("article", "chart");
  card.dataset.test = "chart";
  card.dataset.topic = topic;
  const title = element("div", "title");
  title.append(element("span", "", about.title), element("span", "topic", topic));
  const values = element("div", "values");
  const texts = about.values.map(({ label }, i) => {
    const value = element("span", `value ${about.values.length > 1 ? ["first", "second"][i] : ""}`);
    const text = element("span");
    value.append(text, element("small", "", label));
    values.append(value);
    return text;
  });
  const canvas = element("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${about.title} over the last minute`);
  card.append(title, values, canvas);
  // In the order of cores, memory, disks, networks, whatever comes first.
  card.dataset.order = `${["cpu", "memory", "disk", "network"].indexOf(kind)} ${about.title}`;
  const list = section(host);
  const after = [...list.children].find((other) => compare(other.dataset.order, card.dataset.order) > 0);
  list.insertBefore(card, after ?? null);
  const made = { texts, chart: new Chart(canvas, about) };
  charts.set(topic, made);
  return made;
}

const compare = new Intl.Collator("en", { numeric: true }).compare;

function section(host) {
  const id = `host-${host}`;
  const found = document.getElementById(id);
  if (found) return found;
  const heading = element("h2", "", host);
  heading.append(element("small", "", `telemetry/${host}/#`));
  const list = element("div", "charts");
  list.id = id;
  document.getElementById("hosts").append(heading, list);
  return list;
}

function drawAll(now) {
  for (const { chart } of charts.values()) chart.draw(now);
  requestAnimationFrame(drawAll);
}

function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; bytes >= 1000 && unit < units.length - 1; unit++) bytes /= 1024;
  return `${bytes >= 100 || unit === 0 ? Math.round(bytes) : bytes.toFixed(1)} ${units[unit]}`;
}

function rate(bytes) {
  return `${size(bytes)}/s`;
}
