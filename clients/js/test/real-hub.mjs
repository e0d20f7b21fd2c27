// A real hub to test against.
import { execFileSync, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** The hub at TREFOIL_URL, or one that is started from the binary TREFOIL_BIN. */
export async function realHub() {
  const { TREFOIL_URL: url, TREFOIL_BIN: binary } = process.env;
  if (url) return { url, stop: async () => {} };
  if (binary) return startHub(binary);
  throw new Error(
    "no hub to test against: set TREFOIL_URL to the address of a running hub (http://127.0.0.1:8080) or TREFOIL_BIN to the trefoil binary",
  );
}

/** Starts the binary on a free port, with more `settings` and passwords by user, and reads its address from the line it prints. */
export async function startHub(binary, { settings = "", users = {} } = {}) {
  if (!binary) throw new Error("no hub to start: set TREFOIL_BIN to the trefoil binary");
  const folder = await mkdtemp(join(tmpdir(), "trefoil-js-"));
  const file = join(folder, "trefoil.toml");
  for (const [user, password] of Object.entries(users)) {
    execFileSync(binary, ["passwd", join(folder, "users.txt"), user, "--stdin", "--iterations", "4096"], { input: password, stdio: ["pipe", "ignore", "inherit"] });
  }
  if (Object.keys(users).length) settings += '[auth]\nusers = "users.txt"\n';
  await writeFile(file, `[[listener]]\nbind = "127.0.0.1:0"\n${settings}`);
  const hub = spawn(binary, ["serve", "--config", file], { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve) => hub.on("close", resolve));
  const stop = async () => {
    hub.kill("SIGTERM");
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  const address = await new Promise((resolve, reject) => {
    hub.on("error", reject);
    ended.then((code) => reject(new Error(`${binary} ended with ${code} before it listened`)));
    createInterface({ input: hub.stdout }).on("line", (line) => {
      const found = /listening on tcp:\/\/(\S+)/.exec(line);
      if (found) resolve(found[1]);
    });
  });
  return { url: `http://${address}`, port: Number(address.split(":").pop()), stop };
}
