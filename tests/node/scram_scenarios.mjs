// MQTT.js proving by SCRAM-SHA-256 who it is, with the cryptography of Node: neither the exchange nor the transport is
// ours.

import assert from "node:assert/strict";
import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";
import mqtt from "mqtt";
import { main } from "./rig.mjs";

const METHOD = "SCRAM-SHA-256";

/** The addresses by which MQTT.js reaches the hub. */
function urls(hub) {
  return [`mqtt://127.0.0.1:${hub.tcp}`, `ws://127.0.0.1:${hub.tcp}/mqtt`];
}

const hmac = (key, text) => createHmac("sha256", key).update(text).digest();

/** The client's side of RFC 5802 and RFC 7677. */
class Scram {
  constructor(user, password) {
    this.password = password;
    this.firstBare = `n=${user},r=${randomBytes(18).toString("base64")}`;
  }

  first() {
    return Buffer.from(`n,,${this.firstBare}`);
  }

  last(challenge) {
    const server = challenge.toString();
    const parts = Object.fromEntries(server.split(",").map((part) => [part[0], part.slice(2)]));
    const salted = pbkdf2Sync(this.password, Buffer.from(parts.s, "base64"), Number(parts.i), 32, "sha256");
    const clientKey = hmac(salted, "Client Key");
    const withoutProof = `c=biws,r=${parts.r}`;
    const signed = `${this.firstBare},${server},${withoutProof}`;
    const mask = hmac(createHash("sha256").update(clientKey).digest(), signed);
    const proof = Buffer.from(clientKey.map((byte, index) => byte ^ mask[index]));
    this.signature = hmac(hmac(salted, "Server Key"), signed);
    return Buffer.from(`${withoutProof},p=${proof.toString("base64")}`);
  }

  check(last) {
    assert.equal(last.toString(), `v=${this.signature.toString("base64")}`);
  }
}

/** Connects; resolves with the client and its CONNACK, or rejects as MQTT.js does. */
function connect(url, user, password) {
  const scram = new Scram(user, password);
  const client = mqtt.connect(url, {
    protocolVersion: 5,
    reconnectPeriod: 0,
    properties: { authenticationMethod: METHOD, authenticationData: scram.first() },
  });
  client.handleAuth = (packet, callback) => {
    assert.equal(packet.properties.authenticationMethod, METHOD);
    const authenticationData = scram.last(packet.properties.authenticationData);
    callback(null, { cmd: "auth", reasonCode: 0x18, properties: { authenticationMethod: METHOD, authenticationData } });
  };
  return new Promise((resolve, reject) => {
    client.on("connect", (connack) => resolve({ client, connack, scram }));
    client.on("error", (fault) => client.end(true, () => reject(fault)));
  });
}

async function whoKnowsThePasswordIsLetIn(hub) {
  for (const url of urls(hub)) {
    const { client, connack, scram } = await connect(url, "ann", "ann's password");
    scram.check(connack.properties.authenticationData);
    const message = new Promise((resolve) => client.on("message", (_topic, payload) => resolve(payload.toString())));
    await client.subscribeAsync("t", { qos: 1 });
    await client.publishAsync("t", "heard", { qos: 1 });
    assert.equal(await message, "heard");
    await client.endAsync();
  }
}

async function nobodyElseIs(hub) {
  for (const url of urls(hub)) {
    for (const [user, password] of [["ann", "wrong"], ["nobody", "ann's password"]]) {
      await assert.rejects(connect(url, user, password), (fault) => fault.code === 0x87);
    }
  }
}

await main({ whoKnowsThePasswordIsLetIn, nobodyElseIs });
