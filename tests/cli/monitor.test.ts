/** `monitor`, beside servers that emit. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { run } from "../../src/cli/main.ts";
import { Emitter } from "../../src/emitter.ts";
import { createCluster } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { noPgBouncer, startPgBouncer } from "../support/pgbouncer.ts";
import { connectSql, createDatabase } from "../support/sql.ts";
import { createSqlCluster } from "../support/sql_functions.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";
import { execute, Memory, runHere, type Running, startMonitor } from "./command_line.ts";

/** What a monitor has printed, without what differs each time. */
function messages(monitor: Running): Record<string, unknown>[] {
  return monitor.lines.map(({ time: _time, from, ...line }) => ({
    ...line,
    ...(from === undefined ? {} : { from: typeof from }),
  }));
}

async function shown(monitor: Running, count: number): Promise<Record<string, unknown>[]> {
  await until(`${count} lines`, () => monitor.lines.length >= count);
  return messages(monitor);
}

test("lines of JSON of an adapter, an emitter, SQL and something large", async (scope) => {
  const { cluster, sql } = await createSqlCluster(scope);
  const { uri, prefix } = cluster;
  const channel = `${prefix}:/`;
  const monitor = await startMonitor(scope, ["--json", "--uri", uri, "--prefix", prefix]);
  const emitter = new Emitter(uri, { prefix });
  scope.after(() => emitter.close());

  cluster.io(0).to(["a", "b"]).except("c").volatile.emit("of an adapter", 1, "x");
  await shown(monitor, 1);
  await emitter.emit("of an emitter", { data: Buffer.from("hi") });
  await sql`select socketio.emit('of SQL', '{"a":1}', array['r'])`;
  const large = "é".repeat(100_000);
  await emitter.to("r").emit("large", large);
  await emitter.in("r").socketsJoin(["s"]);
  await emitter.serverSideEmit("ping", 1);
  await sql.notify(channel, "{}");

  const common = { channel, nsp: "/", rooms: [] as string[], except: [] as string[] };
  assert.deepEqual(await shown(monitor, 7), [
    {
      type: "emit",
      ...common,
      rooms: ["a", "b"],
      except: ["c"],
      flags: { volatile: true },
      event: "of an adapter",
      args: [1, "x"],
      bytes: 24,
      from: "string",
    },
    {
      type: "emit",
      ...common,
      event: "of an emitter",
      args: [{ data: { base64: "aGk=" } }],
      bytes: 61,
      from: "string",
    },
    { type: "emit", ...common, rooms: ["r"], event: "of SQL", args: [{ a: 1 }], bytes: 19 },
    {
      type: "emit",
      ...common,
      rooms: ["r"],
      event: "large",
      args: [large],
      bytes: 200_013,
      from: "string",
    },
    { type: "socketsJoin", ...common, rooms: ["r"], value: ["s"], from: "string" },
    { type: "serverSideEmit", ...common, event: "ping", args: [1], bytes: 10, from: "string" },
    {
      type: "malformed",
      channel,
      error:
        "Cannot read a plain message as it needs one verb of emit, socketsJoin, socketsLeave, disconnectSockets, serverSideEmit: it has 0",
    },
  ]);

  await until("the servers told of it, too", () => cluster.errors.length === 2);
  cluster.errors.length = 0;

  const { code } = await monitor.interrupt();
  assert.equal(code, 0);
  const summary = monitor.lines.at(-1);
  const { type, messages: count, malformed, channels } = summary ?? {};
  assert.deepEqual([type, count, malformed, Object.keys(channels as object)], [
    "summary",
    6,
    1,
    [channel],
  ]);
});

test("patterns of events, and names that are made to take long", async (scope) => {
  const cluster = await createCluster(scope, { size: 1 });
  const { uri, prefix } = cluster;
  const patterns = ["ab*ba", "x*y*z", "*a*a*a*a*c", "last"].flatMap((each) => ["--event", each]);
  const monitor = await startMonitor(scope, [
    ...["--json", "--uri", uri, "--prefix", prefix],
    ...patterns,
  ]);
  const names = ["aba", "abba", "xzy", "xyz", "x1y2z", "xyzz.", "a".repeat(7_000), "aaaac", "last"];
  for (const name of names) cluster.io(0).emit(name);
  const seen = (await shown(monitor, 5)).map(({ event }) => event);
  assert.deepEqual(seen, ["abba", "xyz", "x1y2z", "aaaac", "last"]);
});

