/** Clocks of servers that are wrong: PostgreSQL's decides who comes too late. */
import assert from "node:assert/strict";
import { createRecoveryCluster, type RecoveryCluster, type Wanderer } from "../support/recovery.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

const HOUR_MS = 3_600_000;

async function leave(cluster: RecoveryCluster, i: number, wanderer: Wanderer): Promise<void> {
  const { persisted } = cluster.nodes[i]!.adapter.stats().recovery!;
  await wanderer.cut();
  await until(
    "its session is kept",
    () => cluster.nodes[i]!.adapter.stats().recovery!.persisted > persisted,
  );
}

test("servers whose clocks are hours apart give sessions and packets to each other", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 2, maxDisconnectionDuration: 10_000 });
  const { now } = Date;
  t.after(() => Date.now = now);
  const wanderer = await cluster.client(0);
  let count = 0;
  for (const jump of [HOUR_MS, -HOUR_MS, 24 * HOUR_MS, -24 * HOUR_MS, 0]) {
    cluster.io(0).emit("number", count++);
    await wanderer.has("number", count);
    await leave(cluster, 0, wanderer);
    // Another clock there than here.
    Date.now = () => now() + jump;
    cluster.io(1).emit("number", count++);
    await wanderer.comeTo(cluster.port(1));
    assert.ok(wanderer.client.recovered, `${jump} ms`);
    await wanderer.has("number", count);
    await leave(cluster, 1, wanderer);
    Date.now = () => now() - jump;
    await wanderer.comeTo(cluster.port(0));
    assert.ok(wanderer.client.recovered, `back from ${jump} ms`);
  }
  assert.deepEqual(wanderer.of("number"), Array.from({ length: count }, (_, i) => [i]));
  assert.deepEqual(cluster.expired, []);
}, { deadline: 60_000 });

test("a clock that is wrong makes no session last longer", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 2, maxDisconnectionDuration: 300 });
  const { now } = Date;
  t.after(() => Date.now = now);
  for (const jump of [-HOUR_MS, HOUR_MS]) {
    const wanderer = await cluster.client(0);
    await leave(cluster, 0, wanderer);
    const left = performance.now();
    Date.now = () => now() + jump;
    await until("it is late", () => performance.now() - left > 400);
    await wanderer.comeTo(cluster.port(1));
    assert.ok(!wanderer.client.recovered, `${jump} ms`);
    wanderer.client.disconnect();
  }
});
