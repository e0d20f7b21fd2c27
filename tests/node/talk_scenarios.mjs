// One room in Chromium, at netcat and over MQTT.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
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
  return {
    type: (line) => process.stdin.write(`${line}\n`),
    reads: async () => JSON.parse((await lines.next()).value),
    hears: async function () {
      const { topic, data } = await this.reads();
      return [topic, data];
    },
    kill: () => process.kill(),
  };
}

/** Each of the three hears each of the three. */
async function threeTalk({ page: url, tcp }) {
  const nora = netcat(tcp);
  const mia = await mqtt.connectAsync(`mqtt://127.0.0.1:${tcp}`, { reconnectPeriod: 0 });
  try {
    nora.type('{"sub":["talk/ann","talk/mia"],"id":1}');
    assert.equal((await nora.reads()).ack, 1);
    await mia.subscribeAsync(["talk/ann", "talk/nora"]);
    await withPage(url, async (page) => {
      await textIs(page, "status", /connected/);
      await part(page, "name").fill("ann");
      // The browser is heard by both.
      let heard = once(mia, "message");
      await say(page, "Hello from <b>a browser</b>");
      assert.deepEqual(await nora.hears(), ["talk/ann", "Hello from <b>a browser</b>"]);
      assert.deepEqual((await heard).slice(0, 2).map(String), ["talk/ann", "Hello from <b>a browser</b>"]);
      await said(page, "ann", "Hello from <b>a browser</b>").waitFor();
      // netcat is heard by both, and so is MQTT.
      heard = once(mia, "message");
      nora.type('{"pub":"talk/nora","data":"Hello from netcat"}');
      await said(page, "nora", "Hello from netcat").waitFor();
      assert.deepEqual((await heard).slice(0, 2).map(String), ["talk/nora", "Hello from netcat"]);
      await mia.publishAsync("talk/mia", "Hello from MQTT", { qos: 1 });
      await said(page, "mia", "Hello from MQTT").waitFor();
      assert.deepEqual(await nora.hears(), ["talk/mia", "Hello from MQTT"]);
      // The doorman has welcomed all of them, and knows who they are.
      for (const name of ["ann", "nora", "mia"]) await said(page, "doorman", `Welcome, ${name}!`).waitFor();
      await mia.publishAsync("talk/mia", "who is here?", { qos: 1 });
      await said(page, "doorman", "I have heard mia, nora, ann.").waitFor();
      // What is no text is shown as what it is, and what is nothing is not.
      await mia.publishAsync("talk/thermometer", '{"celsius":21.5}', { qos: 1 });
      await said(page, "thermometer", '{"celsius":21.5}').waitFor();
      await mia.publishAsync("talk/nobody", "", { qos: 1 });
      await say(page, "The end");
      await said(page, "ann", "The end").waitFor();
      assert.equal(await said(page, "nobody", "").count(), 0);
      // Who comes late reads what was said.
      await page.reload();
      await said(page, "nora", "Hello from netcat").waitFor();
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
    await wire(page, '> {"no_local":true,"sub":"talk/+"}').waitFor();
    await wire(page, '< {"sub":"talk/+","qos":0').waitFor();
    await part(page, "name").fill("ann");
    await say(page, "hello");
    await wire(page, '< {"topic":"talk/ann","data":"hello"').waitFor();
    await wire(page, '> {"data":"Welcome, ann! Ask me who is here.","pub":"talk/doorman"}').waitFor();
    const type = async (line) => {
      await part(page, "line").fill(line);
      await part(page, "line").press("Enter");
    };
    await type('{"ping":"knock"}');
    await wire(page, '< {"pong":"knock"}').waitFor();
    // After what is no JSON the hub ends the connection; the doorman comes again.
    await type("sub talk");
    await wire(page, '< {"error":').waitFor();
    await part(page, "wire-line").filter({ hasText: '< {"sub":"talk/+","qos":0' }).nth(1).waitFor();
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
