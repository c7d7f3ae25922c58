/** The tables: made when they are first needed, where that is allowed, and after a crash of the database. */
import assert from "node:assert/strict";
import { pgAdapter, type PgAdapterError } from "../../mod.ts";
import { recoverySqlText } from "../../src/recovery/schema.ts";
import { createNode, uniquePrefix } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { startPostgres } from "../support/postgres.ts";
import {
  createRecoveryCluster,
  RecoveryCluster,
  type RecoveryClusterOptions,
  Wanderer,
} from "../support/recovery.ts";
import { connectSql, createDatabase } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";
import { next, until } from "../support/wait.ts";

/** Cuts a client off, and waits until its session can be taken. */
async function leave(cluster: RecoveryCluster, i: number, wanderer: Wanderer): Promise<void> {
  const { persisted } = cluster.nodes[i]!.adapter.stats().recovery!;
  await wanderer.cut();
  await until(
    "its session is kept",
    () => cluster.nodes[i]!.adapter.stats().recovery!.persisted > persisted,
  );
}

/** Whether a client that comes and goes is recovered. */
async function recovers(cluster: RecoveryCluster): Promise<boolean> {
  const wanderer = await cluster.client(0);
  await leave(cluster, 0, wanderer);
  cluster.io(0).emit("meanwhile");
  await wanderer.comeTo(cluster.port(1));
  const { recovered } = wanderer.client;
  if (recovered) await wanderer.has("meanwhile");
  wanderer.client.disconnect();
  return recovered;
}

test("eight servers that start at once make the tables once", async (t) => {
  const { uri } = await createDatabase(t, await databaseUri());
  const cluster = new RecoveryCluster(t, uri, {});
  await Promise.all(Array.from({ length: 8 }, () => cluster.start()));
  assert.ok(await recovers(cluster));
  const sql = connectSql(t, uri);
  const [row] = await sql`select
    (select count(*)::int from socketio.recovery_state) as states,
    (select count(*)::int from pg_class where relname like 'recovery\\_packets\\__') as parts`;
  assert.deepEqual({ ...row }, { states: 1, parts: 4 });
}, { deadline: 60_000 });

test("a server waits for whoever makes the tables, also for longer than for other locks", async (t) => {
  const { uri } = await createDatabase(t, await databaseUri());
  const other = connectSql(t, uri);
  await other.unsafe("begin");
  await other.unsafe(recoverySqlText());
  const cluster = new RecoveryCluster(t, uri, {});
  const starts = performance.now();
  const started = Promise.all([cluster.start(), cluster.start()]);
  await until("a lock is given up", () => performance.now() - starts > 2_500);
  await other.unsafe("commit");
  await started;
  assert.ok(await recovers(cluster));
});

test("a database that is slow in making the tables has longer for them than for a statement", async (t) => {
  const { uri } = await createDatabase(t, await databaseUri());
  await connectSql(t, uri).unsafe(`
    create function slow() returns event_trigger language plpgsql as
      $$ begin perform pg_sleep(0.05); end $$;
    create event trigger slow on ddl_command_start execute function slow()`);
  const cluster = new RecoveryCluster(t, uri, { adapter: { statementTimeout: 700 } });
  const start = performance.now();
  await cluster.start();
  assert.ok(performance.now() - start > 700);
  await cluster.start();
  assert.ok(await recovers(cluster));
});

test("who has made the tables waits for others that do so, too, also behind a pooler", async (t) => {
  const { uri } = await createDatabase(t, await databaseUri());
  const LOCK = "pg_advisory_xact_lock(hashtextextended('socketio-pg sql', 0))";
  const [first, second] = [connectSql(t, uri), connectSql(t, uri)];
  await first.unsafe("begin");
  await first.unsafe(`select ${LOCK}`);
  const sql = connectSql(t, uri);
  const waiting = (count: number) =>
    until(`${count} wait for the lock`, async () => {
      const [row] = await sql`
        select count(*)::int from pg_locks
        join pg_database on pg_database.oid = database and datname = current_database()
        where locktype = 'advisory' and not granted`;
      return row!["count"] === count;
    });
  const cluster = new RecoveryCluster(t, uri, { adapter: { publish: uri, statementTimeout: 700 } });
  const started = cluster.start();
  await waiting(1);
  const other = second.unsafe(`do $$ begin
    perform ${LOCK};
    lock table socketio.recovery_state in access exclusive mode;
    perform pg_sleep(1.5);
  end $$`).execute();
  await waiting(2);
  await first.unsafe("commit");
  await Promise.all([started, other]);
  await cluster.start();
  assert.ok(await recovers(cluster));
});

