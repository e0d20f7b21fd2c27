// The page of market quotes in Chromium.

import assert from "node:assert/strict";
import mqtt from "mqtt";
import { fitsOnATelephone, part, textIs, withPage } from "./browser.mjs";
import { main } from "./rig.mjs";

const tile = (page, symbol) => page.locator(`[data-test="tile"][data-symbol="${symbol}"]`);
const priceOf = async (page, symbol) => Number(await tile(page, symbol).locator('[data-test="price"]').innerText());

async function aThousandSymbols({ page: url }) {
  await withPage(url, async (page) => {
    await textIs(page, "status", /connected/);
    await textIs(page, "symbols", /^1,000$/);
    await textIs(page, "taken", /^[1-9][\d,]*\/s$/);
    // The first tile in sight has a price that moves, and a line through the last ones.
    const first = part(page, "tile").first();
    const symbol = await first.getAttribute("data-symbol");
    const before = await priceOf(page, symbol);
    await page.waitForFunction(([symbol, before]) => {
      const price = document.querySelector(`[data-symbol="${symbol}"] [data-test="price"]`).textContent;
      return price !== "–" && Number(price) !== before;
    }, [symbol, before]);
    await page.waitForFunction((symbol) => {
      const canvas = document.querySelector(`[data-symbol="${symbol}"] canvas`);
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return data.some((value) => value > 0);
    }, symbol);
    // While thousands of prices come in, the page does what it is asked for.
    await part(page, "search").fill(symbol.toLowerCase());
    await page.waitForFunction(() => [...document.querySelectorAll('[data-test="tile"]')].filter((tile) => !tile.hidden).length < 20);
    await part(page, "search").fill("");
    await part(page, "order").selectOption("up");
    await page.waitForFunction(() => {
      const rises = [...document.querySelectorAll(".tile .change")].slice(0, 12).map(({ textContent }) => parseFloat(textContent));
      return rises.every((rise, at) => rise > 0 && (at === 0 || rise <= rises[at - 1] + 0.5));
    });
    await fitsOnATelephone(page);
  });
}

async function theLatestToASlowPage({ page: url, tcp }) {
  await withPage(url, async (page) => {
    await textIs(page, "symbols", /^20$/);
    await part(page, "busy").check();
    // More than sockets and outbox hold, also compressed: it has to wait somewhere, or be left out.
    const digits = Array.from({ length: 4_000 }, () => Math.floor(Math.random() * 10)).join("");
    const anyDigits = () => digits.slice(Math.random() * 2_500).slice(0, 1_500);
    const exchange = await mqtt.connectAsync(`mqtt://127.0.0.1:${tcp}`, { reconnectPeriod: 0 });
    const symbols = Array.from({ length: 20 }, (_, at) => `SLOW${at}`);
    for (let round = 1; round <= 3_000; round++) {
      for (const symbol of symbols) exchange.publish(`market/${symbol}/price`, `${round}.${anyDigits()}`);
      await new Promise((resolve) => setImmediate(resolve));
    }
    for (const symbol of symbols) await exchange.publishAsync(`market/${symbol}/price`, "4711.25", { qos: 1 });
    await exchange.endAsync();
    await part(page, "search").fill("slow");
    await page.waitForFunction((count) => {
      const tiles = [...document.querySelectorAll('[data-test="tile"]')].filter((tile) => !tile.hidden);
      return tiles.length === count && tiles.every((tile) => tile.querySelector('[data-test="price"]').textContent === "4711.25");
    }, symbols.length);
    await textIs(page, "skipped", /^[1-9]/);
    await part(page, "busy").uncheck();
    const skipped = await part(page, "skipped").innerText();
    assert(Number(skipped.replaceAll(",", "")) < 3_001 * symbols.length, skipped);
  });
}

await main({ aThousandSymbols, theLatestToASlowPage });
