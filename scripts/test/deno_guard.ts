/**
 * Loaded before each test file in Deno, which overlooks two things in files written for `node:test`: what
 * is thrown while the file loads, once it has a test, and what is thrown in a timer while a test runs.
 *
 * @module
 */

import process from "node:process";

const faults: unknown[] = [];
globalThis.addEventListener("unhandledrejection", ({ reason }) => faults.push(reason));
process.on("uncaughtException", (error) => {
  // A file that listens itself decides by itself.
  if (process.listenerCount("uncaughtException") === 1) faults.push(error);
});
Deno.test.afterAll(() => {
  if (faults.length > 0) throw faults[0];
});
