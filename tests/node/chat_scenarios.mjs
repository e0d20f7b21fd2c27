// The chat in Chromium: two windows, and others who have none.

import assert from "node:assert/strict";
import { once } from "node:events";
import mqtt from "mqtt";
import { fitsOnATelephone, part, textIs, withPage } from "./browser.mjs";
import { main } from "./rig.mjs";

const said = (page, text) => part(page, "said").filter({ hasText: text }).first();
const person = (page, name) => part(page, "person").filter({ hasText: name }).first();

async function comeIn(page, url, name, room = "lobby") {
  await page.goto(`${url}#${room}`);
  await textIs(page, "status", /connected/);
  await textIs(page, "room-title", new RegExp(room));
  await part(page, "name").fill(name);
  await part(page, "name").press("Enter");
  await person(page, name).waitFor();
}

async function say(page, text) {
  await part(page, "text").fill(text);
  await part(page, "send").click();
  await said(page, text).waitFor();
}

/** Two people talk, see each other come, type and go, and read what was said when they come back. */
async function twoPeopleTalk({ page: url }) {
  await withPage(url, async (ann) => {
    await comeIn(ann, url, "Ann");
    await person(ann, "Polly").getByText("MQTT").waitFor();
    const bob = await ann.context().newPage();
    await comeIn(bob, url, "Bob");
    await person(ann, "Bob").waitFor();
    await person(bob, "Ann").waitFor();
    await bob.locator('[data-test="text"]').pressSequentially("Good mor");
    await textIs(ann, "typing", /Bob is typing/);
    await say(bob, "Good morning <b>Ann</b>");
    await said(ann, "Good morning <b>Ann</b>").waitFor();
    await textIs(ann, "typing", /^$/);
    await say(ann, "Polly, hello");
    await said(bob, "hello hello! Rrraaa!").waitFor();
    // Another room: who is there is another list, and what is said elsewhere is counted.
    await bob.locator('[data-test="room"][data-room="garden"]').click();
    await textIs(bob, "room-title", /garden/);
    await person(bob, "Bob").waitFor();
    assert.equal(await person(bob, "Ann").count(), 0);
    await ann.waitForFunction(() => ![...document.querySelectorAll('[data-test="person"]')].some((row) => row.textContent.includes("Bob")));
    await say(ann, "Where did he go?");
    await bob.locator('[data-room="lobby"] b').getByText("1").waitFor();
    // And back: the history has it.
    await bob.locator('[data-test="room"][data-room="lobby"]').click();
    await said(bob, "Where did he go?").waitFor();
    await bob.reload();
    await said(bob, "Where did he go?").waitFor();
    const texts = await bob.locator('[data-test="said"] p').allInnerTexts();
    assert.deepEqual(texts, ["Good morning <b>Ann</b>", "Polly, hello", "hello hello! Rrraaa!", "Where did he go?"]);
    // A closed window leaves.
    await person(ann, "Bob").waitFor();
    await bob.close();
    await ann.waitForFunction(() => ![...document.querySelectorAll('[data-test="person"]')].some((row) => row.textContent.includes("Bob")));
    await fitsOnATelephone(ann);
  });
}

/** Whoever speaks MQTT is in the room, and is gone from it when it is killed. */
async function anMqttClientComesIn({ page: url, tcp }) {
  await withPage(url, async (page) => {
    await comeIn(page, url, "Ann", "workshop");
    const other = await mqtt.connectAsync(`mqtt://127.0.0.1:${tcp}`, { reconnectPeriod: 0, clientId: "lathe-7" });
    other.on("error", () => {});
    await other.subscribeAsync("chat/workshop/said", { qos: 1 });
    await person(page, "lathe-7").getByText("MQTT").waitFor();
    const heard = once(other, "message");
    await say(page, "Is anybody working?");
    const { from, text } = JSON.parse((await heard)[1]);
    assert.deepEqual([from, text], ["Ann", "Is anybody working?"]);
    for (const nonsense of ["hello", "{}", '{"from":7,"text":"x"}', "null"]) await other.publishAsync("chat/workshop/said", nonsense, { qos: 1 });
    await other.publishAsync("chat/workshop/said", JSON.stringify({ from: "lathe-7", text: "I am" }), { qos: 1 });
    await said(page, "I am").waitFor();
    assert.equal(await part(page, "said").count(), 2);
    other.stream.destroy();
    await page.waitForFunction(() => ![...document.querySelectorAll('[data-test="person"]')].some((row) => row.textContent.includes("lathe-7")));
  });
}

await main({ twoPeopleTalk, anMqttClientComesIn });
