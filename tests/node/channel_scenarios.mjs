// Channels with fetch only, in Node and in a page, where EventSource and sendBeacon come to it.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { withPage } from "./browser.mjs";
import { main } from "./rig.mjs";

/** Opens a channel with fetch and nothing else; runs in Node and in pages. */
async function openChannel(base, requests) {
  const { channel } = await (await fetch(`${base}/channel`, { method: "POST", body: JSON.stringify(requests) })).json();
  const path = `${base}/channel/${channel}`;
  let after = 0;
  const objects = [];
  const say = async (...requests) => {
    const answer = await fetch(path, { method: "POST", body: JSON.stringify(requests) });
    if (answer.status !== 204 || (await answer.text()) !== "") throw new Error(`${answer.status}`);
  };
  const hear = async () => {
    while (objects.length === 0) {
      const answer = await (await fetch(`${path}?after=${after}`)).json();
      if (answer.next !== after + answer.objects.length) throw new Error(JSON.stringify(answer));
      after = answer.next;
      objects.push(...answer.objects);
    }
    return objects.shift();
  };
  return { path, say, hear, after: () => after };
}

async function fetchOnly(hub) {
  const base = `http://127.0.0.1:${hub.http}`;
  const ann = await openChannel(base, [{ sub: "room/1" }]);
  assert.deepEqual(await ann.hear(), { sub: "room/1", qos: 0 });
  const bob = await openChannel(base, [{ sub: "room/2" }]);
  await bob.hear();
  for (let n = 0; n < 200; n += 1) {
    const heard = ann.hear();
    await bob.say({ pub: "room/1", data: n });
    assert.equal((await heard).data, n);
    await ann.say({ pub: "room/2", data: { n } });
    assert.deepEqual((await bob.hear()).data, { n });
  }
  assert.equal((await fetch(`${ann.path}/close`, { method: "POST" })).status, 204);
  assert.equal((await fetch(`${ann.path}?after=${ann.after()}`)).status, 410);
}

async function pageWithEventSource(hub) {
  // The page comes from another port, so that all that it asks is asked across origins, and nothing asks for leave first.
  const methods = [];
  const server = createServer((request, response) => {
    methods.push(request.method);
    response.setHeader("Content-Type", "text/html");
    response.end(`<link rel="icon" href="data:,"><title>a page</title>`);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const base = `http://127.0.0.1:${hub.http}`;
  await withPage(`http://127.0.0.1:${server.address().port}/`, async (page) => {
    page.on("request", (request) => methods.push(request.method()));
    await page.evaluate(`window.openChannel = ${openChannel}`);
    const heard = await page.evaluate(async (base) => {
      const channel = await window.openChannel(base, [{ sub: "page/#" }]);
      const heard = [await channel.hear()];
      await channel.say({ pub: "page/1", data: "polled" });
      heard.push(await channel.hear());
      const source = new EventSource(`${channel.path}?after=${channel.after()}`);
      const events = [];
      const all = new Promise((done) => {
        source.onmessage = ({ data, lastEventId }) => {
          events.push([lastEventId, JSON.parse(data).data]);
          if (events.length === 3) done();
        };
      });
      for (const n of [1, 2, 3]) await channel.say({ pub: "page/2", data: n });
      await all;
      // Another reader takes the place of the stream, and is given again what nobody has acknowledged.
      heard.push(await channel.hear());
      source.close();
      navigator.sendBeacon(`${channel.path}/close`);
      return { heard, events };
    }, base);
    assert.deepEqual(heard.heard, [{ sub: "page/#", qos: 0 }, { topic: "page/1", data: "polled" }, { topic: "page/2", data: 1 }]);
    assert.deepEqual(heard.events, [["3", 1], ["4", 2], ["5", 3]]);
  });
  server.close();
  assert(!methods.includes("OPTIONS"), `${methods}`);
  for (;;) {
    const { connections } = await (await fetch(`${base}/api/v1/stats`)).json();
    if (connections.poll + connections.sse === 0) return;
    await new Promise((done) => setTimeout(done, 20));
  }
}

await main({ fetchOnly, pageWithEventSource });
