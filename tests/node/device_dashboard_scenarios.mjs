// The dashboard of the greenhouse in Chromium.

import assert from "node:assert/strict";
import mqtt from "mqtt";
import { fitsOnATelephone, textIs, withPage } from "./browser.mjs";
import { main } from "./rig.mjs";

const station = (page, bed) => page.locator(`[data-test="station"][data-bed="${bed}"]`);
const standing = (page, bed, status) => page.locator(`[data-bed="${bed}"][data-status="${status}"]`).waitFor();
const connect = (tcp, options = {}) => mqtt.connectAsync(`mqtt://127.0.0.1:${tcp}`, { reconnectPeriod: 0, ...options });

/** Sensors come in, gauges and charts go out. */
async function gaugesMove({ page: url, tcp }) {
  await withPage(url, async (page) => {
    await textIs(page, "status", /connected/);
    await textIs(page, "summary", /6 of 6 stations online/);
    const sensors = station(page, "basil").locator('[data-test="sensor"]');
    await sensors.nth(2).waitFor();
    await page.waitForFunction(() => {
      const line = document.querySelector('[data-bed="basil"] [data-what="soil"] polyline');
      return line.getAttribute("points")?.split(" ").length >= 3;
    });
    // A station of which the program knows nothing, and a sensor of which the page knows nothing.
    const other = await connect(tcp);
    await other.publishAsync("greenhouse/attic/sensor/light", "75", { qos: 1 });
    const light = station(page, "attic").locator('[data-what="light"]');
    await light.getByText("75.0").waitFor();
    await page.waitForFunction(() => document.querySelector('[data-bed="attic"] .gauge').getAttribute("aria-valuenow") === "75");
    // Nonsense moves nothing.
    await other.publishAsync("greenhouse/attic/sensor/light", "bright", { qos: 1 });
    await other.publishAsync("greenhouse/attic/sensor/light", "25", { qos: 1 });
    await light.getByText("25.0").waitFor();
    await other.endAsync();
    await fitsOnATelephone(page);
  });
}

/** The switch goes back to the device, and shows what the device says. */
async function aSwitchGoesBack({ page: url, tcp }) {
  await withPage(url, async (page) => {
    await standing(page, "peppers", "online");
    const pump = station(page, "peppers").locator('[data-test="pump"]');
    const other = await connect(tcp);
    await other.subscribeAsync("greenhouse/peppers/pump", { qos: 1 });
    const heard = [];
    other.on("message", (_, payload) => heard.push(payload.toString()));
    await pump.click();
    await station(page, "peppers").locator('[data-test="pump"][aria-checked="true"]').waitFor();
    assert.equal(heard.at(-1), "on");
    // And somebody else can switch it, too.
    await other.publishAsync("greenhouse/peppers/pump/set", "off", { qos: 1 });
    await station(page, "peppers").locator('[data-test="pump"][aria-checked="false"]').waitFor();
    await other.endAsync();
  });
}

/** A device that dies shows as offline through its will, ours and anybody's. */
async function aSensorDies({ page: url, tcp }) {
  await withPage(url, async (page) => {
    await standing(page, "seedlings", "online");
    await station(page, "seedlings").locator('[data-test="plug"]').click();
    await standing(page, "seedlings", "offline");
    assert(await station(page, "seedlings").locator('[data-test="pump"]').isDisabled());
    await textIs(page, "summary", /5 of 6 stations online/);
    await station(page, "seedlings").locator('[data-test="plug"]').click();
    await standing(page, "seedlings", "online");

    const will = { topic: "greenhouse/roof/status", payload: "offline", qos: 1, retain: true };
    const other = await connect(tcp, { will });
    other.on("error", () => {});
    await other.publishAsync("greenhouse/roof/status", "online", { qos: 1, retain: true });
    await standing(page, "roof", "online");
    other.stream.destroy();
    await standing(page, "roof", "offline");
    // Whoever comes later sees the same.
    await page.reload();
    await standing(page, "roof", "offline");
    await standing(page, "seedlings", "online");
  });
}

await main({ gaugesMove, aSwitchGoesBack, aSensorDies });
