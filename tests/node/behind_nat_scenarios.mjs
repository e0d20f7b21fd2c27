// A page that has come through a stream, in Chromium.

import assert from "node:assert/strict";
import { fitsOnATelephone, part, textIs, withPage } from "./browser.mjs";
import { main } from "./rig.mjs";

const number = async (page, name) => Number(await part(page, name).innerText());

/** Everything that the page loads comes through streams, several at a time, and every byte of it is right. */
async function openThePage({ page: url }) {
  await withPage(url, async (page) => {
    await textIs(page, "status", /connected/);
    await textIs(page, "name", /^workshop\/web$/);
    await textIs(page, "all", /^[1-9]/);
    await part(page, "fetch").click();
    await textIs(page, "answer", /^16 MiB, \d+ MiB a second, 0 bytes wrong$/);
    await page.waitForFunction(() => Number(document.querySelector('[data-test="given"]').innerText) >= 16);
    await part(page, "fetch-many").click();
    await textIs(page, "answer", /^24 MiB, \d+ MiB a second, 0 bytes wrong$/);
    await page.waitForFunction(() => Number(document.querySelector('[data-test="given"]').innerText) >= 40);
    assert((await number(page, "all")) > 1, "a browser opens several connections");
    await page.reload();
    await textIs(page, "status", /connected/);
    await fitsOnATelephone(page);
  });
}

await main({ openThePage });
