// Devices that speak neither MQTT nor WebSocket, in Chromium.

import assert from "node:assert/strict";
import { once } from "node:events";
import mqtt from "mqtt";
import { fitsOnATelephone, part, textIs, withPage } from "./browser.mjs";
import { main } from "./rig.mjs";

const online = (page, device) => page.locator(`#${device}[data-status="online"]`).waitFor();
const connect = (tcp) => mqtt.connectAsync(`mqtt://127.0.0.1:${tcp}`, { reconnectPeriod: 0 });
const field = (page, device, name) => page.locator(`#${device} [data-field="${name}"]`);
const shows = (page, device, name, text) => field(page, device, name).filter({ hasText: text }).waitFor();
const parity = (sentence) => [...sentence].reduce((sum, letter) => sum ^ letter.charCodeAt(0), 0);

/** The ferry sails on the map, charts move, and below stands what the devices have really sent. */
async function mapAndCharts({ page: url, tcp }) {
  await withPage(url, async (page) => {
    await textIs(page, "status", /connected/);
    for (const device of ["ferry", "pump-7", "gauge"]) await online(page, device);
    const boat = part(page, "boat");
    await boat.waitFor();
    const before = await boat.getAttribute("transform");
    await page.waitForFunction((was) => document.querySelector('[data-test="boat"]').getAttribute("transform") !== was, before);
    await page.waitForFunction(() => document.querySelector(".map .track").getAttribute("points").split(" ").length > 5);
    await shows(page, "ferry", "position", /47\.\d{5}° N {2}9\.\d{5}° E/);
    for (const chart of ["rpm", "bar", "celsius", "metres"]) {
      await page.waitForFunction((name) => document.querySelector(`[data-chart="${name}"] polyline`).getAttribute("points")?.split(" ").length > 2, chart);
    }
    await shows(page, "pump-7", "wire", /^07 04 0a( [0-9a-f]{2}){10}$/);
    await shows(page, "gauge", "wire", /^aa 55( [0-9a-f]{2}){6}$/);
    // Sentences as the receiver has recorded them, with the checksums of the standard.
    const other = await connect(tcp);
    await other.subscribeAsync("site/ferry/nmea/RMC");
    const sentence = (await once(other, "message"))[1].toString();
    const [, body, sum] = /^\$(GPRMC,.*)\*([0-9A-F]{2})$/.exec(sentence);
    assert.equal(parity(body), Number.parseInt(sum, 16));
    await other.endAsync();
    await fitsOnATelephone(page);
  });
}

/** Commands become frames, and what the devices answer comes back. */
async function commandsGoBack({ page: url, tcp }) {
  await withPage(url, async (page) => {
    for (const device of ["ferry", "pump-7", "gauge"]) await online(page, device);
    const other = await connect(tcp);
    await other.subscribeAsync("site/+/command");
    const commands = new Map();
    other.on("message", (topic, frame) => commands.set(topic.split("/")[1], frame.toString("latin1")));
    await part(page, "rpm").fill("2400");
    await shows(page, "pump-7", "answer", "2400 turns a minute");
    await shows(page, "pump-7", "wanted", "2400");
    assert.equal(commands.get("pump-7"), "\x07\x06\x00\x00\x09\x60");
    // The pump itself says what it does not do.
    await part(page, "rpm").fill("3300");
    await shows(page, "pump-7", "answer", "refused: it does not go that fast");
    await shows(page, "pump-7", "wanted", "2400");
    await part(page, "on").click();
    await page.locator('[data-test="lamp"][data-on="true"]').waitFor();
    await part(page, "hold").click();
    await shows(page, "ferry", "answer", "HOLD it is");
    await shows(page, "ferry", "speed", /^0\.0 km\/h/);
    assert.equal(commands.get("ferry"), "$PCLV,HOLD*2A");
    await part(page, "go").click();
    await shows(page, "ferry", "speed", /^[1-9]\d*\.\d km\/h/);
    // Somebody else can do the same, by hand and in bytes.
    await other.publishAsync("site/gauge/command", Buffer.from([0xaa, 0x55, 0x4c, 0, 0, 0, 0, 0x4c]));
    await page.locator('[data-test="lamp"][data-on="false"]').waitFor();
    await other.publishAsync("site/pump-7/set", "faster");
    await shows(page, "pump-7", "answer", /^say /);
    await other.endAsync();
  });
}

/** A cable that is pulled shows, for devices that connect and for those that are connected to; and so when it is back. */
async function cablesArePulled({ page: url }) {
  await withPage(url, async (page) => {
    for (const device of ["pump-7", "gauge"]) {
      await online(page, device);
      const plug = page.locator(`#${device} [data-test="plug"]`);
      await plug.click();
      await page.locator(`#${device}:not([data-status="online"])`).waitFor();
      // Who comes later sees the same.
      await page.reload();
      await shows(page, device, "status", /offline|lost/);
      await plug.click();
      await online(page, device);
    }
  });
}

await main({ mapAndCharts, commandsGoBack, cablesArePulled });
