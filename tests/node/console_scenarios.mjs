// The web console in Chromium: what a person sees while other clients talk through the hub.

import assert from "node:assert/strict";
import { once } from "node:events";
import mqtt from "mqtt";
import { fitsOnATelephone, part, textIs, withPage } from "./browser.mjs";
import { main } from "./rig.mjs";

const withConsole = (hub, body) => withPage(`http://127.0.0.1:${hub.http}/`, body);

const connect = (hub, options = {}) => mqtt.connectAsync(`mqtt://127.0.0.1:${hub.tcp}`, { reconnectPeriod: 0, ...options });

async function figuresAndTopicTree(hub) {
  await withConsole(hub, async (page) => {
    await textIs(page, "status", /connected|live/i);
    const clients = await Promise.all(Array.from({ length: 20 }, () => connect(hub)));
    // The page's own connections, to the hub and for its files, are a few more.
    await textIs(page, "connections", /^[23][0-9]$/);
    await clients[0].publishAsync("house/kitchen/oven", JSON.stringify({ celsius: 180 }), { qos: 1 });
    await clients[0].publishAsync("house/cellar", "damp", { qos: 1 });
    for (const topic of ["house/kitchen/oven", "house/cellar"]) {
      await page.locator(`[data-test="topic-node"][data-topic="${topic}"]`).waitFor();
    }
    const text = await part(page, "topic-tree").innerText();
    assert(text.includes("oven") && text.includes("180") && text.includes("damp"), text);
    // A steady stream of messages shows as a rate.
    const stream = setInterval(() => clients[0].publish("house/clock", "tick"), 20);
    await textIs(page, "rate-in", /[1-9]/);
    await textIs(page, "rate-out", /[1-9]/);
    clearInterval(stream);
    for (const client of clients) await client.endAsync();
    await textIs(page, "connections", /^1?[0-9]$/);
  });
}

async function publishAndSubscribePanel(hub) {
  await withConsole(hub, async (page) => {
    const other = await connect(hub);
    await other.subscribeAsync("demo/#", { qos: 1 });
    await part(page, "pub-topic").fill("demo/from/page");
    await part(page, "pub-payload").fill("hello from the page ☘");
    await part(page, "pub-qos").selectOption("1");
    await part(page, "pub-retain").check();
    const arrived = once(other, "message");
    await part(page, "pub-button").click();
    const [topic, payload, packet] = await arrived;
    assert.deepEqual([topic, payload.toString(), packet.qos], ["demo/from/page", "hello from the page ☘", 1]);

    await part(page, "sub-filter").fill("demo/#");
    await part(page, "sub-button").click();
    // It was retained, so that it waits for the new subscription.
    await part(page, "message").filter({ hasText: "hello from the page ☘" }).first().waitFor();
    await other.publishAsync("demo/to/page", "hello to the page", { qos: 1 });
    await part(page, "message").filter({ hasText: "hello to the page" }).first().waitFor();
    const shown = await part(page, "messages").innerText();
    assert(shown.includes("demo/to/page"), shown);
    await other.endAsync();
  });
}

async function lightAndDark(hub) {
  await withConsole(hub, async (page) => {
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await page.emulateMedia({ colorScheme: "light" });
    const light = await background();
    await page.emulateMedia({ colorScheme: "dark" });
    assert.notEqual(await background(), light);
    await fitsOnATelephone(page);
  });
}

async function storeAndSessions(hub) {
  const lasting = { protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 3600 } };
  // A client id comes from a stranger, too.
  for (const clientId of ["pump/7", "<b>large</b>"]) {
    const client = await connect(hub, { ...lasting, clientId });
    await client.subscribeAsync(`to/${clientId}`, { qos: 1 });
    await client.endAsync();
  }
  const other = await connect(hub);
  await other.publishAsync("to/<b>large</b>", "x".repeat(5000), { qos: 1 });
  await other.endAsync();
  await withConsole(hub, async (page) => {
    await textIs(page, "store-bytes", /^[0-9.]+ (B|KiB)$/);
    await textIs(page, "store-sync", /ms$/);
    assert.equal(await part(page, "store-alarm").isVisible(), false);
    const rows = part(page, "session");
    await rows.first().waitFor();
    const text = await rows.first().innerText();
    assert(text.includes("<b>large</b>") && text.includes("KiB") && text.includes("ago"), text);
    const row = page.locator('[data-test="session"][data-client-id="pump/7"]');
    await row.locator('[data-test="session-drop"]').click();
    assert.equal(await row.count(), 1, "once is not enough");
    await row.locator('[data-test="session-drop"]').click();
    await textIs(page, "session-answer", /pump\/7 has ended/);
    await part(page, "session-refresh").click();
    await page.locator('[data-test="session"][data-client-id="<b>large</b>"]').waitFor();
    assert.equal(await row.count(), 0);
    // They come fifty at a time.
    assert.equal(await part(page, "session-more").isVisible(), false);
    for (let number = 0; number < 60; number++) {
      await (await connect(hub, { ...lasting, clientId: `many-${number}` })).endAsync();
    }
    await part(page, "session-refresh").click();
    await textIs(page, "session-count", /^50 of \d+$/);
    await part(page, "session-more").click();
    await textIs(page, "session-count", /^\d+$/);
    const ids = await rows.evaluateAll((all) => all.map((row) => row.dataset.clientId));
    assert.equal(new Set(ids).size, ids.length);
    assert.equal(ids.filter((id) => id.startsWith("many-")).length, 60);
    assert.equal(await part(page, "session-more").isVisible(), false);
    // What a hub says whose disk is full is seen at once.
    const stats = await page.evaluate(async () => (await fetch("api/v1/stats")).json());
    stats.store = { ...stats.store, state: "full", reason: "the disk of the store is full" };
    await page.evaluate(async (stats) => new (await import("/js/figures.js")).Figures().show(stats), stats);
    assert.equal(await part(page, "store-alarm").isVisible(), true);
    assert.match(await part(page, "store-alarm").innerText(), /disk of the store is full/);
  });
}

