// The page of the plant in Chromium, while outsiders use the same hub.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { fitsOnATelephone, part, textIs, withPage } from "./browser.mjs";
import { main } from "./rig.mjs";

const run = promisify(execFile);

const publish = ({ tcp }, topic, text) => run("mosquitto_pub", ["-p", tcp, "-q", "1", "-t", topic, "-m", text]);
const ask = async ({ tcp }, machine, request) => {
  const args = ["-V", "5", "-p", tcp, "-q", "1", "-t", `plant/${machine}/request`, "-e", "plant/answers/outsider", "-W", "30"];
  return JSON.parse((await run("mosquitto_rr", [...args, "-m", JSON.stringify(request)])).stdout);
};
const machine = (page, name) => page.locator(`[data-test="machine"][data-machine="${name}"]`);
const worker = (page, name) => page.locator(`[data-test="worker"][data-worker="${name}"]`);
const hasStanding = (page, name, standing) =>
  page.locator(`[data-test="worker"][data-worker="${name}"][data-standing="${standing}"]`).waitFor();
const alarm = (page, topic) => page.locator(`[data-test="alarm"][data-topic="plant/alarms/${topic}"]`);

/** Waits until an element's first number is above `least`. */
const grows = (page, selector, least) =>
  page.waitForFunction(
    ([selector, least]) => Number(document.querySelector(selector)?.textContent.replaceAll(",", "").match(/\d+/)?.[0]) > least,
    [selector, least],
  );

async function machinesAndFigures({ page: url }) {
  await withPage(url, async (page) => {
    await textIs(page, "status", /connected/);
    for (const name of ["press-1", "mill-1", "lathe-1"]) {
      await grows(page, `[data-machine="${name}"] .rate`, 0);
      await machine(page, name).getByText(/[1-9][\d,]* in order, 0 missing/).waitFor();
    }
    await grows(page, '[data-test="recorded"]', 300);
    await grows(page, '[data-test="handled"]', 300);
    await textIs(page, "missing", /^0$/);
    await textIs(page, "out-of-order", /^0$/);
    await textIs(page, "repeats", /^0$/);
    assert.equal(await part(page, "machine").count(), 3);
    await fitsOnATelephone(page);
  });
}

async function workersComeAndGo(hub) {
  await withPage(hub.page, async (page) => {
    for (const name of ["worker-1", "worker-2", "worker-3"]) await grows(page, `[data-worker="${name}"] .handled`, 10);
    await worker(page, "worker-1").getByRole("button", { name: "Release worker-1" }).click();
    await hasStanding(page, "worker-1", "released");
    await publish(hub, "plant/crew", "kill worker-2");
    await hasStanding(page, "worker-2", "killed");
    await worker(page, "worker-2").getByText(/[\d,]+, killed/).waitFor();
    await part(page, "hire").click();
    await hasStanding(page, "worker-4", "working");
    await grows(page, '[data-worker="worker-4"] .handled', 10);
    assert(await worker(page, "worker-4").getByRole("button", { name: "Kill worker-4" }).isVisible());
    assert.equal(await worker(page, "worker-1").getByRole("button").count(), 0);
    await textIs(page, "missing", /^0$/);
    // What the two had in hand has found its way: with the machines at rest nothing is left.
    for (const name of ["press-1", "mill-1", "lathe-1"]) {
      assert.equal((await ask(hub, name, { set_speed: 0 })).speed, 0);
    }
    await textIs(page, "under-way", /^0$/);
  });
}

async function alarmsStandAndExpire(hub) {
  await withPage(hub.page, async (page) => {
    await textIs(page, "status", /connected/);
    await page.getByText("No alarm stands.").waitFor();
    assert((await ask(hub, "mill-1", { raise_alarm: { kind: "smoke", valid_s: 600 } })).ok);
    await alarm(page, "mill-1/smoke").getByText(/^(600|59\d) s$/).waitFor();
    // Looked for before it is raised, since it does not stay.
    const seen = alarm(page, "mill-1/door-open").waitFor();
    assert((await ask(hub, "mill-1", { raise_alarm: { kind: "door-open", valid_s: 3 } })).ok);
    await seen;
    // It goes by itself, and who comes late sees the other one only.
    await alarm(page, "mill-1/door-open").waitFor({ state: "detached" });
    await withPage(hub.page, async (late) => {
      await alarm(late, "mill-1/smoke").waitFor();
      assert.equal(await part(late, "alarm").count(), 1);
      // Whoever has seen it clears it for all.
      await alarm(late, "mill-1/smoke").getByRole("button").click();
      await alarm(late, "mill-1/smoke").waitFor({ state: "detached" });
    });
    await page.getByText("No alarm stands.").waitFor();
  });
}

async function machinesAnswer(hub) {
  await withPage(hub.page, async (page) => {
    const press = machine(page, "press-1");
    await press.getByRole("slider").fill("1600");
    await press.getByText(/^1600\/s, says press-1 after \d+ ms$/).waitFor();
    await alarm(page, "press-1/overheating").waitFor();
    assert.equal((await ask(hub, "press-1", "status")).speed, 1600);
    // What somebody else asks for shows as well, and the answer is not this page's.
    await ask(hub, "press-1", { set_speed: 300 });
    await page.waitForFunction(() => document.querySelector('[data-machine="press-1"] input').value === "300");
    await press.getByText(/^1600\/s, says press-1/).waitFor();
    assert.equal(await machine(page, "mill-1").locator('[data-test="answer"]').innerText(), "");
  });
}

await main({ machinesAndFigures, workersComeAndGo, alarmsStandAndExpire, machinesAnswer });
