/** What is really kept: memory after everything that nobody holds was collected. */
import process from "node:process";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

declare const Bun: { gc(force: boolean): void } | undefined;

/** How many megabytes of objects and texts are held. */
export function heldMegabytes(): number {
  collect();
  return process.memoryUsage().heapUsed / 1e6;
}

function collect(): void {
  if (typeof Bun !== "undefined") return Bun.gc(true);
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
}
