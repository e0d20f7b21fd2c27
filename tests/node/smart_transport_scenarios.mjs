// The page of smart transport in Chromium: vehicles that lose contact and come back with nothing missing.

import assert from "node:assert/strict";
import mqtt from "mqtt";
import { fitsOnATelephone, part, textIs, withPage } from "./browser.mjs";
import { main } from "./rig.mjs";

const row = (page, name) => page.locator(`[data-test="row"][data-name="${name}"]`);
const cell = (page, name, what) => row(page, name).locator(`[data-test="${what}"]`);
const number = async (page, name, what) => Number(await cell(page, name, what).innerText());
const hasContact = (page, name, state) => row(page, name).locator(`[data-test="contact"][data-state="${state}"]`).waitFor();

/** Waits until a count of a vehicle is at least this. */
const countIs = (page, name, what, least) =>
  page.waitForFunction(
    ([name, what, least]) =>
      Number(document.querySelector(`[data-test="row"][data-name="${name}"] [data-test="${what}"]`)?.innerText) >= least,
    [name, what, least],
  );

/** Opens the page and waits until all vehicles are in contact. */
const withFleet = (hub, body) =>
  withPage(hub.page, async (page) => {
    await page.waitForFunction(
      () => document.querySelectorAll('[data-test="contact"][data-state="in contact"]').length === 4,
    );
    await body(page);
  });

async function throughATunnel(hub) {
  await withFleet(hub, async (page) => {
    const name = "tram-2";
    await page.locator(`[data-test="vehicle"][data-name="${name}"]`).waitFor();
    await cell(page, name, "tunnel").click();
    await hasContact(page, name, "out of contact");
    await page.locator(`[data-test="vehicle"][data-name="${name}"][data-contact="out of contact"]`).waitFor();
    // It drives on, and what it says waits on board; what it is told waits at the hub.
    const lost = await number(page, name, "received");
    await countIs(page, name, "waiting", 3);
    assert((await number(page, name, "published")) > lost);
    await cell(page, name, "order").selectOption("turn back");
    await hasContact(page, name, "in contact");
    const published = await number(page, name, "published");
    await countIs(page, name, "received", published);
    await page.waitForFunction(
      (name) => document.querySelector(`[data-name="${name}"] [data-test="orders"]`).innerText === "1 / 1",
      name,
    );
    for (const nothing of ["gaps", "twice"]) assert.equal(await number(page, name, nothing), 0, nothing);
    await textIs(page, "total-gaps", /^0$/);
    await textIs(page, "total-disorder", /^0$/);
    await textIs(page, "total-twice", /^0$/);
    assert.equal(await part(page, "total-gaps").evaluate((it) => it.closest(".totals").dataset.state), "sound");
  });
}

async function networkAndStops(hub) {
  const outsider = await mqtt.connectAsync(`mqtt://127.0.0.1:${hub.tcp}`, { reconnectPeriod: 0 });
  const hears = (topic, holds) =>
    new Promise((resolve) => {
      outsider.on("message", (from, payload) => from === topic && holds(JSON.parse(payload)) && resolve());
      outsider.subscribe(topic, { qos: 1 });
    });
  try {
    await withFleet(hub, async (page) => {
      const changed = hears("transport/state", ({ quality }) => quality.loss_percent === 30 && quality.delay_ms === 0);
      await part(page, "link-loss_percent").fill("30");
      await part(page, "link-loss_percent").dispatchEvent("change");
      await changed;
      // A change from outside shows on the page.
      outsider.publish("transport/centre/link", JSON.stringify({ loss_percent: 5 }), { qos: 1 });
      await page.waitForFunction(() => document.querySelector('[data-test="link-loss_percent"]').value === "5");
      // Boards sleep and are shown what came meanwhile; counters count.
      const board = page.locator('[data-test="device"][data-stop="Clover Square"]');
      await page.locator('[data-test="device"][data-stop="Clover Square"][data-state="asleep"]').waitFor();
      await board.locator('[data-test="device-text"]').filter({ hasText: /tram-\d/ }).waitFor();
      await page.locator('[data-test="device"][data-stop="Ferry"]').getByText(/^[1-9]\d* tickets$/).waitFor();
      await fitsOnATelephone(page);
    });
  } finally {
    await outsider.endAsync();
  }
}

await main({ throughATunnel, networkAndStops });
