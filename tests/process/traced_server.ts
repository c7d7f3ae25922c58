/** Two servers whose every subscriber of a diagnostics channel throws; run by `diagnostics.test.ts`. */
import { subscribe } from "node:diagnostics_channel";
import process from "node:process";
import { pgAdapter } from "../../mod.ts";
import { createNode, knowEachOther } from "../support/cluster.ts";
import { next } from "../support/wait.ts";

const thrown = new Set<string>();
const uncaught = new Set<string>();
process.on("uncaughtException", ({ message }) => uncaught.add(message));
for (
  const name of ["publish", "receive", "echo", "ready", "error", "node-up", "node-down"].map((
    each,
  ) => `socketio-pg:${each}`)
) {
  subscribe(name, () => {
    thrown.add(name);
    throw new Error(name);
  });
}
const options = { prefix: process.env.SERVER_PREFIX, heartbeatInterval: 100, maxPayload: 1_000 };
const one = await createNode(pgAdapter(process.env.SERVER_URI ?? "", options));
const two = await createNode(pgAdapter(process.env.SERVER_URI ?? "", options));
const errors: string[] = [];
one.adapter.on("error", ({ code }) => errors.push(code));
await Promise.all([one.adapter.ready(), two.adapter.ready()]);
await knowEachOther([one, two]);
for (let n = 0; n < 3; n++) {
  const heard = next(two.io, "n");
  one.io.serverSideEmit("n", n);
  console.log("heard", ...await heard);
}
one.io.serverSideEmit("large", "x".repeat(2_000));
console.log("errors", ...errors);
while (one.adapter.stats().latency.count === 0) await new Promise((go) => setTimeout(go, 5));
const down = new Promise<string>((resolve) => one.adapter.on("node-down", resolve));
await two.close();
await down;
await one.close();
console.log("thrown", ...[...thrown].sort());
console.log("uncaught", ...[...uncaught].sort());
