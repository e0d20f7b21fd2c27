// The JavaScript client as the hub serves it, in Chromium.

import assert from "node:assert/strict";
import { withPage } from "./browser.mjs";
import { main } from "./rig.mjs";

const onPage = (hub, body) => withPage(`http://127.0.0.1:${hub.http}/`, body);

/** One line in a page, and it talks to the hub that it came from. */
async function scriptTag(hub) {
  await onPage(hub, async (page) => {
    await page.addScriptTag({ url: "/trefoil.js" });
    const heard = await page.evaluate(async () => {
      const client = new trefoil.Client();
      const subscription = client.subscribe("page/+", { qos: 1 });
      await subscription.ready;
      await client.publish("page/json", { a: [1, null] }, { qos: 1 });
      await client.publish("page/bytes", Uint8Array.of(0, 255, 254));
      const messages = [];
      for await (const { topic, data } of subscription) {
        messages.push([topic, data instanceof Uint8Array ? [...data] : data]);
        if (messages.length === 2) return [client.url, messages];
      }
    });
    assert.deepEqual(heard, [`ws://127.0.0.1:${hub.http}/ws`, [["page/json", { a: [1, null] }], ["page/bytes", [0, 255, 254]]]]);
  });
}

/** The same by `import`. */
async function moduleImport(hub) {
  await onPage(hub, async (page) => {
    const heard = await page.evaluate(async () => {
      const { Client, matches } = await import("/trefoil.mjs");
      const client = new Client();
      const error = await client.publish("page/#", 1, { qos: 1 }).catch(({ name, code }) => [name, code]);
      return [error, matches("a/+", "a/b"), "trefoil" in globalThis];
    });
    assert.deepEqual(heard, [["TrefoilError", "bad_topic"], true, false]);
  });
}

/** Without a WebSocket, by each of the other ways. */
async function fallbacks(hub) {
  await onPage(hub, async (page) => {
    await page.addScriptTag({ url: "/trefoil.js" });
    const seen = await page.evaluate(async () => {
      const seen = {};
      for (const way of ["eventStream", "polling"]) {
        const client = new trefoil.Client(location.origin, { transport: trefoil[way]() });
        const subscription = client.subscribe(`${way}/#`);
        await subscription.ready;
        await Promise.all(Array.from({ length: 200 }, (_, i) => client.publish(`${way}/t`, i, { qos: i % 2 })));
        seen[way] = [];
        while (seen[way].length < 200) seen[way].push((await subscription.next()).value.data);
      }
      return seen;
    });
    const all = Array.from({ length: 200 }, (_, i) => i);
    assert.deepEqual(seen, { eventStream: all, polling: all });
  });
}

await main({ scriptTag, moduleImport, fallbacks });