/** Bans and users, from the list to the client that is cut off and comes again. */
async function historyOfATopic(hub) {
  const other = await connect(hub);
  for (let number = 1; number <= 150; number++) await other.publishAsync("kept/level", `${number}`, { qos: 1 });
  await other.publishAsync("kept/words", "not a number", { qos: 1 });
  await withConsole(hub, async (page) => {
    // All of it was before the page.
    const node = page.locator('[data-test="topic-node"][data-topic="kept/level"]');
    await node.waitFor();
    assert(!(await part(page, "past").isVisible()));
    await node.click();
    const rows = part(page, "past-message");
    await textIs(page, "past-count", /newest 100, up to offset 150/);
    const numbers = async () => (await rows.evaluateAll((all) => all.map((row) => row.lastChild.textContent))).map(Number);
    assert.deepEqual(await numbers(), Array.from({ length: 100 }, (_, at) => 150 - at));
    assert(await part(page, "past-line").isVisible());
    // And it goes on, also when more comes at once than is shown.
    await other.publishAsync("kept/level", "151", { qos: 1 });
    await textIs(page, "past-count", /up to offset 151/);
    await Promise.all(Array.from({ length: 250 }, (_, at) => other.publishAsync("kept/level", `${152 + at}`, { qos: 1 })));
    await textIs(page, "past-count", /up to offset 401/);
    assert.deepEqual(await numbers(), Array.from({ length: 100 }, (_, at) => 401 - at));
    await page.locator('[data-test="topic-node"][data-topic="kept/words"]').click();
    await textIs(page, "past-rows", /not a number/);
    assert(!(await part(page, "past-line").isVisible()));
    await other.publishAsync("other", "without a history", { qos: 1 });
    await page.locator('[data-test="topic-node"][data-topic="other"]').click();
    assert(!(await part(page, "past").isVisible()));
    await fitsOnATelephone(page);
  });
  await other.endAsync();
}

async function whoIsOnATopic(hub) {
  const [ann, bob] = await Promise.all(["ann", "bob"].map((clientId) => connect(hub, { clientId })));
  await ann.subscribeAsync("room/7");
  await withConsole(hub, async (page) => {
    // Retained, since the page may not listen yet.
    for (const topic of ["room/7", "hall"]) await bob.publishAsync(topic, "hello", { qos: 1, retain: true });
    await page.locator('[data-test="topic-node"][data-topic="room/7"]').click();
    await textIs(page, "present-count", /^1$/);
    await bob.subscribeAsync(["room/7", "room/+"]);
    await textIs(page, "present-count", /^2$/);
    assert.deepEqual(await part(page, "present-client").allInnerTexts(), ["ann", "bob"]);
    await ann.endAsync();
    await textIs(page, "present-count", /^1$/);
    await page.locator('[data-test="topic-node"][data-topic="hall"]').click();
    await part(page, "present").waitFor({ state: "hidden" });
    await fitsOnATelephone(page);
  });
  await bob.endAsync();
}

async function playground(hub) {
  const frame = (page, way, text) => page.locator(`[data-test="play-frame"][data-way="${way}"]`).filter({ hasText: text }).first().waitFor();
  await withConsole(hub, async (page) => {
    await part(page, "play-go").click();
    await textIs(page, "play-state", /connect first/);
    await part(page, "play-button").click();
    await textIs(page, "play-state", /open/);
    await frame(page, "note", "trefoil.v1.json");
    await part(page, "play-go").click();
    await frame(page, "out", '{"sub":"demo/#","id":1}');
    await frame(page, "in", '{"sub":"demo/#","qos":0,"ack":1}');
    const other = await connect(hub);
    await other.publishAsync("demo/x", "<b>from outside</b>", { qos: 1 });
    await frame(page, "in", "<b>from outside</b>");
    await other.endAsync();
    await part(page, "play-example").selectOption("mistake");
    await part(page, "play-go").click();
    await frame(page, "in", "did you mean qos?");
    await part(page, "play-button").click();
    await textIs(page, "play-state", /closed with 1000/);

    // MQTT by hand: CONNECT, and the hub's CONNACK.
    await part(page, "play-path").fill("/mqtt");
    await part(page, "play-path").press("Tab");
    await part(page, "play-button").click();
    await textIs(page, "play-state", /open/);
    await part(page, "play-go").click();
    await frame(page, "out", "10 10 00 04 4d 51 54 54");
    await frame(page, "in", "20 02 00 00");
    await part(page, "play-text").fill("0a f");
    await part(page, "play-go").click();
    await textIs(page, "play-state", /hexadecimal/);
    await part(page, "play-text").fill("ff ff ff ff ff");
    await part(page, "play-go").click();
    await textIs(page, "play-state", /closed with 1002/);
    await fitsOnATelephone(page);
  });
}