test("the SQL can be run again at any time, also while servers talk", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 2 });
  const sql = connectSql(t, cluster.uri);
  const wanderer = await cluster.client(0);
  await leave(cluster, 0, wanderer);
  let count = 0;
  const talking = setInterval(() => cluster.io(count % 2).emit("number", count++), 2);
  t.after(() => clearInterval(talking));
  for (let i = 0; i < 5; i++) await sql.unsafe(recoverySqlText());
  await wanderer.comeTo(cluster.port(1));
  for (let i = 0; i < 5; i++) await sql.unsafe(recoverySqlText());
  clearInterval(talking);
  assert.ok(wanderer.client.recovered);
  await wanderer.has("number", count);
  assert.equal(wanderer.of("number").length, count);
});

/** A role that may connect, and nothing else; with the uri for it. */
async function createRole(t: Scope, uri: string): Promise<{ role: string; uri: string }> {
  const sql = connectSql(t, uri);
  const role = `recovery_${crypto.getRandomValues(new Uint32Array(2)).join("_")}`;
  await sql.unsafe(`create role ${role} login password 'correct-horse'`);
  t.after(async () => {
    await sql.unsafe(`drop owned by ${role}`);
    await sql.unsafe(`drop role ${role}`);
  });
  const own = new URL(uri);
  own.username = role;
  own.password = "correct-horse";
  return { role, uri: own.href };
}

test("a role that may make no schema is told what to run, and clients can connect", async (t) => {
  const { uri, name } = await createDatabase(t, await databaseUri());
  const admin = connectSql(t, uri);
  await admin.unsafe(`revoke create on database ${name} from public`);
  const { role, uri: own } = await createRole(t, uri);
  const errors: PgAdapterError[] = [];
  const prefix = uniquePrefix();
  const adapter = pgAdapter(own, { prefix });
  adapter.on("error", (error) => errors.push(error));
  const node = await createNode(adapter, { server: { connectionStateRecovery: {} } });
  t.after(() => node.close());
  await until("it is told", () => errors.length > 0);
  assert.equal(errors[0]!.code, "RECOVERY_UNAVAILABLE");
  assert.match(errors[0]!.message, /install-sql --recovery/);
  assert.match(errors[0]!.message, /EXECUTE/);
  const wanderer = new Wanderer(node.port);
  t.after(() => void wanderer.client.disconnect());
  await next(wanderer.client, "connect");
  await wanderer.cut();
  await wanderer.comeTo(node.port);
  assert.ok(!wanderer.client.recovered);

  // The remedy, as the message says it.
  await admin.unsafe(recoverySqlText());
  await admin.unsafe(`grant usage on schema socketio to ${role};
    grant execute on all functions in schema socketio to ${role}`);
  await until("it works", () => adapter.stats().phase === "ready", 20_000);
  const back = new Wanderer(node.port);
  t.after(() => void back.client.disconnect());
  await next(back.client, "connect");
  node.io.emit("welcome");
  await back.has("welcome");
  await back.cut();
  node.io.emit("meanwhile");
  await back.comeTo(node.port);
  assert.ok(back.client.recovered);
  await back.has("meanwhile");
  assert.equal(errors.length, 1);
  // It may call the functions, and touch nothing.
  const sql = connectSql(t, own);
  for (const table of ["recovery_packets", "recovery_sessions", "recovery_state"]) {
    await assert.rejects(sql.unsafe(`select * from socketio.${table}`), /permission denied/);
  }
}, { deadline: 60_000 });

test("nobody else may call what keeps and takes sessions", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 1 });
  const admin = connectSql(t, cluster.uri);
  const { role, uri } = await createRole(t, cluster.uri);
  await admin.unsafe(`grant usage on schema socketio to ${role}`);
  const sql = connectSql(t, uri);
  for (
    const call of [
      "_recovery_state()",
      "recovery_begin(1)",
      "recovery_notify('a','b','c','d',null)",
      "recovery_keep('[]')",
      "recovery_restore('a','b',1,1,1,1,'t')",
      "recovery_pieces('{}',1)",
    ]
  ) await assert.rejects(sql.unsafe(`select socketio.${call}`), /permission denied/, call);
});

test(
  "a crash of the database empties the log: fresh sessions, and offsets of before are refused",
  async (t) => {
    const server = await startPostgres();
    t.after(() => server.stop());
    const options: RecoveryClusterOptions = {
      uri: server.uri,
      size: 2,
      adapter: { heartbeatInterval: 300, heartbeatTimeout: 1_500 },
    };
    const cluster = await createRecoveryCluster(t, options);
    const left = await cluster.client(0);
    const stays = await cluster.client(1);
    for (let i = 0; i < 100; i++) cluster.io(i % 2).emit("number", i);
    await left.has("number", 100);
    await stays.has("number", 100);
    await leave(cluster, 0, left);
    const before = Number.parseInt(stays.offset!, 36);
    await server.restart("immediate");
    const isReady = () => cluster.nodes.every(({ adapter }) => adapter.stats().phase === "ready");
    await until("all are back", isReady, 30_000);
    cluster.errors = [];
    await left.comeTo(cluster.port(1));
    assert.ok(!left.client.recovered);
    cluster.io(0).emit("after the crash");
    await stays.has("after the crash");
    await left.has("after the crash");
    // Numbers go on upwards, whatever was given before.
    assert.ok(Number.parseInt(stays.offset!, 36) > before);
    // Who was connected all the time goes on with its session.
    await leave(cluster, 1, stays);
    cluster.io(0).emit("meanwhile");
    await stays.comeTo(cluster.port(0));
    assert.ok(stays.client.recovered);
    await stays.has("meanwhile");
    assert.equal(stays.of("number").length, 100);
    assert.ok(await recovers(cluster));
    cluster.errors = [];
  },
  { deadline: 90_000 },
);