test("it is not counted as a server, and holds no lock", async (scope) => {
  const cluster = await createCluster(scope, { size: 2 });
  const { uri, prefix } = cluster;
  const monitor = await startMonitor(scope, ["--json", "--uri", uri, "--prefix", prefix]);
  cluster.io(0).emit("hello");
  await shown(monitor, 1);
  const sql = connectSql(scope, uri);
  const [row] = await sql`select count(*)::int as locks from pg_locks
    join pg_stat_activity using (pid) where application_name = 'socketio-pg:monitor'
    and locktype = 'advisory'`;
  assert.equal(row?.locks, 0);
  assert.equal(await cluster.io(0).of("/").adapter.serverCount(), 2);
});

test("a room that is named is heard on its channel, and what others get is left out", async (scope) => {
  const cluster = await createCluster(scope, { size: 2 });
  const { uri, prefix } = cluster;
  await Promise.all([cluster.socket(0).join("news"), cluster.socket(1).join("news")]);
  const common = ["--json", "--uri", uri, "--prefix", prefix];
  const [all, one, both] = await Promise.all([
    startMonitor(scope, common),
    startMonitor(scope, [...common, "--room", "news"]),
    startMonitor(scope, [...common, "--room", "news", "--all", "--event", "t*"]),
  ]);
  cluster.io(0).to("news").emit("to the room");
  cluster.io(0).to(["sports", "politics"]).emit("to others");
  cluster.io(0).except("news").emit("not to the room");
  cluster.io(0).emit("to all");
  const events = async (monitor: Running, count: number) =>
    (await shown(monitor, count)).map(({ event }) => event);
  assert.deepEqual(await events(all, 3), ["to others", "not to the room", "to all"]);
  assert.deepEqual(await events(one, 2), ["to the room", "to all"]);
  assert.deepEqual(await events(both, 3), ["to the room", "to others", "to all"]);
  assert.equal(one.lines[0]?.channel, `${prefix}:/:news#`);
});

test("other namespaces, and an end after so many", async (scope) => {
  const cluster = await createCluster(scope, { size: 2, namespace: "/chat" });
  const { uri, prefix } = cluster;
  const args = ["--json", "--nsp", "chat", "--nsp", "/", "--count", "2", "--prefix", prefix];
  const monitor = await startMonitor(scope, args, { env: { DATABASE_URL: uri } });
  cluster.io(0).of("/chat").emit("a");
  cluster.io(0).emit("b");
  cluster.io(0).emit("c");
  const { code } = await monitor.end();
  assert.equal(code, 0);
  assert.deepEqual(
    monitor.lines.map(({ type, nsp, event }) => [type, nsp, event]),
    [["emit", "/chat", "a"], ["emit", "/", "b"], ["summary", undefined, undefined]],
  );
});

test("sealed payloads are opened with the secret, and not without", async (scope) => {
  const secret = "a secret of the servers";
  const cluster = await createCluster(scope, { size: 2, adapter: { secret, encrypt: true } });
  const { uri, prefix } = cluster;
  const common = ["--json", "--uri", uri, "--prefix", prefix];
  const [opens, stranger] = await Promise.all([
    startMonitor(scope, common, { env: { SOCKETIO_PG_SECRET: secret } }),
    startMonitor(scope, common),
  ]);
  const sql = connectSql(scope, uri);
  cluster.io(0).emit("hush", 1);
  await shown(opens, 1);
  await sql.notify(`${prefix}:/`, '{"emit":["forged"]}');
  const seen = (monitor: Running) => monitor.lines.map(({ type, event }) => [type, event]);
  await until("both monitors heard both", () => opens.lines.length + stranger.lines.length === 4);
  assert.deepEqual(seen(opens), [["emit", "hush"], ["refused", undefined]]);
  assert.deepEqual(seen(stranger), [["sealed", undefined], ["emit", "forged"]]);
  assert.match(String(stranger.lines[0]?.error), /without the secret/);
  await until("the servers heard the forged one", () => cluster.errors.length === 2);
  cluster.errors.length = 0;
});

