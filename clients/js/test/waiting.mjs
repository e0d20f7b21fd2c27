// Waiting for what is to come.
import { setTimeout as sleep } from "node:timers/promises";

/** Resolves once the condition holds; the deadline is that of the test. */
export async function until(condition) {
  while (!condition()) await sleep(5);
}

/** The next event of a type. */
export function event(source, type) {
  return new Promise((resolve) => {
    const off = source.on(type, (it) => {
      off();
      resolve(it);
    });
  });
}
