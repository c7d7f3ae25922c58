/** What is kept, and for how long: the tables stay small under traffic that never ends, and nobody stops it. */
import assert from "node:assert/strict";
import process from "node:process";
import type { Sql } from "postgres";
import { createRecoveryCluster, type RecoveryCluster } from "../support/recovery.ts";
import { connectSql } from "../support/sql.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

/** How many seconds the traffic goes on; longer runs say more of the size of the tables. */
const SECONDS = Number(process.env["RECOVERY_SECONDS"] ?? 10);

/** Bytes of the tables and their indexes. */
async function size(sql: Sql): Promise<number> {
  const [row] = await sql`
    select sum(pg_total_relation_size(oid))::float8 as bytes from pg_class
    where relname like 'recovery\\_%\\__' and relkind = 'r'`;
  return row!["bytes"] as number;
}

/** Shortens what servers have asked for: they keep what they need, and a margin of ten seconds. */
async function keepFor(sql: Sql, ms: number): Promise<void> {
  await sql`select socketio.recovery_begin(${ms})`;
}

/** Emits without an end; what it gives stops it. */
function talk(
  cluster: RecoveryCluster,
  payload: string,
): { count: () => number; stop: () => void } {
  let count = 0;
  const timer = setInterval(() => {
    for (let i = 0; i < cluster.nodes.length; i++) {
      if (cluster.nodes[i]!.adapter.stats().queued.messages > 50) continue;
      for (let j = 0; j < 10; j++) cluster.io(i).emit("number", count++, payload);
    }
  }, 5);
  return { count: () => count, stop: () => clearInterval(timer) };
}

test("the tables stay small under traffic that never ends", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 2, maxDisconnectionDuration: 1_000 });
  const sql = connectSql(t, cluster.uri);
  const retention = 2_000;
  await keepFor(sql, retention);
  const wanderer = await cluster.client(0);
  const traffic = talk(cluster, "x".repeat(500));
  t.after(() => traffic.stop());
  const sizes: { at: number; bytes: number; count: number }[] = [];
  const start = performance.now();
  const parts = new Set<number>();
  let next = 0;
  await until("it has gone on", async () => {
    const [row] = await sql`select part from socketio.recovery_state`;
    parts.add(row!["part"] as number);
    const at = performance.now() - start;
    if (at >= next) {
      next += 500;
      sizes.push({ at, bytes: await size(sql), count: traffic.count() });
    }
    return at > SECONDS * 1_000;
  }, SECONDS * 1_000 + 5_000);
  traffic.stop();
  const end = sizes.at(-1)!;
  const perSecond = end.count / (end.at / 1_000);
  // While nothing was emptied yet.
  const perPacket = sizes.find(({ at }) => at > retention)!;
  const bytes = perPacket.bytes / perPacket.count;
  // All that is kept is what came within three parts of half the time each, and the turn comes with traffic.
  const most = Math.max(...sizes.map(({ bytes }) => bytes));
  const bound = perSecond * (retention / 1_000) * 1.5 * bytes;
  if (process.env["RECOVERY_SECONDS"] !== undefined) {
    console.log(JSON.stringify({ perSecond, bytes, bound, sizes }));
  }
  assert.deepEqual([...parts].sort(), [0, 1, 2]);
  assert.ok(most < 1.5 * bound, `${most} bytes at most, of ${bound} expected`);
  assert.ok(end.bytes < 1.5 * bound, `${end.bytes} bytes in the end`);
  await until("the client has all", () => wanderer.of("number").length === traffic.count(), 20_000);
}, { deadline: SECONDS * 1_000 + 60_000 });

test("what is kept is kept for as long as it may be asked for", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 2 });
  const sql = connectSql(t, cluster.uri);
  const retention = 1_000;
  await keepFor(sql, retention);
  const traffic = talk(cluster, "");
  t.after(() => traffic.stop());
  const since = performance.now();
  let oldest = Infinity;
  // Each number is noted with the time at which it was given, at the latest.
  const given: { number: number; at: number }[] = [];
  await until("it has turned some times", async () => {
    // A server that has to connect again asks for its own time.
    await keepFor(sql, retention);
    const { now, first, last } = await sql.begin(async (tx) => {
      // The turn is taken under this lock, and not while somebody reads: as this does all the time.
      await tx`select pg_advisory_xact_lock(hashtextextended('socketio-pg recovery', 0))`;
      const now = performance.now();
      const [row] = await tx<{ first: number | null; last: number | null }[]>`
        select min(number)::float8 as first, max(number)::float8 as last from socketio.recovery_packets`;
      return { now, ...row! };
    });
    if (last !== null) given.push({ number: last, at: now });
    const lost = given.filter(({ number }) => first === null || number < first);
    if (lost.length > 0) oldest = Math.min(oldest, now - Math.max(...lost.map(({ at }) => at)));
    return now - since > 6_000;
  }, 20_000);
  traffic.stop();
  assert.ok(Number.isFinite(oldest), "nothing was emptied");
  // What was asked meanwhile is younger by as long as asking took.
  assert.ok(oldest > retention * 0.9, `what was ${oldest} ms old was not there any more`);
}, { deadline: 60_000 });

