// The page of the smart home in Chromium, while outsiders use the same hub.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { promisify } from "node:util";
import mqtt from "mqtt";
import { fitsOnATelephone, part, textIs, withPage } from "./browser.mjs";
import { main } from "./rig.mjs";

const run = promisify(execFile);

const publish = ({ tcp }, ...args) => run("mosquitto_pub", ["-p", tcp, "-q", "1", ...args]);
const device = (page, place) => page.locator(`[data-test="device"][data-place="${place}"]`);
const hasStatus = (page, place, status) =>
  page.locator(`[data-test="device"][data-place="${place}"][data-status="${status}"]`).waitFor();

/** Opens the page and waits until all devices are there. */
const withHome = (hub, body) =>
  withPage(hub.page, async (page) => {
    await textIs(page, "summary", /^18 devices · all here/);
    await body(page);
  });

async function sceneFromOutside(hub) {
  await withHome(hub, async (page) => {
    await publish(hub, "-r", "-t", "home/scene", "-m", "movie");
    await page.locator('[data-test="scene-movie"][aria-pressed="true"]').waitFor();
    await textIs(page, "summary", /Movie: 12 of 12 confirmed/);
    await device(page, "living-room/floor-lamp").getByText("15 %").waitFor();
    await device(page, "living-room/blind").getByText("closed").waitFor();
    // One whose name is no scene presses no button.
    await publish(hub, "-r", "-t", "home/scene", "-m", "constructor");
    await textIs(page, "summary", /^18 devices · all here$/);
    assert.equal(await page.locator('.scene[aria-pressed="true"]').count(), 0);
  });
}

async function sceneFromATelephone(hub) {
  await withHome(hub, async (page) => {
    await fitsOnATelephone(page);
    const outsider = await mqtt.connectAsync(`mqtt://127.0.0.1:${hub.tcp}`, { reconnectPeriod: 0 });
    const heard = new Promise((resolve) => outsider.on("message", (_, payload) => resolve(payload.toString())));
    await outsider.subscribeAsync("home/scene", { qos: 1 });
    const button = part(page, "scene-night");
    // As large as a thumb, and where it reaches: in the lower third.
    const { y, height, width } = await button.boundingBox();
    assert(height >= 44 && width >= 44 && y > (800 * 2) / 3, `${width}x${height} at ${y}`);
    await button.click();
    assert.equal(await heard, "night");
    await textIs(page, "summary", /Night: 12 of 12 confirmed/);
    await device(page, "hall/ceiling-lamp").getByText("5 %").waitFor();
    await outsider.endAsync();
  });
}

async function switchesAndSliders(hub) {
  await withHome(hub, async (page) => {
    const lamp = device(page, "kitchen/ceiling-lamp");
    await lamp.getByRole("button", { name: "On" }).click();
    await lamp.getByText("60 %").waitFor();
    await lamp.getByRole("slider").fill("30");
    await lamp.getByText("30 %").waitFor();
    await device(page, "kitchen/blind").getByRole("button", { name: "Close" }).click();
    await device(page, "kitchen/blind").getByText(/^closed$/).waitFor();
    await device(page, "bedroom/heating").getByRole("button", { name: "Warmer" }).click();
    await device(page, "bedroom/heating").getByText("20.5 °C").waitFor();
    await device(page, "hall/front-door").getByRole("button", { name: "Open" }).click();
    await device(page, "hall/front-door").getByText(/^open$/).waitFor();
  });
}

/** A pulled plug: this page sees it at once, one that is opened later too, and it can be put back. */
async function deviceDies(hub) {
  const place = "kitchen/blind";
  await withHome(hub, async (page) => {
    await device(page, place).locator('[data-test="power"]').click();
    await hasStatus(page, place, "offline");
    await device(page, place).getByText(/^no contact since /).waitFor();
    await textIs(page, "summary", /1 without contact/);
    assert(await device(page, place).getByRole("slider").isDisabled());
    await withPage(hub.page, async (late) => {
      await textIs(late, "summary", /^18 devices · 1 without contact/);
      await hasStatus(late, place, "offline");
      await device(late, place).locator('[data-test="power"]').click();
      await hasStatus(late, place, "online");
    });
    await hasStatus(page, place, "online");
    await textIs(page, "summary", /^18 devices · all here/);
    assert(await device(page, place).getByRole("slider").isEnabled());
  });
}

/** A device of somebody else, of which the program knows nothing, killed as a process. */
async function outsiderDies(hub) {
  await withHome(hub, async (page) => {
    const gate = spawn("mosquitto_sub", [
      "-p", hub.tcp, "-i", "gate", "-t", "home/garage/gate/set", "-q", "1",
      "--will-topic", "home/garage/gate/status", "--will-payload", "offline", "--will-retain", "--will-qos", "1",
    ]);
    try {
      await publish(hub, "-r", "-t", "home/garage/gate/state", "-m", '{"kind":"contact","open":true}');
      await publish(hub, "-r", "-t", "home/garage/gate/status", "-m", "online");
      await page.getByRole("heading", { name: "Garage" }).waitFor();
      await hasStatus(page, "garage/gate", "online");
      await textIs(page, "summary", /^19 devices · all here/);
      // The hub must know the gate before it can die: its command comes back to it.
      const commanded = new Promise((resolve) => gate.stdout.once("data", resolve));
      let told = false;
      commanded.then(() => (told = true));
      while (!told) {
        await publish(hub, "-t", "home/garage/gate/set", "-m", "{}");
      }
      gate.kill("SIGKILL");
      await hasStatus(page, "garage/gate", "offline");
      await textIs(page, "summary", /^19 devices · 1 without contact/);
      // Its plug is not in this program's hand: the button does no harm.
      await publish(hub, "-r", "-t", "home/attic/clock/state", "-m", '{"kind":"sundial"}');
      await publish(hub, "-r", "-t", "home/attic/box/state", "-m", '{"kind":"motion","motion":true}');
      await device(page, "attic/box").getByText("somebody is there").waitFor();
      assert.equal(await device(page, "attic/clock").count(), 0);
    } finally {
      gate.kill("SIGKILL");
    }
  });
}

await main({ sceneFromOutside, sceneFromATelephone, switchesAndSliders, deviceDies, outsiderDies });
