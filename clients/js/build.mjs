// Bundles the entries. The type declarations come from tsc, which also checks the types.
import { build } from "esbuild";
import { readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";

/** What the whole client may take, minified and compressed. */
const BYTES_MAX = 6 * 1024;

/** Members that only the client's own modules use, and nothing of the platform has: they may have short names. */
const OWN_MEMBERS = /^(granted|isNew|missed|present|takes|deliver|owner|handlerFailed|began|note|forget|isLast|asText|asBytes)$/;

const common = { bundle: true, minify: true, target: "es2022", legalComments: "none", mangleProps: OWN_MEMBERS };
const page = { ...common, platform: "browser" };
const npm = { ...common, format: "esm", sourcemap: "linked" };

await Promise.all([
  build({ ...npm, platform: "browser", entryPoints: ["src/index.ts"], outfile: "dist/trefoil.js" }),
  build({ ...npm, platform: "browser", entryPoints: ["src/core.ts"], outfile: "dist/core.js" }),
  build({ ...npm, platform: "node", entryPoints: ["src/node.ts"], outfile: "dist/node.js", target: "node18" }),
  // What the hub serves: for a plain script tag, and for `import`.
  build({ ...page, format: "iife", entryPoints: ["src/global.ts"], outfile: "dist/hub/trefoil.js" }),
  build({ ...page, format: "esm", entryPoints: ["src/index.ts"], outfile: "dist/hub/trefoil.mjs" }),
]);

for (const file of ["dist/core.js", "dist/hub/trefoil.mjs", "dist/hub/trefoil.js"]) {
  const bytes = gzipSync(await readFile(file), { level: 9 }).length;
  console.log(`${file}: ${bytes} bytes compressed, of ${BYTES_MAX}`);
  if (bytes > BYTES_MAX) process.exitCode = 1;
}