test(
  "who reads for long, as a backup does, stops no traffic, and is followed by a turn",
  async (t) => {
    const cluster = await createRecoveryCluster(t, { size: 2 });
    const sql = connectSql(t, cluster.uri);
    const reader = connectSql(t, cluster.uri);
    await keepFor(sql, 400);
    const wanderer = await cluster.client(0);
    await reader.unsafe("begin isolation level repeatable read");
    // As pg_dump does.
    await reader.unsafe(`lock table socketio.recovery_packets, socketio.recovery_packets_0,
    socketio.recovery_packets_1, socketio.recovery_packets_2, socketio.recovery_sessions,
    socketio.recovery_sessions_0, socketio.recovery_sessions_1, socketio.recovery_sessions_2
    in access share mode`);
    const [before] = await sql`select part from socketio.recovery_state`;
    const traffic = talk(cluster, "");
    t.after(() => traffic.stop());
    let slowest = 0;
    const start = performance.now();
    let last = { count: 0, at: start };
    await until("it goes on", () => {
      const now = performance.now();
      const count = wanderer.of("number").length;
      if (count > last.count) last = { count, at: now };
      slowest = Math.max(slowest, now - last.at);
      return now - start > 3_000;
    });
    assert.ok(slowest < 1_500, `nothing came for ${slowest} ms`);
    const [during] = await sql`select part from socketio.recovery_state`;
    assert.equal(during!["part"], before!["part"]);
    // Sessions are given back meanwhile, too.
    const { id } = wanderer.client;
    await wanderer.cut();
    await wanderer.comeTo(cluster.port(1));
    assert.ok(wanderer.client.recovered);
    assert.equal(wanderer.client.id, id);
    await reader.unsafe("commit");
    await until("the turn comes", async () => {
      const [now] = await sql`select part from socketio.recovery_state`;
      return now!["part"] !== before!["part"];
    }, 20_000);
    traffic.stop();
    for (const i of [0, 1]) cluster.io(i).emit("last");
    await wanderer.has("last", 2);
    const numbers = wanderer.of("number").map(([number]) => number as number);
    assert.deepEqual(
      numbers.toSorted((a, b) => a - b),
      Array.from({ length: traffic.count() }, (_, i) => i),
    );
  },
  { deadline: 60_000 },
);

test("a quiet client is recovered when all that it got last is emptied long since", async (t) => {
  // Short enough to be given up, and told, within the test.
  const cluster = await createRecoveryCluster(t, {
    size: 2,
    maxDisconnectionDuration: 2_000,
    server: { pingInterval: 300, pingTimeout: 300 },
  });
  const sql = connectSql(t, cluster.uri);
  // The server's own margin would make the test long.
  await keepFor(sql, 3_000);
  for (const i of [0, 1]) cluster.io(i).of("/quiet");
  const wanderer = await cluster.client(0);
  const traffic = talk(cluster, "");
  t.after(() => traffic.stop());
  const quiet = await cluster.client(1, "/quiet");
  const { offset } = quiet;
  await until("what it got is emptied", async () => {
    const rows = await sql`select from socketio.recovery_packets
      where number <= ${Number.parseInt(offset!, 36)}`;
    return rows.length === 0;
  }, 25_000);
  await quiet.cut();
  cluster.io(1).of("/quiet").emit("meanwhile");
  await quiet.comeTo(cluster.port(0));
  assert.ok(quiet.client.recovered);
  await quiet.has("meanwhile");
  assert.deepEqual(quiet.received, [["meanwhile"]]);
  traffic.stop();
  await until("the other one has all", () => wanderer.of("number").length === traffic.count());
}, { deadline: 60_000 });
