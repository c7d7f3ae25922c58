import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Cluster } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { both, receivedBy, twoServers } from "../support/emitting.ts";
import { runtime } from "../support/runtime.ts";
import { createDatabase } from "../support/sql.ts";
import { test } from "../support/test.ts";

/** Runs an example by this runtime until it ends by itself. */
async function run(example: string, { uri, prefix }: Cluster): Promise<string> {
  const file = fileURLToPath(new URL(`../../examples/${example}`, import.meta.url));
  const args = runtime === "deno"
    ? ["run", "--no-check", "--allow-net", "--allow-env", file]
    : [file];
  const child = spawn(process.execPath, args, {
    env: { ...process.env, NODE_NO_WARNINGS: "1", DATABASE_URL: uri, PREFIX: prefix },
  });
  let output = "";
  child.stdout.on("data", (data) => output += data);
  child.stderr.on("data", (data) => output += data);
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  assert.equal(code, 0, output);
  return output;
}

test("a script emits and ends", async (t) => {
  const cluster = await twoServers(t, { namespace: "/news" });
  assert.equal(await run("cron/cron.ts", cluster), "");
  for (const received of await receivedBy(cluster, "good morning")) {
    const [[data]] = received as [[{ at: string }]];
    assert.ok(Date.now() - Date.parse(data.at) < 60_000);
  }
});

test("clients hear of the orders that are there, and of no other", async (t) => {
  const database = await createDatabase(t, await databaseUri());
  const cluster = await twoServers(t, { uri: database.uri });
  for (const i of cluster.clients.keys()) await cluster.socket(i).join("orders");
  assert.match(await run("transaction/transaction.ts", cluster), /^apples: duplicate key/);
  const items = (await receivedBy(cluster, "created"))
    .map((each) => each.map(([order]) => (order as { item: string }).item));
  assert.deepEqual(items, both(["apples", "pears"]));
});
