/** `bench`. */
import assert from "node:assert/strict";
import { benchAsJson, benchAsText } from "../../src/cli/bench_view.ts";
import { quantile } from "../../src/cli/quantile.ts";
import { databaseUri } from "../support/database.ts";
import { startPostgres } from "../support/postgres.ts";
import { connectSql, createDatabase } from "../support/sql.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";
import { execute, runHere, start } from "./command_line.ts";

function linesOf(out: string): Record<string, unknown>[] {
  return out.trimEnd().split("\n").map((line) => JSON.parse(line));
}

test("how long one takes, how many there are of three sizes, and nothing is left behind", async (scope) => {
  const { uri } = await createDatabase(scope, await databaseUri());
  const sql = connectSql(scope, uri);
  const { code, out, err } = await execute(scope, ["bench", uri, "--seconds", "1", "--json"]);
  assert.equal(code, 0, err);
  assert.match(err, /^For 1 s this sends as many notifications as the database takes: .*\n$/);
  const [latency, ...throughput] = linesOf(out);
  assert.equal(latency?.type, "latency");
  const { count, p50, p99 } = latency as Record<string, number>;
  assert.ok(count! > 10 && p50! > 0 && p99! >= p50! && p99! < 1_000, out);
  assert.deepEqual(
    throughput.map(({ type, bytes }) => [type, bytes]),
    [100, 1_000, 10_000].map((bytes) => ["throughput", bytes]),
  );
  for (const { bytes, messages, perSecond, bytesPerSecond } of throughput) {
    assert.ok((messages as number) > 10, out);
    assert.equal(bytesPerSecond, (perSecond as number) * (bytes as number));
  }
  const [left] = await sql`select
    (select count(*)::int from pg_class where relnamespace = 'public'::regnamespace) as tables,
    (select count(*)::int from pg_namespace where nspname = 'socketio') as schemas`;
  assert.deepEqual({ ...left }, { tables: 0, schemas: 0 });
  await until("its connections are gone", async () => {
    const rows = await sql`select 1 from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid()`;
    return rows.length === 0;
  });
});

test("sealed and encrypted", async (scope) => {
  const { uri } = await createDatabase(scope, await databaseUri());
  const env = { SOCKETIO_PG_SECRET: "a secret of the servers" };
  for (const more of [[], ["--encrypt"]]) {
    const args = ["bench", "--uri", uri, "--seconds", "0.5", ...more];
    const { code, out } = await runHere(args, { env });
    assert.equal(code, 0);
    assert.match(
      out,
      /^One notification, alone: .*\n(Two servers, packets of \d+ K?B: [1-9]\d* messages.*\n){3}$/,
    );
  }
});

test("a time in which nothing arrives is as long as it takes until something has", async (scope) => {
  const { uri } = await createDatabase(scope, await databaseUri());
  const { code, out } = await runHere(["bench", "--uri", uri, "--seconds", "0.01"]);
  assert.equal(code, 0);
  assert.match(out, /\n(Two servers, packets of \d+ K?B: [1-9]\d* messages.*\n){3}$/);
});

test("Ctrl-C ends it, and says that it is not whole", async (scope) => {
  const { uri } = await createDatabase(scope, await databaseUri());
  const sql = connectSql(scope, uri);
  const running = start(scope, ["bench", uri, "--seconds", "8", "--json"]);
  await until("the first result", () => running.lines.length === 1, 20_000);
  await until("two servers send", async () => {
    const rows =
      await sql`select 1 from pg_stat_activity where application_name like 'socketio-pg:publish:%'
      and datname = current_database()`;
    return rows.length === 2;
  });
  const { code, out, err } = await running.interrupt();
  assert.equal(code, 1);
  assert.match(err, /\nStopped before everything was measured\n$/);
  assert.equal(linesOf(out).length, 1);
  await until("its connections are gone", async () => {
    const rows = await sql`select 1 from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid()`;
    return rows.length === 0;
  });
});

test("it puts nothing into a queue that fills", async (scope) => {
  const server = await startPostgres({ settings: { max_notify_queue_pages: "64" } });
  scope.after(() => server.stop());
  const [sql, culprit] = [connectSql(scope, server.uri), connectSql(scope, server.uri)];
  await culprit.unsafe("listen somewhere");
  await culprit.unsafe("begin");
  const payload = "x".repeat(7_900);
  for (let i = 0; i < 20; i++) await sql`select pg_notify('nobody', ${payload})`;
  const { code, out, err } = await runHere(["bench", server.uri, "--seconds", "1"]);
  assert.deepEqual([code, out], [1, ""]);
  assert.match(err, /Cannot measure as the queue of notifications is \d\d % full already/);
  await culprit.unsafe("commit");
}, { deadline: 60_000 });

test("an address where nobody is", async () => {
  const { code, err } = await runHere(["bench", "postgresql://me:hush@127.0.0.1:1/nowhere"]);
  assert.equal(code, 1);
  assert.match(err, /\nsocketio-pg: Cannot connect to 127\.0\.0\.1:1, /);
  assert.doesNotMatch(err, /hush/);
});

test("quantiles are of the numbers that there are", () => {
  assert.deepEqual([0, 0.5, 0.99, 1].map((q) => quantile([4, 1, 3, 2], q)), [1, 2, 4, 4]);
  assert.equal(quantile([7], 0.5), 7);
  assert.ok(Number.isNaN(quantile([], 0.5)));
});

test("how results look", () => {
  const latency = { type: "latency", count: 1_000, p50: 0.4126, p99: 2 } as const;
  const throughput = { type: "throughput", bytes: 10_000, messages: 3_000, ms: 1_500 } as const;
  assert.equal(
    benchAsText(latency),
    "One notification, alone: 0.41 ms (p50), 2.00 ms (p99), of 1000\n",
  );
  assert.equal(
    benchAsText(throughput),
    "Two servers, packets of 10 KB: 2000 messages/s, 20.0 MB/s\n",
  );
  assert.equal(benchAsJson(latency), '{"type":"latency","count":1000,"p50":0.413,"p99":2}\n');
  assert.equal(
    benchAsJson(throughput),
    '{"type":"throughput","bytes":10000,"messages":3000,"perSecond":2000,"bytesPerSecond":20000000}\n',
  );
});
