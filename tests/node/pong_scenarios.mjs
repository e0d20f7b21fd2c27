// A game over datagrams in Chromium.

import assert from "node:assert/strict";
import mqtt from "mqtt";
import { fitsOnATelephone, part, textIs, withPage } from "./browser.mjs";
import { main } from "./rig.mjs";

const count = (page, side, field) => page.locator(`tr[data-side="${side}"] [data-field="${field}"]`);
const atLeast = (page, side, field, wanted) =>
  page.waitForFunction(
    ([of, name, least]) => Number(document.querySelector(`tr[data-side="${of}"] [data-field="${name}"]`).textContent) >= least,
    [side, field, wanted],
  );
const paddleIs = (page, side, low, high) =>
  page.waitForFunction(
    ([of, from, to]) => {
      const { y, height } = document.querySelector(`[data-test="paddle-${of}"]`);
      const middle = y.baseVal.value + height.baseVal.value / 2;
      return from <= middle && middle <= to;
    },
    [side, low, high],
  );

/** The ball flies, paddles move, points are made, and datagrams get lost meanwhile. */
async function watchAGame({ page: url, tcp }) {
  await withPage(url, async (page) => {
    await textIs(page, "status", /connected/);
    const ball = part(page, "ball");
    await page.waitForFunction(() => document.querySelector('[data-test="ball"]').cx.baseVal.value > 0);
    const at = async () => [await ball.getAttribute("cx"), await ball.getAttribute("cy")];
    const before = await at();
    await page.waitForFunction(([x]) => document.querySelector('[data-test="ball"]').getAttribute("cx") !== x, before);
    for (const side of ["left", "right"]) {
      await atLeast(page, side, "lost", 3);
      await atLeast(page, side, "received", 50);
      await atLeast(page, side, "missed", 1);
    }
    // What the page shows are the players' datagrams, which anybody can hear.
    const other = await mqtt.connectAsync(`mqtt://127.0.0.1:${tcp}`, { reconnectPeriod: 0 });
    const sides = new Set();
    const both = new Promise((resolve) => {
      other.on("message", (topic, payload) => {
        assert.match(topic, /^pong\/table\/\d+$/);
        if (sides.add(JSON.parse(payload).side).size === 2) resolve();
      });
    });
    await other.subscribeAsync("pong/table/+");
    await both;
    await other.endAsync();
    await page.waitForFunction(() => ["score-left", "score-right"].some((id) => Number(document.getElementById(id).textContent) > 0));
    await fitsOnATelephone(page);
  });
}

/** Who watches can take a paddle, and make the network worse; nothing passes, and the game goes on when it is better. */
async function takeAPaddle({ page: url }) {
  await withPage(url, async (page) => {
    await textIs(page, "status", /connected/);
    await atLeast(page, "right", "received", 10);
    const table = await part(page, "table").boundingBox();
    // Held at the top, and then at the bottom, wherever the ball is.
    await page.mouse.move(table.x + table.width * 0.8, table.y + 2);
    await page.mouse.down();
    await paddleIs(page, "right", 90, 130);
    await page.mouse.up();
    await page.locator("h1").click();
    const pressing = setInterval(() => page.keyboard.down("s").catch(() => {}), 200);
    await paddleIs(page, "left", 870, 910);
    clearInterval(pressing);
    await page.keyboard.up("s");
    await part(page, "loss").fill("60");
    await textIs(page, "loss-now", /^60 %$/);
    const lost = Number(await count(page, "left", "lost").textContent());
    await atLeast(page, "left", "lost", lost + 40);
    await part(page, "loss").fill("0");
    await textIs(page, "loss-now", /^0 %$/);
    const received = Number(await count(page, "left", "received").textContent());
    await atLeast(page, "left", "received", received + 40);
  });
}

await main({ watchAGame, takeAPaddle });