async function bansAndUsers(hub) {
  const admin = { username: "admin", password: "secret" };
  const body = async (page) => {
    assert.equal(await part(page, "ban-rows").isVisible(), false, "nothing is asked for before somebody wants it");
    const pump = await connect(hub, { ...admin, protocolVersion: 5, clientId: "pump-<b>7</b>" });
    const gone = once(pump, "disconnect");
    await part(page, "ban-refresh").click();
    await part(page, "ban-whom").fill("pump-*");
    await part(page, "ban-reason").fill("<i>mischief</i>");
    await part(page, "ban-expires").selectOption("3600");
    await part(page, "ban-button").click();
    await textIs(page, "ban-answer", /Banned. 1 connection has ended.$/);
    assert.equal((await gone)[0].reasonCode, 0x98);
    const ban = page.locator('[data-test="ban"][data-whom="pump-*"]');
    const text = await ban.innerText();
    assert(text.includes("client id") && text.includes("<i>mischief</i>") && text.includes("admin"), text);
    assert(text.includes("in 59 min") || text.includes("in 1 h"), text);
    await assert.rejects(connect(hub, { ...admin, protocolVersion: 5, clientId: "pump-7" }), { code: 0x8a });
    await ban.locator('[data-test="ban-remove"]').click();
    assert.equal(await ban.count(), 1, "once is not enough");
    await ban.locator('[data-test="ban-remove"]').click();
    await textIs(page, "ban-answer", /pump-\* may come again/);
    assert.equal(await ban.count(), 0);

    await part(page, "user-refresh").click();
    await textIs(page, "user-count", /^1$/);
    await part(page, "user-name").fill("bob/<b>");
    await part(page, "user-password").fill("b");
    await part(page, "user-button").click();
    await textIs(page, "user-answer", /is added/);
    assert.equal(await part(page, "user-password").inputValue(), "");
    const bob = await connect(hub, { username: "bob/<b>", password: "b" });
    const cut = once(bob, "close");
    const row = page.locator('[data-test="user"][data-user="bob/<b>"]');
    await row.locator('[data-test="user-delete"]').click();
    await row.locator('[data-test="user-delete"]').click();
    await textIs(page, "user-answer", /is deleted/);
    await cut;
    assert.equal(await row.count(), 0);
    assert.equal(await page.locator('[data-test="user"][data-user="admin"] button').count(), 0, "the file is not changed here");
    await fitsOnATelephone(page);
  };
  await withPage(`http://127.0.0.1:${hub.tcp}/`, body, { httpCredentials: admin });
}

/** Payloads and topics come from strangers: they are shown and never run. */
async function hostileMessages(hub) {
  await withConsole(hub, async (page) => {
    await textIs(page, "status", /connected|live/i);
    await page.evaluate(() => { window.harmed = false; });
    const other = await connect(hub);
    await part(page, "sub-filter").fill("#");
    await part(page, "sub-button").click();
    await part(page, "filters").locator("li").first().waitFor();
    const markup = "<img src=nowhere onerror='window.harmed=true'><script>window.harmed=true</script>";
    const topics = [markup.replaceAll("/", ":"), "__proto__/constructor", "a//b/", `long/${"x".repeat(5000)}`];
    for (const topic of topics) await other.publishAsync(topic, markup, { qos: 1 });
    await other.publishAsync("bytes", Buffer.from([0, 255, 254, 10]), { qos: 1 });
    await other.publishAsync("large", "y".repeat(500_000), { qos: 1 });
    await other.publishAsync("the/end", "the end", { qos: 1 });
    await part(page, "message").filter({ hasText: "the end" }).first().waitFor();
    await page.locator('[data-test="topic-node"][data-topic="the/end"]').waitFor();
    assert.equal(await page.evaluate(() => window.harmed), false);
    assert.equal(await page.locator("img[src=nowhere]").count(), 0);
    await other.endAsync();
  });
}

await main({ figuresAndTopicTree, publishAndSubscribePanel, lightAndDark, storeAndSessions, historyOfATopic, whoIsOnATopic, playground, bansAndUsers, hostileMessages });
