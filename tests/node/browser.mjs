// Chromium for one scenario, and ways to look at a page.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { DEADLINE_MS } from "./rig.mjs";

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

/** Opens `url` with a profile of its own and these options of the browser, runs `body(page)` and insists that the page said nothing about errors. */
export async function withPage(url, body, options = {}) {
  const profile = await mkdtemp(join(tmpdir(), "trefoil-page-"));
  const browser = await chromium.launchPersistentContext(profile, { executablePath: "/usr/bin/chromium", args: FLAGS, ...options });
  const complaints = [];
  try {
    const page = browser.pages()[0] ?? (await browser.newPage());
    page.setDefaultTimeout(DEADLINE_MS / 2);
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(`${error}`));
    page.on("requestfailed", (request) => complaints.push(`${request.url()}: ${request.failure()?.errorText}`));
    page.on("response", (response) => {
      if (response.status() >= 400) complaints.push(`${response.url()}: ${response.status()}`);
    });
    await page.goto(url);
    await body(page);
    assert.deepEqual(complaints, []);
  } catch (fault) {
    if (complaints.length > 0) console.error("the page said:", complaints);
    throw fault;
  } finally {
    await browser.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** An element by its data-test attribute. */
export const part = (page, name) => page.locator(`[data-test="${name}"]`);

/** Waits until the text of an element is as wanted. */
export async function textIs(page, name, wanted) {
  const holds = ([name, source]) => new RegExp(source).test(document.querySelector(`[data-test="${name}"]`).innerText);
  try {
    await page.waitForFunction(holds, [name, wanted.source]);
  } catch (fault) {
    throw new Error(`${name} is ${JSON.stringify(await part(page, name).innerText())}, wanted ${wanted}`, { cause: fault });
  }
}

/** Insists that nothing sticks out to the side in a window as narrow as a telephone. */
export async function fitsOnATelephone(page) {
  await page.setViewportSize({ width: 380, height: 800 });
  const [content, window_] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert(content <= window_, `${content} px in a window of ${window_}`);
}
