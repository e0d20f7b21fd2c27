// Bundles the two entries. The type declarations come from tsc, which also checks the types.
import { build } from "esbuild";

const common = {
  bundle: true,
  format: "esm",
  minify: true,
  target: "es2022",
  legalComments: "none",
  sourcemap: "linked",
};

await build({ ...common, entryPoints: ["src/index.ts"], outfile: "dist/trefoil.js", platform: "browser" });
await build({ ...common, entryPoints: ["src/node.ts"], outfile: "dist/node.js", platform: "node", target: "node18" });
