// What the scenarios share: where the hub is, and waiting with a deadline. Run one with
//   node FILE.mjs SCENARIO tcp=PORT http=PORT

import assert from "node:assert/strict";

// Far above what anything here takes; only a fault lets a wait last that long.
export const DEADLINE_MS = 60_000;

// A scenario has many waits, some of them hundreds of clients.
const SCENARIO_MS = 4 * DEADLINE_MS;

/** Runs the scenario that the command line names. */
export async function main(scenarios) {
  const [name, ...ports] = process.argv.slice(2);
  const hub = Object.fromEntries(ports.map((port) => port.split("=")));
  const scenario = scenarios[name];
  assert(scenario, `no scenario ${name}`);
  const deadline = setTimeout(() => {
    console.error(`${name}: not done after ${SCENARIO_MS} ms`);
    process.exit(1);
  }, SCENARIO_MS);
  try {
    await scenario(hub);
    console.log(`${name}: done`);
  } catch (fault) {
    console.error(fault);
    // What it has opened may still be open, and would keep the program going.
    process.exit(1);
  }
  clearTimeout(deadline);
}
