// MQTT.js, over TCP and over WebSocket, while one process takes over from another: nobody notices. The test lets a new
// process take over whenever something is published to `stage/upgrade`, and then publishes to `stage/upgraded`.

import assert from "node:assert/strict";
import { once } from "node:events";
import mqtt from "mqtt";
import { main } from "./rig.mjs";

// Pairs of a publisher and a subscriber for each address, version and QoS.
const PAIRS = 6;
const UPGRADES = 4;
// Messages of each publisher between two upgrades.
const MESSAGES = 20;

async function connect(url, options) {
  const old = options.protocolVersion === 3 ? { protocolId: "MQIsdp" } : {};
  const client = await mqtt.connectAsync(url, { reconnectPeriod: 0, keepalive: 2, ...old, ...options });
  client.inbox = [];
  client.on("message", (topic, payload) => {
    client.inbox.push(payload.toString());
    client.emit("inbox");
  });
  client.on("close", () => {
    client.isClosed = true;
  });
  return client;
}

async function manyClientsStay(hub) {
  const urls = [`mqtt://127.0.0.1:${hub.tcp}`, `ws://127.0.0.1:${hub.http}/mqtt`];
  const stage = await connect(urls[0], { protocolVersion: 5, clientId: "stage" });
  await stage.subscribeAsync("stage/upgraded", { qos: 1 });
  const pairs = [];
  for (const [at, url] of urls.entries()) {
    for (const protocolVersion of [3, 4, 5]) {
      for (const qos of [0, 1, 2]) {
        for (let number = 0; number < PAIRS; number++) {
          const name = `${at}-${protocolVersion}-${qos}-${number}`;
          const options = { protocolVersion, clean: number % 2 === 0 };
          if (protocolVersion === 5) {
            options.properties = { topicAliasMaximum: 3, sessionExpiryInterval: (number % 2) * 1000 };
            options.autoUseTopicAlias = true;
          }
          const subscriber = await connect(url, { ...options, clientId: `s${name}` });
          const publisher = await connect(url, { ...options, clientId: `p${name}` });
          await subscriber.subscribeAsync(`t/${name}`, { qos });
          pairs.push({ topic: `t/${name}`, qos, subscriber, publisher });
        }
      }
    }
  }
  let sent = 0;
  const publish = () => {
    for (const { topic, qos, publisher } of pairs) publisher.publish(topic, `${sent}`, { qos });
    sent += 1;
  };
  for (let upgrade = 0; upgrade < UPGRADES; upgrade++) {
    for (let message = 0; message < MESSAGES; message++) publish();
    await stage.publishAsync("stage/upgrade", "", { qos: 1 });
    while (stage.inbox.length === 0) {
      publish();
      // Lets what has come be read.
      await new Promise((resolve) => setImmediate(resolve));
    }
    stage.inbox.shift();
  }
  const expected = Array.from({ length: sent }, (_, number) => `${number}`);
  for (const { topic, subscriber, publisher } of pairs) {
    while (subscriber.inbox.length < sent) await once(subscriber, "inbox");
    assert.deepEqual(subscriber.inbox, expected, topic);
    assert(!subscriber.isClosed && !publisher.isClosed, topic);
  }
  console.log(`${2 * pairs.length} clients, ${UPGRADES} upgrades, ${sent * pairs.length} messages`);
  for (const { subscriber, publisher } of pairs) {
    await publisher.endAsync();
    await subscriber.endAsync();
  }
  await stage.endAsync();
}

await main({ manyClientsStay });
