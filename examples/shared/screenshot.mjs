// Takes a picture of an example's page in Chromium, for its README:
//
//   cargo run --release -p telemetry                  (the example)
//   node examples/shared/screenshot.mjs telemetry     (writes docs/images/telemetry.png)
//
// Options: --url URL --out FILE --width N --height N --scale N --scheme light|dark --wait SECONDS --eval SCRIPT.
// It speaks to Chromium over a pipe, so it needs nothing but Node and Chromium. An error in the page is a failure.
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

/** What holds for an example unless the command line says otherwise. */
const EXAMPLES = {
  telemetry: { url: "http://127.0.0.1:8090/", wait: "45" },
  chat: {
    url: "http://127.0.0.1:8097/", wait: "3", width: "1180", height: "640",
    eval: `(async () => { const say = async (text) => { document.getElementById("text").value = text; document.getElementById("say").requestSubmit(); await new Promise((done) => setTimeout(done, 700)); }; document.getElementById("name").value = "Ann"; document.getElementById("name").dispatchEvent(new Event("change")); await new Promise((done) => setTimeout(done, 1_000)); await say("Good morning, everybody."); await say("Polly, is anybody here?"); })()`,
  },
  talk: {
    url: "http://127.0.0.1:8098/", wait: "2", width: "1240", height: "720",
    eval: `(async () => { const type = async (form, field, text) => { document.getElementById(field).value = text; document.getElementById(form).requestSubmit(); await new Promise((done) => setTimeout(done, 700)); }; document.getElementById("name").value = "ann"; document.getElementById("name").dispatchEvent(new Event("change")); await new Promise((done) => setTimeout(done, 1_000)); await type("say", "text", "Good morning from a browser."); await type("type", "line", "help"); await type("say", "text", "Who is here?"); })()`,
  },
  "device-dashboard": {
    url: "http://127.0.0.1:8095/", wait: "70", width: "1240", height: "820",
    eval: `document.querySelector('[data-bed="seedlings"] .plug').click(); document.querySelector('[data-bed="basil"] .switch').click(); new Promise((done) => setTimeout(done, 3_000))`,
  },
  "legacy-devices": {
    url: "http://127.0.0.1:8099/", wait: "45", width: "1360", height: "700",
    eval: `document.querySelector('[data-test="on"]').click(); const speed = document.getElementById("rpm"); speed.value = 2400; speed.dispatchEvent(new Event("change")); new Promise((done) => setTimeout(done, 12_000))`,
  },
  pong: { url: "http://127.0.0.1:8100/", wait: "25", width: "940", height: "880" },
  "file-drop": { url: "http://127.0.0.1:8101/", wait: "9.5", width: "1120", height: "590" },
  "behind-nat": {
    url: "http://127.0.0.1:8102/", wait: "4", width: "980", height: "430",
    eval: `document.querySelector('[data-test="fetch-many"]').click(); new Promise((done) => setTimeout(done, 4_000))`,
  },
  "market-quotes": { url: "http://127.0.0.1:8094/", wait: "25" },
  "news-push": {
    url: "http://127.0.0.1:8096/", wait: "6", width: "900", height: "760",
    eval: `(async () => { for (const [title, text] of [["Rain, at last", "After forty dry days the gardens drink again."], ["Bridge opens early", "The new bridge takes its first cyclists a month before time."]]) { document.getElementById("title").value = title; document.getElementById("text").value = text; document.getElementById("desk").requestSubmit(); await new Promise((done) => setTimeout(done, 800)); } })()`,
  },
  "smart-home": { url: "http://127.0.0.1:8091/", wait: "5", width: "1100", height: "900" },
  "smart-manufacturing": { url: "http://127.0.0.1:8092/", wait: "30", height: "900" },
  "smart-transport": {
    url: "http://127.0.0.1:8093/", wait: "40", width: "1240", height: "1250",
    // One vehicle is away, long enough for its will.
    eval: `document.querySelector('[data-name="tram-2"] button').click(); new Promise((done) => setTimeout(done, 5_500))`,
  },
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: Object.fromEntries(
    ["url", "out", "width", "height", "scale", "scheme", "wait", "eval"].map((name) => [name, { type: "string" }]),
  ),
});
const example = positionals[0] ?? "telemetry";
const options = {
  out: fileURLToPath(new URL(`../../docs/images/${example}.png`, import.meta.url)),
  width: "1200", height: "860", scale: "1", scheme: "light", wait: "5",
  ...EXAMPLES[example],
  ...values,
};

const profile = await mkdtemp(join(tmpdir(), "chromium-"));
const chromium = spawn(
  process.env.CHROMIUM ?? "chromium",
  [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", `--user-data-dir=${profile}`,
    "--remote-debugging-pipe", "about:blank",
  ],
  { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] },
);
const ended = new Promise((resolve) => chromium.on("exit", resolve));
const failed = new Promise((_, reject) => {
  chromium.on("error", reject);
  ended.then((code) => reject(new Error(`chromium ended with ${code}`)));
});
failed.catch(() => {});

try {
  await Promise.race([picture(browser()), failed]);
} finally {
  chromium.kill();
  await ended;
  await rm(profile, { recursive: true, force: true, maxRetries: 5 });
}

async function picture({ call, on }) {
  const problems = [];
  on("Runtime.exceptionThrown", ({ exceptionDetails: it }) => problems.push(it.exception?.description ?? it.text));
  on("Log.entryAdded", ({ entry }) => entry.level === "error" && problems.push(`${entry.text} ${entry.url ?? ""}`));
  const { targetId } = await call("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await call("Target.attachToTarget", { targetId, flatten: true });
  const page = (method, params) => call(method, params, sessionId);
  const [width, height, scale] = [options.width, options.height, options.scale].map(Number);
  await page("Runtime.enable");
  await page("Log.enable");
  await page("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: scale, mobile: width < 600 });
  await page("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: options.scheme }] });
  await page("Page.navigate", { url: options.url });
  await sleep(Number(options.wait) * 1000);
  if (options.eval) {
    const { result } = await page("Runtime.evaluate", { expression: options.eval, awaitPromise: true, returnByValue: true });
    if (result.value !== undefined) console.log(result.value);
    await sleep(600);
  }
  const { data } = await page("Page.captureScreenshot", { format: "png" });
  await mkdir(dirname(options.out), { recursive: true });
  await writeFile(options.out, Buffer.from(data, "base64"));
  if (problems.length) throw new Error(`the page has errors:\n${problems.join("\n")}`);
}

/** The DevTools protocol over the pipe: JSON texts, each ended by a zero byte. */
function browser() {
  const [, , , input, output] = chromium.stdio;
  const waiting = new Map();
  const listeners = new Map();
  let nextId = 1;
  let rest = "";
  output.setEncoding("utf8").on("data", (chunk) => {
    const texts = (rest + chunk).split("\0");
    rest = texts.pop();
    for (const message of texts.map((text) => JSON.parse(text))) {
      if (message.id === undefined) {
        listeners.get(message.method)?.(message.params);
      } else {
        const { resolve, reject } = waiting.get(message.id);
        waiting.delete(message.id);
        if (message.error) reject(new Error(message.error.message));
        else resolve(message.result);
      }
    }
  });
  return {
    on: (method, listener) => listeners.set(method, listener),
    call: (method, params = {}, sessionId = undefined) =>
      new Promise((resolve, reject) => {
        const id = nextId++;
        waiting.set(id, { resolve, reject });
        input.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
      }),
  };
}
