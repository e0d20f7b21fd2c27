// The row of figures on top: what `$SYS/trefoil/stats` says, once a second.

import { Chart } from "./chart.js";
import { duration, number, rate, size } from "./format.js";

const KINDS = {
  mqtt: "MQTT",
  mqtt_ws: "MQTT over WebSocket",
  mqtt_sn: "MQTT-SN",
  framed_tcp: "Frames over TCP",
  framed_udp: "Frames over UDP",
  json_ws: "JSON over WebSocket",
  echo_ws: "WebSocket echo",
  json_tcp: "JSON lines",
  poll: "Long polling",
  json_udp: "JSON datagrams",
  sse: "Server-sent events",
  http: "HTTP",
};

const $ = (id) => document.getElementById(id);

export class Figures {
  #chart = new Chart($("rate-chart"), ["--in", "--out"], $("rate-top"));
  #last;

  show(stats) {
    const kinds = Object.entries(stats.connections);
    set("connections", kinds.reduce((sum, [, count]) => sum + count, 0));
    this.#showKinds(kinds);
    for (const key of ["sessions", "subscriptions", "retained", "dropped"]) set(key, stats[key]);
    $("dropped").classList.toggle("warn", stats.dropped > 0);
    $("about").textContent = `${stats.version} · up ${duration(stats.uptime_s)}`;
    this.#showRates(stats);
    this.#showStore(stats.store);
  }

  /** After a break the next rates would be taken over a span that nobody watched. */
  interrupted() {
    this.#last = undefined;
  }

  #showRates(stats) {
    const now = performance.now();
    const last = this.#last;
    this.#last = { stats, now };
    // A hub that was restarted counts from zero again.
    if (!last || stats.messages_in < last.stats.messages_in || stats.uptime_s < last.stats.uptime_s) return;
    const seconds = Math.max(0.5, (now - last.now) / 1000);
    const incoming = (stats.messages_in - last.stats.messages_in) / seconds;
    const outgoing = Math.max(0, stats.messages_out - last.stats.messages_out) / seconds;
    for (const [id, value] of [["rate-in", incoming], ["rate-out", outgoing]]) {
      // Within a second each way of counting is off by a little; nobody wants to read 39.97.
      const rounded = value < 10 ? Math.round(value * 10) / 10 : Math.round(value);
      $(id).textContent = rate(rounded);
      $(id).dataset.value = rounded;
    }
    this.#chart.push([incoming, outgoing]);
  }

  #showStore(store) {
    const off = store.state === "off";
    $("store-bytes").textContent = off ? "off" : size(store.disk_bytes);
    $("store-bytes").dataset.value = store.disk_bytes;
    $("store-bytes").dataset.state = store.state;
    $("store-bytes").classList.toggle("warn", !off && store.state !== "working");
    $("store-sync").textContent = store.syncs ? `${store.sync_ms_mean.toPrecision(2)} ms` : "–";
    const alarm = $("store-alarm");
    const text = store.reason ? `Store ${store.state}: ${store.reason}` : "";
    // Said again each second it would be read out again each second.
    if (alarm.textContent !== text) alarm.textContent = text;
    alarm.hidden = text === "";
  }

  #showKinds(kinds) {
    const list = $("kinds");
    const order = Object.keys(KINDS);
    for (const [kind, count] of kinds.sort(([a], [b]) => order.indexOf(a) - order.indexOf(b))) {
      let item = list.querySelector(`[data-kind="${CSS.escape(kind)}"]`);
      if (!item) {
        item = document.createElement("li");
        item.dataset.kind = kind;
        item.append(document.createElement("b"), document.createTextNode(` ${KINDS[kind] ?? kind}`));
        list.append(item);
      }
      item.firstChild.textContent = number(count);
      item.classList.toggle("none", count === 0);
    }
  }
}

function set(id, value) {
  $(id).textContent = number(value);
  $(id).dataset.value = value;
}
