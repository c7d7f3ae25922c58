/** What `durable` promises: after a crash of the database clients are recovered, and nothing is missing. */
import assert from "node:assert/strict";
import { startPostgres } from "../support/postgres.ts";
import { createRecoveryCluster, type RecoveryCluster } from "../support/recovery.ts";
import { type Scope, test } from "../support/test.ts";
import { until } from "../support/wait.ts";

/** Two servers over a PostgreSQL that writes to its disk as late as it may. */
async function crashable(
  t: Scope,
): Promise<{ cluster: RecoveryCluster; crash: () => Promise<void>; back: () => Promise<void> }> {
  const server = await startPostgres({
    settings: { wal_writer_delay: "10s", wal_writer_flush_after: "1GB", wal_buffers: "64MB" },
  });
  t.after(() => server.stop());
  const cluster = await createRecoveryCluster(t, {
    uri: server.uri,
    size: 2,
    adapter: { heartbeatInterval: 300, heartbeatTimeout: 1_500, recovery: { durable: true } },
  });
  t.after(() => {
    // Of the outage.
    cluster.errors = cluster.errors.filter(({ code }) => code.startsWith("RECOVERY"));
  });
  return {
    cluster,
    crash: () => server.halt("immediate"),
    back: async () => {
      await server.start();
      await until(
        "all are back",
        () => cluster.nodes.every(({ adapter }) => adapter.stats().phase === "ready"),
        30_000,
      );
    },
  };
}

test("who left before the crash gets all that was sent to it before and after", async (t) => {
  const { cluster, crash, back } = await crashable(t);
  const wanderer = await cluster.client(0);
  const other = await cluster.client(1);
  const { id } = wanderer.client;
  await wanderer.cut();
  await until(
    "its session is kept",
    () => cluster.nodes[0]!.adapter.stats().recovery!.persisted === 1,
  );
  for (let i = 0; i < 100; i++) cluster.io(i % 2).emit("number", i);
  await other.has("number", 100);
  await crash();
  await back();
  for (let i = 100; i < 200; i++) cluster.io(0).emit("number", i);
  await wanderer.comeTo(cluster.port(1));
  assert.ok(wanderer.client.recovered);
  assert.equal(wanderer.client.id, id);
  await wanderer.has("number", 200);
  await other.has("number", 200);
  const numbers = (received: unknown[][]) => received.map(([number]) => number);
  assert.deepEqual(numbers(wanderer.of("number")), numbers(other.of("number")));
}, { deadline: 90_000 });

test("numbers that clients have got before the crash are not given again", async (t) => {
  const { cluster, crash, back } = await crashable(t);
  const wanderer = await cluster.client(0);
  const { id } = wanderer.client;
  for (let i = 0; i < 50; i++) cluster.io(1).emit("before", i);
  await wanderer.has("before", 50);
  const { offset } = wanderer;
  await crash();
  await wanderer.cut();
  await cluster.gone(0, id!);
  await back();
  for (let i = 0; i < 200; i++) cluster.io(1).emit("after", i);
  await until(
    "its session is kept",
    () => cluster.nodes[0]!.adapter.stats().recovery!.persisted === 1,
    20_000,
  );
  await wanderer.comeTo(cluster.port(1));
  assert.ok(wanderer.client.recovered);
  cluster.io(1).emit("last");
  await wanderer.has("last");
  assert.deepEqual(wanderer.of("after"), Array.from({ length: 200 }, (_, i) => [i]));
  assert.ok(Number.parseInt(wanderer.offset!, 36) > Number.parseInt(offset!, 36));
}, { deadline: 90_000 });

test("a session that was taken before the crash is not given again after it", async (t) => {
  const { cluster, crash, back } = await crashable(t);
  const wanderer = await cluster.client(0);
  const { pid, offset } = wanderer;
  const { id } = wanderer.client;
  await wanderer.cut();
  await cluster.gone(0, id!);
  await wanderer.comeTo(cluster.port(1));
  assert.ok(wanderer.client.recovered);
  await crash();
  await back();
  const second = await cluster.stranger(0, pid, offset);
  assert.ok(!second.client.recovered);
}, { deadline: 90_000 });
