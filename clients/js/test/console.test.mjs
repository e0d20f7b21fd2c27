// The parts of the hub's console that know nothing of a page: the tree of topics and the writing of figures.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";

// As text: the console's folder has no package.json that would tell Node what its files are.
const load = async (name) => {
  const text = await readFile(new URL(`../../../console/js/${name}`, import.meta.url), "utf8");
  return import(`data:text/javascript,${encodeURIComponent(text)}`);
};
const { Tree } = await load("tree.js");
const format = await load("format.js");

const topics = (tree, filter = "") => tree.rows(filter).map((node) => node.topic);

describe("topic tree", () => {
  it("sorts topics as people do and keeps the latest payload", () => {
    const tree = new Tree();
    for (const topic of ["a/10", "a/9", "/x", "a/9"]) tree.add({ topic, data: topic });
    assert.deepEqual(topics(tree), ["", "/x", "a", "a/9", "a/10"]);
    assert.equal(tree.get("a/9").message.data, "a/9");
    assert.equal(tree.get("a/9").count, 2);
    assert.equal(tree.get("a").count, 3);
    assert.equal(tree.get("a").message, undefined);
  });

  it("shows retained messages without counting them", () => {
    const tree = new Tree();
    tree.add({ topic: "a", data: 1, retain: true });
    assert.deepEqual([tree.get("a").message.data, tree.get("a").count], [1, 0]);
  });

  it("counts no message that may be from the past", () => {
    const tree = new Tree();
    tree.add({ topic: "a", data: 1, offset: 7 });
    assert.deepEqual([tree.get("a").message.data, tree.get("a").count], [1, 0]);
    tree.add({ topic: "a", data: 2, offset: 8 });
    assert.equal(tree.get("a").count, 1);
    // Retained and in the history is the same message twice.
    for (const message of [{ retain: true }, { offset: 9 }, { offset: 10 }]) tree.add({ topic: "b", data: 1, ...message });
    assert.equal(tree.get("b").count, 1);
  });

  it("filters by any part of the topic and keeps the way to it", () => {
    const tree = new Tree();
    for (const topic of ["plant/hall/Power", "plant/yard", "chat"]) tree.add({ topic, data: 1 });
    assert.deepEqual(topics(tree, "power"), ["plant", "plant/hall", "plant/hall/Power"]);
    assert.deepEqual(topics(tree, "nothing"), []);
  });

  it("folds what the reader folds, and branches that are too wide", () => {
    const tree = new Tree();
    for (let i = 0; i < 60; i++) tree.add({ topic: `wide/${i}`, data: 1 });
    tree.add({ topic: "narrow/1", data: 1 });
    assert.deepEqual(topics(tree), ["narrow", "narrow/1", "wide"]);
    tree.fold(true);
    assert.equal(topics(tree).length, 63);
    tree.fold(false);
    assert.deepEqual(topics(tree), ["narrow", "wide"]);
  });

  it("stays bounded in nodes and says what found no place", () => {
    const tree = new Tree();
    for (let i = 0; i < 6000; i++) tree.add({ topic: `t/${i}`, data: 1 });
    assert.equal(tree.nodes, 5000);
    assert.equal(tree.unplaced, 1001);
    // What has a place goes on.
    tree.add({ topic: "t/1", data: 2 });
    assert.equal(tree.get("t/1").message.data, 2);
    tree.clear();
    assert.deepEqual([tree.nodes, tree.unplaced, topics(tree).length], [0, 0, 0]);
  });

  it("stays bounded in payload", () => {
    const tree = new Tree();
    tree.add({ topic: "a", data: "x".repeat(1 << 20) });
    assert.equal(tree.get("a").message.data.length, 64 * 1024);
  });

  it("estimates rates from the part of a second that it listened", () => {
    const tree = new Tree();
    for (let second = 0; second < 20; second++) {
      for (let i = 0; i < 10; i++) tree.add({ topic: "a", data: i });
      tree.tick(0.1);
    }
    assert.ok(Math.abs(tree.get("a").rate - 100) < 1, `${tree.get("a").rate}`);
    for (let second = 0; second < 20; second++) tree.tick(1);
    assert.equal(tree.get("a").rate, 0);
  });
});

describe("figures and payloads", () => {
  it("writes numbers for people", () => {
    assert.equal(format.number(1234), "1,234");
    assert.equal(format.number(1_234_567), "1.2M");
    assert.deepEqual([0, 0.25, 3, 12.4].map(format.rate), ["0", "0.3", "3", "12"]);
    assert.deepEqual([59, 61, 3_700, 90_000].map(format.duration), ["59 s", "1 min", "1 h 1 min", "1 d 1 h"]);
  });

  it("writes a payload in one line, cut", () => {
    assert.equal(format.line({ data: "a\n b" }, 100), "a b");
    assert.equal(format.line({ data: { a: [1] } }, 100), '{"a":[1]}');
    assert.equal(format.line({ data: "x".repeat(300) }, 10), `${"x".repeat(10)}…`);
    assert.equal(format.line({ data: "" }, 10), "(empty)");
    assert.equal(format.line({ data: 0 }, 10), "0");
    assert.equal(format.line({ data_base64: "/wA=" }, 100), "2 bytes · /wA=");
  });

  it("writes a payload in full", () => {
    assert.equal(format.full({ data: { a: 1 } }, 100), '{\n  "a": 1\n}');
    assert.match(format.full({ data_base64: "/0E=" }, 1000), /2 bytes\n0000 {2}ff 41 +·A/);
    assert.match(format.full({ data: "x".repeat(50) }, 10), /40 more characters/);
  });
});
