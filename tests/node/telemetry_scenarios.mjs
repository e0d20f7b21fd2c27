// The telemetry page in Chromium.

import assert from "node:assert/strict";
import mqtt from "mqtt";
import { fitsOnATelephone, part, textIs, withPage } from "./browser.mjs";
import { main } from "./rig.mjs";

const chart = (page, topic) => page.locator(`[data-test="chart"][data-topic="${topic}"]`);

async function chartsMove({ page: url }) {
  await withPage(url, async (page) => {
    await textIs(page, "status", /connected/);
    await chart(page, "telemetry/here/memory").getByText(/^[\d.]+ [KMGT]?i?B$/).waitFor();
    await chart(page, "telemetry/here/cpu/0").waitFor();
    // A second reading comes and is drawn: the canvas has something on it in the colour of the line.
    await page.waitForFunction(() => {
      const canvas = document.querySelector('[data-topic="telemetry/here/memory"] canvas');
      const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
      copy.drawImage(canvas, 0, 0);
      const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
      const columns = new Set();
      // What the line is filled with is more green than red and blue; the grid and the label are grey.
      for (let i = 0; i < data.length; i += 4) if (data[i + 3] && data[i + 1] > data[i] + 30) columns.add((i / 4) % canvas.width);
      return columns.size > 2;
    });
    await fitsOnATelephone(page);
  });
}

/** The page shows whoever publishes, also a machine of which the program knows nothing, and no nonsense. */
async function anotherMachineAppears({ page: url, tcp }) {
  await withPage(url, async (page) => {
    await textIs(page, "status", /connected/);
    const other = await mqtt.connectAsync(`mqtt://127.0.0.1:${tcp}`, { reconnectPeriod: 0 });
    await other.publishAsync("telemetry/elsewhere/cpu/7", "nonsense", { qos: 1 });
    await other.publishAsync("telemetry/elsewhere/cpu/3", "42.5", { qos: 1 });
    await chart(page, "telemetry/elsewhere/cpu/3").getByText("42.5 %").waitFor();
    await page.getByRole("heading", { name: "elsewhere" }).waitFor();
    assert.equal(await chart(page, "telemetry/elsewhere/cpu/7").count(), 0);
    assert((await part(page, "chart").count()) > 1);
    await other.endAsync();
  });
}

await main({ chartsMove, anotherMachineAppears });
