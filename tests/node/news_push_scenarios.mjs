// The news in Chromium.

import assert from "node:assert/strict";
import mqtt from "mqtt";
import { fitsOnATelephone, part, textIs, withPage } from "./browser.mjs";
import { main } from "./rig.mjs";

const article = (page, title) => part(page, "article").filter({ has: page.getByRole("heading", { name: title, exact: true }) });

async function write(page, title, text) {
  await part(page, "title").fill(title);
  await part(page, "text").fill(text);
  await part(page, "publish").click();
  await textIs(page, "answer", /Published/);
}

/** One publish is with a thousand readers, on a second page, and there again after a reload. */
async function oneForAThousand({ page: url, http }) {
  // They come by themselves; the hub says when all are there.
  for (let readers = 0; readers < 1000; ) {
    const stats = await (await fetch(`http://127.0.0.1:${http}/api/v1/stats`)).json();
    readers = stats.subscriptions;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await withPage(url, async (page) => {
    await textIs(page, "status", /connected/);
    const other = await page.context().newPage();
    await other.goto(url);
    await textIs(other, "status", /connected/);
    await write(page, "Rain & <b>wind</b>", "At last.\nIt had been dry.");
    for (const each of [page, other]) {
      await article(each, "Rain & <b>wind</b>").getByText(/with 1,000 readers within [\d.,]+ ms/).waitFor();
    }
    await write(page, "Sun", "Already?");
    await article(other, "Sun").getByText(/with 1,000 readers/).waitFor();
    // After a reload everything is there, the newest first, each once, with its count.
    await other.reload();
    await article(other, "Rain & <b>wind</b>").getByText(/with 1,000 readers/).waitFor();
    const titles = await other.locator("h2").allInnerTexts();
    assert.deepEqual(titles, ["Sun", "Rain & <b>wind</b>"]);
    await fitsOnATelephone(page);
  });
}

/** Who writes from elsewhere is read as well, and nonsense is passed over. */
async function writtenElsewhere({ page: url, tcp }) {
  await withPage(url, async (page) => {
    await textIs(page, "status", /connected/);
    const other = await mqtt.connectAsync(`mqtt://127.0.0.1:${tcp}`, { reconnectPeriod: 0 });
    for (const nonsense of ["news", "{}", '{"id":7,"title":"x"}', '{"id":"8"}', "null"]) {
      await other.publishAsync("news/articles", nonsense, { qos: 1 });
    }
    await other.publishAsync("news/articles", JSON.stringify({ id: "1", title: "From afar", text: "☘", at: 1795785832000 }), { qos: 1 });
    await article(page, "From afar").waitFor();
    assert.equal(await part(page, "article").count(), 1);
    await other.endAsync();
  });
}

await main({ oneForAThousand, writtenElsewhere });
