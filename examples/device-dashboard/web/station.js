// The card of one station: a gauge and a chart for each of its sensors, the switch of its pump, and whether it is there.

import { element } from "./element.js";
import { Chart, Gauge } from "./instruments.js";

/** What is known of a sensor. Others get a gauge from 0 to 100. */
const SENSORS = {
  temperature: { unit: "°C", low: 0, high: 45 },
  humidity: { unit: "%", low: 0, high: 100 },
  soil: { unit: "%", low: 0, high: 100 },
};

export class Station {
  online = false;
  pumping = false;
  card = element("article", "station");
  #sensors = new Map();
  #pointsMax;
  #badge = element("span", "badge", "unknown");
  #list = element("div", "sensors");
  #switch = element("button", "switch");
  #word = element("span", "word");
  #plug = element("button", "plug", "Pull the plug");

  /** `send(what, word)` publishes a word below the topic of the bed. */
  constructor(bed, pointsMax, send) {
    this.#pointsMax = pointsMax;
    this.card.dataset.test = "station";
    this.card.dataset.bed = bed;
    const top = element("div", "top");
    this.#badge.dataset.test = "badge";
    top.append(element("h2", "", bed), this.#badge);
    this.#switch.type = this.#plug.type = "button";
    this.#switch.setAttribute("role", "switch");
    this.#switch.dataset.test = "pump";
    this.#switch.append(element("span", "track"), element("span", "", "Pump"));
    this.#switch.onclick = () => {
      // Until the station says that it did it.
      this.#switch.setAttribute("aria-busy", "true");
      send("pump/set", this.pumping ? "off" : "on");
    };
    this.#plug.dataset.test = "plug";
    this.#plug.onclick = () => send("plug", this.online ? "off" : "on");
    const controls = element("div", "controls");
    controls.append(this.#switch, this.#word, this.#plug);
    this.card.append(top, this.#list, controls);
    this.isOnline(false);
    this.#badge.textContent = "not heard of";
    this.pumps(false);
  }

  measured(what, value) {
    let sensor = this.#sensors.get(what);
    if (!sensor) {
      const about = SENSORS[what] ?? { unit: "", low: 0, high: 100 };
      sensor = { about, gauge: new Gauge(what, about), chart: new Chart(this.#pointsMax), value: element("p", "value") };
      const part = element("div", "sensor");
      part.dataset.test = "sensor";
      part.dataset.what = what;
      part.append(sensor.gauge.svg, sensor.value, element("p", "what", what), sensor.chart.svg);
      this.#list.append(part);
      this.#sensors.set(what, sensor);
    }
    sensor.value.replaceChildren(value.toFixed(1), element("small", "", ` ${sensor.about.unit}`));
    sensor.gauge.show(value);
    sensor.chart.push(value);
  }

  isOnline(is) {
    this.online = is;
    this.card.dataset.status = this.#badge.textContent = is ? "online" : "offline";
    this.#switch.disabled = !is;
    this.#switch.removeAttribute("aria-busy");
    this.#word.textContent = is ? "" : "last known values";
    this.#plug.textContent = is ? "Pull the plug" : "Plug it in";
  }

  pumps(is) {
    this.pumping = is;
    this.#switch.setAttribute("aria-checked", is);
    this.#switch.removeAttribute("aria-busy");
  }
}
