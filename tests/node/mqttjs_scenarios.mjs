// MQTT.js against the hub, over TCP and over WebSocket.

import assert from "node:assert/strict";
import { once } from "node:events";
import mqtt from "mqtt";
import { main } from "./rig.mjs";

const COUNT = 200;
const VERSIONS = [3, 4, 5];

/** The addresses by which MQTT.js reaches the hub. */
function urls(hub) {
  return [`mqtt://127.0.0.1:${hub.tcp}`, `ws://127.0.0.1:${hub.http}/mqtt`];
}

async function connect(url, options = {}) {
  const client = await mqtt.connectAsync(url, { reconnectPeriod: 0, ...versionOptions(options) });
  client.inbox = [];
  client.on("message", (topic, payload, packet) => {
    client.inbox.push({ topic, payload: payload.toString(), packet });
    client.emit("inbox");
  });
  return client;
}

/** MQTT 3.1 has its own protocol name; MQTT.js then asks for the WebSocket subprotocol `mqttv3.1` too. */
function versionOptions(options) {
  return options.protocolVersion === 3 ? { protocolId: "MQIsdp", ...options } : options;
}

/** Waits until that many messages have come and takes them. */
async function take(client, count) {
  while (client.inbox.length < count) await once(client, "inbox");
  return client.inbox.splice(0, count);
}

const numbered = Array.from({ length: COUNT }, (_, number) => `${number}`);

async function everyQosAndVersion(hub) {
  for (const url of urls(hub)) {
    for (const protocolVersion of VERSIONS) {
      const subscriber = await connect(url, { protocolVersion, clientId: "subscriber" });
      const publisher = await connect(url, { protocolVersion, clientId: "publisher" });
      for (const qos of [0, 1, 2]) {
        const topic = `all/${protocolVersion}/${qos}`;
        const granted = await subscriber.subscribeAsync(topic, { qos });
        assert.equal(granted[0].qos, qos);
        await Promise.all(numbered.map((payload) => publisher.publishAsync(topic, payload, { qos })));
        const messages = await take(subscriber, COUNT);
        assert.deepEqual(messages.map((message) => message.payload), numbered);
        assert(messages.every((message) => message.packet.qos === qos && message.topic === topic));
      }
      await subscriber.endAsync();
      await publisher.endAsync();
    }
  }
}

async function persistentSession(hub) {
  for (const url of urls(hub)) {
    const options = { clientId: `keeper ${url}`, protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 3600 } };
    const keeper = await connect(url, options);
    await keeper.subscribeAsync("kept/#", { qos: 2 });
    await keeper.endAsync();
    const publisher = await connect(url, { protocolVersion: 5 });
    for (const payload of numbered) await publisher.publishAsync("kept/x", payload, { qos: 2 });
    const connack = new Promise((resolve) => {
      const again = mqtt.connect(url, { reconnectPeriod: 0, ...options });
      const inbox = [];
      again.on("message", (_topic, payload) => {
        inbox.push(payload.toString());
        if (inbox.length === COUNT) resolve({ again, inbox });
      });
      again.on("connect", (packet) => assert.equal(packet.sessionPresent, true));
    });
    const { again, inbox } = await connack;
    assert.deepEqual(inbox, numbered);
    await again.endAsync();
    await publisher.endAsync();
  }
}

async function will(hub) {
  for (const url of urls(hub)) {
    const watch = await connect(url, { protocolVersion: 5 });
    await watch.subscribeAsync("last/#");
    const sudden = await connect(url, { protocolVersion: 5, will: { topic: "last/x", payload: Buffer.from("gone"), qos: 1, retain: false } });
    sudden.stream.destroy();
    const [message] = await take(watch, 1);
    assert.deepEqual([message.topic, message.payload], ["last/x", "gone"]);
    await watch.endAsync();
    await sudden.endAsync(true);
  }
}

async function propertiesAndAliases(hub) {
  for (const url of urls(hub)) {
    const subscriber = await connect(url, { protocolVersion: 5, properties: { topicAliasMaximum: 5 } });
    const publisher = await connect(url, { protocolVersion: 5, autoUseTopicAlias: true });
    await subscriber.subscribeAsync("aliased/#", { qos: 1, properties: { subscriptionIdentifier: 42 } });
    const properties = { contentType: "text/plain", userProperties: { leaf: "three" }, correlationData: Buffer.from([0, 255]) };
    for (const payload of numbered) {
      await publisher.publishAsync("aliased/a/long/name", payload, { qos: 1, properties: { ...properties } });
    }
    const messages = await take(subscriber, COUNT);
    assert.deepEqual(messages.map((message) => message.payload), numbered);
    for (const { topic, packet } of messages) {
      assert.equal(topic, "aliased/a/long/name");
      assert.equal(packet.properties.contentType, "text/plain");
      assert.equal(packet.properties.userProperties.leaf, "three");
      assert.equal(packet.properties.subscriptionIdentifier, 42);
      assert.deepEqual(packet.properties.correlationData, Buffer.from([0, 255]));
    }
    await subscriber.endAsync();
    await publisher.endAsync();
  }
}

async function retainedAndShared(hub) {
  const [tcp, webSocket] = urls(hub);
  const publisher = await connect(tcp, { protocolVersion: 5 });
  await publisher.publishAsync("kept", "state", { qos: 1, retain: true });
  const members = [await connect(tcp, { protocolVersion: 5 }), await connect(webSocket, { protocolVersion: 5 })];
  for (const member of members) {
    await member.subscribeAsync("kept", { qos: 1 });
    const [state] = await take(member, 1);
    assert.deepEqual([state.payload, state.packet.retain], ["state", true]);
    await member.subscribeAsync("$share/group/work", { qos: 1 });
  }
  for (const payload of numbered) await publisher.publishAsync("work", payload, { qos: 1 });
  // The marker comes after the work on each connection.
  await publisher.publishAsync("kept", "marker", { qos: 1 });
  const shares = [];
  for (const member of members) {
    let [message] = await take(member, 1);
    while (message.payload !== "marker") {
      shares.push(message.payload);
      [message] = await take(member, 1);
    }
  }
  assert.deepEqual(shares.map(Number).sort((a, b) => a - b), numbered.map(Number));
  for (const client of [publisher, ...members]) await client.endAsync();
}

await main({ everyQosAndVersion, persistentSession, will, propertiesAndAliases, retainedAndShared });
