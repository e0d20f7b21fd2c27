// One room in Chromium, at netcat and over MQTT.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import mqtt from "mqtt";
import { fitsOnATelephone, part, textIs, withPage } from "./browser.mjs";
import { main } from "./rig.mjs";

const said = (page, name, text) =>
  part(page, "said").filter({ has: page.locator("b", { hasText: name }) }).filter({ hasText: text }).first();
const wire = (page, text) => part(page, "wire-line").filter({ hasText: text }).first();

async function say(page, text) {
  await part(page, "text").fill(text);
  await part(page, "send").click();
}

/** Somebody at netcat, who reads and types lines. */
function netcat(port) {
  const process = spawn("nc", ["127.0.0.1", port], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: process.stdout })[Symbol.asyncIterator]();
  const line = async () => (await lines.next()).value;
  const reads = async () => JSON.parse(await line());
  /** Reads on until this was said. */
  const hears = async (said) => {
    while ((await reads()).data !== said);
  };
  return { line, reads, hears, type: (line) => process.stdin.write(`${line}\n`), kill: () => process.kill() };
}

/** Waits until an MQTT client has heard this. */
function heardBy(client, said) {
  return new Promise((resolve) => client.on("message", (_, payload) => payload.toString() === said && resolve()));
}

/** Each of the three hears each of the three. */
async function threeTalk({ page: url, tcp }) {
  const nora = netcat(tcp);
  const mia = await mqtt.connectAsync(`mqtt://127.0.0.1:${tcp}`, { reconnectPeriod: 0, clientId: "mia" });
  try {
    // Who does not know what to type asks.
    nora.type("help");
    let help = "";
    while (!help.includes('{"sub":')) help = await nora.line();
    assert.match(help, /^# /);
    nora.type('{"hello":{"client":"nora"},"id":1}');
    while (!(help = await nora.line()).startsWith("{")) assert.match(help, /^#/);
    assert.equal(JSON.parse(help).ack, 1);
    nora.type('{"sub":"talk","id":2}');
    assert.equal((await nora.reads()).ack, 2);
    await mia.subscribeAsync("talk");
    await withPage(url, async (page) => {
      await textIs(page, "status", /connected/);
      await part(page, "name").fill("ann");
      await part(page, "name").press("Enter");
      // Who is here, and by what.
      for (const person of ["ann browser", "doorman netcat", "mia MQTT", "nora netcat"]) {
        await part(page, "person").filter({ hasText: new RegExp(`^${person.replace(" ", "\\s*")}$`) }).waitFor();
      }
      // The browser is heard by both.
      const [hello, mias] = ["ann: Hello from <b>a browser</b>", "mia: Hello from MQTT"];
      let heard = heardBy(mia, hello);
      await say(page, "Hello from <b>a browser</b>");
      await nora.hears(hello);
      await heard;
      await said(page, "ann", "Hello from <b>a browser</b>").waitFor();
      // netcat is heard by both, and so is MQTT.
      heard = heardBy(mia, "nora: Hello from netcat");
      nora.type('{"pub":"talk","data":"nora: Hello from netcat"}');
      await said(page, "nora", "Hello from netcat").waitFor();
      await heard;
      await mia.publishAsync("talk", mias, { qos: 1 });
      await said(page, "mia", "Hello from MQTT").waitFor();
      await nora.hears(mias);
      // The doorman has welcomed all of them, and knows who they are.
      for (const name of ["ann", "nora", "mia"]) await said(page, "doorman", `Welcome, ${name}!`).waitFor();
      await mia.publishAsync("talk", "mia: who is here?", { qos: 1 });
      await said(page, "doorman", "I have heard mia, nora, ann.").waitFor();
      // Who says no name is heard without one, what is no text is shown as what it is, and what is nothing is not.
      const count = await part(page, "said").count();
      for (const line of ["", "Hello from nobody", '{"celsius":21.5}']) await mia.publishAsync("talk", line, { qos: 1 });
      await said(page, "", '{"celsius":21.5}').waitFor();
      assert.equal(await part(page, "said").count(), count + 2);
      // Who comes late reads what was said, in the order in which it was said.
      const before = await part(page, "said").allInnerTexts();
      await page.reload();
      await said(page, "", '{"celsius":21.5}').waitFor();
      assert.deepEqual(await part(page, "said").allInnerTexts(), before);
      // And whoever goes is gone.
      mia.on("error", () => {});
      mia.stream.destroy();
      await page.waitForFunction(() => ![...document.querySelectorAll('[data-test="person"]')].some((row) => row.textContent.includes("mia")));
      await fitsOnATelephone(page);
    });
  } finally {
    nora.kill();
    await mia.endAsync(true);
  }
}

/** The page shows what goes over the doorman's connection, and what is typed there is answered by the hub. */
async function whatGoesOverTheWire({ page: url, tcp }) {
  await withPage(url, async (page) => {
    await textIs(page, "status", /connected/);
    await wire(page, '> {"sub":"talk","no_local":true}').waitFor();
    await wire(page, '< {"sub":"talk","qos":0').waitFor();
    await part(page, "name").fill("ann");
    await part(page, "name").press("Enter");
    await textIs(page, "status", /connected/);
    await say(page, "hello");
    await wire(page, '< {"topic":"talk","data":"ann: hello"').waitFor();
    await wire(page, '> {"data":"doorman: Welcome, ann! Ask me who is here.","pub":"talk"}').waitFor();
    const type = async (line) => {
      await part(page, "line").fill(line);
      await part(page, "line").press("Enter");
    };
    await type('{"ping":"knock"}');
    await wire(page, '< {"pong":"knock"}').waitFor();
    await type("help");
    await wire(page, "< # ").waitFor();
    // After what is no JSON the hub ends the connection; the doorman comes again.
    await type("sub talk");
    await wire(page, '< {"error":').waitFor();
    await part(page, "wire-line").filter({ hasText: '< {"sub":"talk","qos":0' }).nth(1).waitFor();
    // To listen to everything, his own lines among it, does no harm.
    await type('{"sub":"#","id":5}');
    await wire(page, '"ack":5').waitFor();
    await type('{"ping":"last"}');
    await wire(page, '< {"pong":"last"}').waitFor();
    assert.equal(await part(page, "wire-line").filter({ hasText: "talk-wire/" }).count(), 0);
    // At the port that the page names, others come in.
    assert.match(await page.locator(".doors").innerText(), new RegExp(`nc 127\\.0\\.0\\.1 ${tcp}\\b`));
  });
}

await main({ threeTalk, whatGoesOverTheWire });