test("an offset of before a crash is refused where something is not known any more", async (t) => {
  const server = await startPostgres();
  t.after(() => server.stop());
  const cluster = await createRecoveryCluster(t, {
    uri: server.uri,
    size: 2,
    adapter: { heartbeatInterval: 300, heartbeatTimeout: 1_500 },
  });
  const stays = await cluster.client(1);
  // Sent to a client whose transport is dead already: it is in the log, and nowhere else after the crash.
  const engine = cluster.io(1).sockets.sockets.get(stays.client.id!)!.conn;
  const written: unknown[] = [];
  engine.write = (packet: unknown) => (written.push(packet), engine);
  cluster.io(0).emit("lost in the crash");
  await until("it is written", () => written.length > 0);
  await server.restart("immediate");
  const isReady = () => cluster.nodes.every(({ adapter }) => adapter.stats().phase === "ready");
  await until("all are back", isReady, 30_000);
  cluster.errors = [];
  await leave(cluster, 1, stays);
  await stays.comeTo(cluster.port(0));
  // It would never know that it has missed something.
  assert.ok(!stays.client.recovered);
  cluster.errors = [];
}, { deadline: 90_000 });

test("a process of the database that is killed empties the log", async (t) => {
  const server = await startPostgres();
  t.after(() => server.stop());
  const cluster = await createRecoveryCluster(t, {
    uri: server.uri,
    size: 2,
    adapter: { heartbeatInterval: 300, heartbeatTimeout: 1_500 },
  });
  const wanderer = await cluster.client(0);
  await leave(cluster, 0, wanderer);
  const sql = connectSql(t, server.uri);
  const [row] = await sql`select pg_backend_pid() as pid`;
  server.killBackend(row!["pid"] as number);
  await until(
    "the adapters have noticed",
    () => cluster.nodes.every(({ adapter }) => adapter.stats().phase !== "ready"),
    20_000,
  );
  const isReady = () => cluster.nodes.every(({ adapter }) => adapter.stats().phase === "ready");
  await until("all are back", isReady, 30_000);
  cluster.errors = [];
  await wanderer.comeTo(cluster.port(1));
  assert.ok(!wanderer.client.recovered);
  assert.ok(await recovers(cluster));
  cluster.errors = [];
}, { deadline: 90_000 });

test("a proper restart of the database keeps everything", async (t) => {
  const server = await startPostgres();
  t.after(() => server.stop());
  const cluster = await createRecoveryCluster(t, {
    uri: server.uri,
    size: 2,
    adapter: { heartbeatInterval: 300, heartbeatTimeout: 1_500 },
  });
  const wanderer = await cluster.client(0);
  await leave(cluster, 0, wanderer);
  cluster.io(0).emit("before");
  await until("it is sent", () => cluster.nodes[0]!.adapter.stats().queued.messages === 0);
  await server.restart();
  const isReady = () => cluster.nodes.every(({ adapter }) => adapter.stats().phase === "ready");
  await until("all are back", isReady, 30_000);
  cluster.io(1).emit("after");
  cluster.errors = [];
  await wanderer.comeTo(cluster.port(1));
  assert.ok(wanderer.client.recovered);
  await wanderer.has("after");
  assert.deepEqual(wanderer.received, [["before"], ["after"]]);
  cluster.errors = [];
}, { deadline: 90_000 });

test("tables that somebody has dropped are told of, and clients can connect", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 2 });
  const sql = connectSql(t, cluster.uri);
  const wanderer = await cluster.client(0);
  await leave(cluster, 0, wanderer);
  await sql.unsafe("drop table socketio.recovery_sessions, socketio.recovery_packets");
  await wanderer.comeTo(cluster.port(1));
  assert.ok(!wanderer.client.recovered);
  assert.deepEqual(cluster.errors.splice(0).map(({ code }) => code), ["RECOVERY_FAILED"]);
  await wanderer.cut();
  await until("it is told", () => cluster.errors.length > 0);
  assert.deepEqual(cluster.errors.splice(0).map(({ code }) => code), ["RECOVERY_FAILED"]);
  // Whoever runs the SQL again mends it.
  await sql.unsafe(recoverySqlText());
  assert.ok(await recovers(cluster));
});