test("it connects again, and says so", async (scope) => {
  // Of its own, as the monitors of other tests are not to be ended.
  const { uri } = await createDatabase(scope, await databaseUri());
  const cluster = await createCluster(scope, { size: 2, uri });
  const { prefix } = cluster;
  const monitor = await startMonitor(scope, ["--json", "--uri", uri, "--prefix", prefix]);
  const sql = connectSql(scope, uri);
  await sql`select pg_terminate_backend(pid) from pg_stat_activity
    where application_name = 'socketio-pg:monitor' and datname = current_database()`;
  await until("it listens again", () => monitor.err.includes("Listening again"));
  assert.match(monitor.err, /Lost the connection to .*: what is sent meanwhile is not seen\n/);
  cluster.io(0).emit("hello");
  await shown(monitor, 1);
});

test("a database that cannot be reached ends it, without the password", async (scope) => {
  const uri = "postgresql://me:hush-hush@127.0.0.1:1/nowhere";
  const { code, out, err } = await execute(scope, ["monitor", "--uri", uri]);
  assert.deepEqual([code, out], [1, ""]);
  assert.match(err, /^socketio-pg: Cannot connect to 127\.0\.0\.1:1, /);
  assert.doesNotMatch(err, /hush/);
  const { code: here } = await runHere(["monitor", "--uri", uri]);
  assert.equal(here, 1);
});

test("behind a pooler in transaction mode it would hear nothing, and says so", async (scope) => {
  const uri = await startPgBouncer(scope, await databaseUri(), "transaction");
  const { code, err } = await runHere(["monitor", "--uri", uri]);
  assert.equal(code, 1);
  assert.match(err, /^socketio-pg: Cannot listen as .*a pooler in transaction mode/);
}, { skip: noPgBouncer });

test("a terminal of some width, its rates and its last words", async (scope) => {
  const cluster = await createCluster(scope, { size: 2 });
  const { uri, prefix } = cluster;
  const io = new Memory({ env: { NO_COLOR: "1" } }, 60);
  const ended = run(["monitor", "--uri", uri, "--prefix", prefix, "--rates", "0.05"], io);
  await until("it listens", () => io.text.err.includes(`Listening to ${prefix}:/\n`));
  cluster.io(0).to(["news", "x"]).emit("headline", { text: "x".repeat(100) });
  await until("rates after it", () => /headline[^\r]*\n[^\r]*1 message,/.test(io.text.out));
  io.stop.abort();
  assert.equal(await ended, 0);
  const plain = io.text.out.replaceAll(/\d\d:\d\d:\d\d\.\d{3}/g, "hh:mm:ss.mmm");
  const lines = plain.split("\n").map((line) => line.split("\r\x1b[K").at(-1));
  assert.equal(lines[0], 'hh:mm:ss.mmm / > news, x: headline({"text":"xxxxxxxxxxxxxxx…');
  assert.equal(lines[0]?.length, 60);
  assert.match(
    lines[1] ?? "",
    /^In \d+\.\d s: \d+\.\d messages\/s, [\d.]+ k?B\/s; 1 message, \d+ B$/,
  );
  assert.match(lines[2] ?? "", new RegExp(`^  ${prefix}:/: 1 message, \\d+ B$`));
  // The last words are written over the rates.
  assert.match(plain.split("\n")[1] ?? "", /^\d+\.\d messages\/s, .*\r/);
});

test("who stops reading ends it", async (scope) => {
  const cluster = await createCluster(scope, { size: 2 });
  const { uri, prefix } = cluster;
  const monitor = await startMonitor(scope, ["--uri", uri, "--prefix", prefix]);
  monitor.stopReading();
  // The first one finds out, and the second one finds that.
  await until("it has ended", () => {
    cluster.io(0).emit("hello");
    return monitor.hasEnded;
  });
  const { code, err } = await monitor.end();
  assert.deepEqual([code, err], [0, `Listening to ${prefix}:/\n`]);
});

test("text for a pipe has a fixed width, no colours and no rates", async (scope) => {
  const cluster = await createCluster(scope, { size: 2 });
  const { uri, prefix } = cluster;
  const monitor = await startMonitor(scope, ["--uri", uri, "--prefix", prefix, "--count", "1"]);
  cluster.io(1).emit("hello", 1, [true], null);
  const { code, out } = await monitor.end();
  assert.equal(code, 0);
  assert.match(out, /^\d\d:\d\d:\d\d\.\d{3} \/ > everyone: hello\(1, \[true\], null\)\nIn \d/);
});

test("it ends before it has connected, too", async () => {
  const io = new Memory();
  io.stop.abort();
  assert.equal(await run(["monitor", "--uri", await databaseUri()], io), 0);
  assert.match(io.text.out, /^In \d+\.\d s: /);
});
