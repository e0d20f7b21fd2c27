// The built files: their size, what is left of them when only a part is used, and what the tree keeps of them.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { createContext, runInContext } from "node:vm";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

import { generated } from "../generate.mjs";

const folder = fileURLToPath(new URL("..", import.meta.url));
const compressed = (bytes) => gzipSync(bytes, { level: 9 }).length;

/** What a bundler makes of a page that has this in its script. */
async function bundled(contents) {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: folder }, bundle: true, minify: true, format: "esm", platform: "browser", write: false,
  });
  return outputFiles[0].text;
}

describe("the built client", () => {
  it("takes at most 6 KiB minified and compressed, fallbacks included", async () => {
    for (const name of ["hub/trefoil.js", "hub/trefoil.mjs"]) {
      const bytes = compressed(await readFile(`${folder}/dist/${name}`));
      assert.ok(bytes <= 6 * 1024, `${name}: ${bytes} bytes`);
    }
  });

  it("leaves out what a page does not use", async () => {
    const all = await bundled('import { Client } from "trefoil"; new Client();');
    assert.match(all, /text\/event-stream/);
    const some = await bundled('import { Client, webSocket } from "trefoil/core"; new Client("/", { transport: webSocket() });');
    assert.doesNotMatch(some, /text\/event-stream/);
    assert.ok(compressed(some) < compressed(all) - 500, `${compressed(some)} of ${compressed(all)}`);
    const rule = await bundled('import { matches } from "trefoil"; console.log(matches("a", "b"));');
    assert.ok(rule.length < 500, rule);
    assert.equal((await bundled('import "trefoil";')).trim(), "");
  });

  it("is a global for a plain script tag", async () => {
    const context = createContext({ URL, setTimeout });
    runInContext(await readFile(`${folder}/dist/hub/trefoil.js`, "utf8"), context);
    const names = ["Client", "TrefoilError", "eventStream", "matches", "polling", "webSocket"];
    assert.deepEqual(Object.keys(context.trefoil).sort(), names);
    assert.equal(context.trefoil.matches("a/#", "a/b"), true);
    const module = await import("../dist/hub/trefoil.mjs");
    assert.deepEqual(Object.keys(module).sort(), names);
  });

  it("is what the hub serves, and what its page says", async () => {
    for (const { path, text } of await generated()) {
      assert.ok((await readFile(path, "utf8")) === text, `${fileURLToPath(path)} is out of date: npm run generate`);
    }
  });
});
