// Writes what is kept in the tree and follows from the built client: the files that the hub serves, so that it is built
// without Node, and the page of its API. `test/built.test.mjs` says when they are out of date.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const here = new URL("./", import.meta.url);
const read = (path) => readFile(new URL(path, here), "utf8");

/** The files in the tree, and what has to be in them. */
export async function generated() {
  return [
    ["../../console/trefoil.js", await read("dist/hub/trefoil.js")],
    ["../../console/trefoil.mjs", await read("dist/hub/trefoil.mjs")],
    ["docs/api.md", await page()],
  ].map(([path, text]) => ({ path: new URL(path, here), text }));
}

/** Every type and function that is exported, as the compiler declares it, with its comments. */
async function page() {
  const entries = [...(await read("dist/types/core.d.ts")).matchAll(/^export (?:type )?\{([^}]*)\} from "\.\/(.*)\.js";/gm)];
  const declared = new Map();
  for (const [, names, module] of entries) {
    const text = await read(`dist/types/${module}.d.ts`);
    for (const name of names.split(",").map((name) => name.trim())) declared.set(name, declaration(text, name, module));
  }
  const chapters = [...declared].map(([name, { comment, code }]) => `## \`${name}\`\n\n${comment}\n\n\`\`\`ts\n${code}\n\`\`\`\n`);
  return `# The API of the JavaScript client\n\nWritten by \`npm run generate\` from the sources. The [README](../README.md) is the introduction.\n\n${chapters.join("\n")}`;
}

function declaration(text, name, module) {
  const start = new RegExp(`^(?:/\\*\\*((?:(?!\\*/)[^])*)\\*/\\n)?export (?:declare )?(?:class|interface|type|function|const) ${name}\\b`, "m");
  const found = start.exec(text);
  if (!found) throw new Error(`${module} declares no ${name}`);
  const [, comment = ""] = found;
  const rest = text.slice(found.index).replace(/^\/\*\*[^]*?\*\/\n/, "");
  // A declaration ends at the first line that is its last: a closing brace, or what ends with a semicolon.
  const lines = rest.split("\n");
  const end = lines[0].endsWith("{") ? lines.indexOf("}") : lines.findIndex((line) => line.endsWith(";"));
  const code = lines.slice(0, end + 1).filter((line) => !/^\s+#private;$|^\s+private /.test(line)).map((line) => line.trimEnd()).join("\n");
  return { comment: comment.replace(/\n \* ?/g, "\n").trim().replace(/\s*\n\s*/g, " "), code };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  await mkdir(new URL("docs/", here), { recursive: true });
  for (const { path, text } of await generated()) await writeFile(path, text);
}
