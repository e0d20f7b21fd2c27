// A file from one machine to another in Chromium, with the connection cut in the middle.

import assert from "node:assert/strict";
import { fitsOnATelephone, part, textIs, withPage } from "./browser.mjs";
import { main } from "./rig.mjs";

/** What is cut by itself and what is cut by hand goes on, and the file arrives whole. */
async function cutInTheMiddle({ page: url }) {
  await withPage(url, async (page) => {
    await textIs(page, "status", /connected/);
    await textIs(page, "code", /^\d+-[a-z]+-[a-z]+$/);
    const code = await part(page, "code").innerText();
    await textIs(page, "ann-lines", /^\$ trefoil send film-1\.bin --url tcp:\/\/127\.0\.0\.\d:\d+\n/);
    await textIs(page, "bob-lines", new RegExp(`^\\$ trefoil receive ${code} --yes`));
    // Nobody on the way sees anything but bytes.
    await textIs(page, "last", /^([0-9a-f]{2} ?)+$/);
    await textIs(page, "figures", /cut once/);
    await textIs(page, "bob-lines", /the network is cut/);
    await page.waitForFunction(() => document.querySelector('[data-test="bar"]').value > 0.55);
    await part(page, "cut").click();
    await textIs(page, "figures", /cut 2 times/);
    await part(page, "rate").fill("32");
    await textIs(page, "verdict", /^arrived whole$/);
    const [ann, bob] = [...(await part(page, "hashes").innerText()).matchAll(/[0-9a-f]{64}/g)].map(String);
    assert.equal(ann, bob);
    // What was carried already was not carried again.
    const [, size, carried] = /(\d+) MiB; ([\d.]+) MiB carried/.exec(await part(page, "figures").innerText());
    assert(Number(carried) < 1.6 * Number(size), `${carried} MiB for ${size}`);
    // Another one has another code.
    await part(page, "again").click();
    await textIs(page, "ann-lines", /film-2\.bin/);
    await page.waitForFunction((old) => !["", old].includes(document.querySelector('[data-test="code"]').textContent), code);
    await textIs(page, "verdict", /^arrived whole$/);
    await fitsOnATelephone(page);
  });
}

await main({ cutInTheMiddle });
