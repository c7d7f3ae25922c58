/** `doctor`, on databases that are well and some that are not. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { Sql } from "postgres";
import type { Finding } from "../../src/cli/findings.ts";
import { createCluster, uniquePrefix } from "../support/cluster.ts";
import { startChild } from "../support/child.ts";
import { databaseUri } from "../support/database.ts";
import { noPgBouncer, startPgBouncer } from "../support/pgbouncer.ts";
import { startPostgres } from "../support/postgres.ts";
import { connectSql, createDatabase } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";
import { certificate, startTlsProxy } from "../support/tls_proxy.ts";
import { until } from "../support/wait.ts";
import { execute, runHere, type Surroundings } from "./command_line.ts";

const QUICK = { heartbeatInterval: 200, heartbeatTimeout: 2_000 };

/** What it found, by check. */
interface Examined {
  code: number | null;
  err: string;
  found: Record<string, Finding>;
  /** The checks of each level. */
  checks(level: Finding["level"]): string[];
}

function read({ code, out, err }: { code: number | null; out: string; err: string }): Examined {
  const findings = out.trimEnd().split("\n").map((line) => JSON.parse(line))
    .filter(({ type }) => type === "finding") as Finding[];
  return {
    code,
    err,
    found: Object.fromEntries(findings.map((finding) => [finding.check, finding])),
    checks: (level) => findings.filter((each) => each.level === level).map(({ check }) => check),
  };
}

async function examine(args: readonly string[], surroundings?: Surroundings): Promise<Examined> {
  return read(await runHere(["doctor", "--json", ...args], surroundings));
}

/** A role that may do nothing but connect, and the uri with it. */
async function createRole(
  scope: Scope,
  sql: Sql,
  uri: string,
): Promise<{ role: string; own: string }> {
  const role = `cli_${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  await sql.unsafe(`create role ${role} login password 'hush-hush'`);
  scope.after(() => sql.unsafe(`drop owned by ${role} cascade; drop role ${role}`));
  const own = new URL(uri);
  [own.username, own.password] = [role, "hush-hush"];
  return { role, own: own.href };
}

test("all is well, beside servers", async (scope) => {
  // Of its own, as others fill connections, and hold transactions open.
  const server = await startPostgres();
  scope.after(() => server.stop());
  const { uri } = server;
  const cluster = await createCluster(scope, { size: 2, uri, adapter: QUICK });
  const args = ["doctor", uri, "--prefix", cluster.prefix];
  const examined = read(await execute(scope, [...args, "--json"]));
  assert.deepEqual([examined.code, examined.err], [0, ""]);
  for (const level of ["warning", "broken", "unknown"] as const) {
    assert.deepEqual(examined.checks(level), [], JSON.stringify(examined.found));
  }
  const { servers, heartbeat, listen, version, clock } = examined.found;
  assert.match(servers?.text ?? "", new RegExp(`^2 with prefix "${cluster.prefix}"`));
  assert.match(heartbeat?.text ?? "", /^server [0-9a-f]{16} was heard$/);
  assert.match(listen?.text ?? "", /^hears what is notified after [\d.]+ ms$/);
  assert.equal(version?.text, `PostgreSQL ${server.version}`);
  assert.match(clock?.text ?? "", /is the same|\d ms (ahead of|behind)/);
  assert.equal(await cluster.io(0).of("/").adapter.serverCount(), 2);
  const text = await runHere(args);
  assert.equal(text.code, 0);
  assert.match(
    text.out,
    /^ok {7}database {6}reached 127\.0\.0\.1:.*\nok .*\n(.*\n)*17 of 17 ok\n$/,
  );
}, { deadline: 60_000 });

test("no servers is a warning, which says where there are some", async (scope) => {
  const { uri, name } = await createDatabase(scope, await databaseUri());
  const cluster = await createCluster(scope, { size: 1, uri });
  const { code, found } = await examine([uri, "--prefix", uniquePrefix()]);
  assert.equal(code, 0);
  assert.equal(found.servers?.level, "warning");
  assert.match(found.servers?.text ?? "", new RegExp(`others: .*1 in database "${name}"`));
  assert.equal(found.heartbeat, undefined);
  await cluster.settled();
});

test(
  "a pooler in transaction mode is found out, and one in session mode is told of",
  async (scope) => {
    const direct = await databaseUri();
    const transaction = await examine([await startPgBouncer(scope, direct, "transaction")]);
    assert.equal(transaction.code, 1);
    assert.deepEqual(transaction.checks("broken"), ["pooler", "listen"]);
    assert.match(transaction.found.pooler?.remedy ?? "", /direct address/);
    const session = await examine([await startPgBouncer(scope, direct, "session")]);
    assert.equal(session.code, 0);
    assert.equal(session.found.pooler?.level, "warning");
    assert.equal(session.found.listen?.level, "ok");
  },
  { skip: noPgBouncer },
);

test("a standby", async (scope) => {
  const postgres = await startPostgres({ standby: true });
  scope.after(() => postgres.stop());
  const { code, err, found, checks } = await examine([postgres.uri]);
  assert.deepEqual([code, err, checks("broken")], [1, "", ["primary"]]);
  assert.match(found.primary?.text ?? "", /it is a standby.*: give the address of the primary/);
}, { deadline: 60_000 });

test("a queue that is held up, and by whom", async (scope) => {
  const server = await startPostgres({ settings: { max_notify_queue_pages: "64" } });
  scope.after(() => server.stop());
  const sql = connectSql(scope, server.uri);
  const culprit = connectSql(scope, server.uri);
  await culprit.unsafe("set application_name = 'culprit'");
  await culprit.unsafe("listen somewhere");
  await culprit.unsafe("begin");
  const [row] = await culprit.unsafe("select pg_backend_pid() as pid");
  const payload = "x".repeat(7_900);
  const usage = async () =>
    (await sql`select pg_notification_queue_usage()::float8 as usage`)[0]?.usage as number;
  await until("the queue is more than half full", async () => {
    await sql`select pg_notify('nobody', ${payload})`;
    return await usage() > 0.6;
  });
  await until("it is in its transaction for long enough", async () => {
    const [since] = await sql`select clock_timestamp() - xact_start > interval '1 s' as is_long
      from pg_stat_activity where pid = ${row?.pid as number}`;
    return since?.is_long;
  });
  const { code, found, checks } = await examine([server.uri]);
  assert.deepEqual([code, checks("broken")], [1, ["queue"]]);
  assert.match(found.queue?.text ?? "", /is \d+ % full; at 100 % nobody can notify/);
  assert.match(
    found.transactions?.text ?? "",
    new RegExp(`^pid ${row?.pid} \\(idle in transaction for .*, "culprit", user "postgres"`),
  );
  await culprit.unsafe("commit");
}, { deadline: 60_000 });

test("a queue that is held up by a client that does not read", async (scope) => {
  const server = await startPostgres({ settings: { max_notify_queue_pages: "256" } });
  scope.after(() => server.stop());
  const prefix = uniquePrefix();
  const child = await startChild(scope, { uri: server.uri, prefix, adapter: QUICK });
  const sql = connectSql(scope, server.uri);
  const [row] = await sql`select pid from pg_stat_activity
    where application_name = ${`socketio-pg:listen:${child.uid}`}`;
  child.kill("SIGSTOP");
  // More than fits the sockets in between.
  const payload = "x".repeat(7_900);
  await until("the queue fills", async () => {
    await sql`select pg_notify(${`${prefix}:/`}, n || ${payload}) from generate_series(10, 29) as n`;
    const [usage] = await sql`select pg_notification_queue_usage()::float8 as usage`;
    return usage?.usage > 0.3;
  });
  await until("it has waited for long enough", async () => {
    const [since] =
      await sql`select state, wait_event, clock_timestamp() - xact_start > interval '1 s' as is_long
      from pg_stat_activity where pid = ${row?.pid as number}`;
    return since?.is_long;
  });
  const { found } = await examine([server.uri, "--prefix", prefix, "--wait", "0.2"]);
  assert.equal(found.queue?.level, "warning");
  assert.match(
    found.transactions?.text ?? "",
    new RegExp(
      `pid ${row?.pid} \\(its client does not read for .*, "socketio-pg:listen:${child.uid}"`,
    ),
  );
}, { deadline: 60_000 });

test("a role without rights", async (scope) => {
  const { uri } = await createDatabase(scope, await databaseUri());
  const sql = connectSql(scope, uri);
  const { role, own } = await createRole(scope, sql, uri);
  const before = await examine([own]);
  assert.equal(before.code, 0);
  assert.equal(before.found.rights?.level, "ok");
  assert.equal(before.found.transactions?.level, "unknown");
  assert.match(before.found.recovery?.text ?? "", new RegExp(`role "${role}" may not make them`));
  const wanted = await examine([own, "--recovery"]);
  assert.deepEqual([wanted.code, wanted.checks("broken")], [1, ["recovery"]]);

  await sql`revoke execute on function pg_notify(text, text) from public`;
  const without = await examine([own]);
  assert.deepEqual([without.code, without.checks("broken")], [1, ["listen", "rights"]]);
  assert.match(without.found.listen?.text ?? "", /permission denied for function pg_notify/);
  const { remedy = "" } = without.found.rights ?? {};
  await sql.unsafe(remedy);
  const after = await examine([own]);
  assert.deepEqual([after.code, after.checks("broken")], [0, []]);
});

test("functions and tables: none, ours, older ones, and a role that may not use them", async (scope) => {
  const { uri } = await createDatabase(scope, await databaseUri());
  const sql = connectSql(scope, uri);
  const { role, own } = await createRole(scope, sql, uri);
  const levels = async (as: string, ...args: string[]) => {
    const { found } = await examine([as, ...args]);
    return [found.functions, found.recovery].map((each) => `${each?.level}: ${each?.text}`);
  };
  const none = await levels(uri);
  assert.match(none[0] ?? "", /^ok: none/);
  assert.match(none[1] ?? "", /^ok: no tables.* when they start$/);
  for (const args of [["install-sql"], ["install-sql", "--recovery"]]) {
    assert.equal((await runHere([...args, "--uri", uri])).code, 0);
  }
  const ours = await levels(uri);
  assert.match(ours[0] ?? "", /^ok: version \d+$/);
  assert.match(ours[1] ?? "", /^ok: version \d+, not durable$/);
  assert.match((await levels(own))[1] ?? "", /^warning: .* may not use it$/);
  const wanted = await examine([own, "--recovery"]);
  assert.deepEqual([wanted.code, wanted.checks("broken")], [1, ["recovery"]]);
  await sql.unsafe(`grant usage on schema socketio to ${role};
    grant execute on all functions in schema socketio to ${role}`);
  assert.match((await levels(own, "--recovery"))[1] ?? "", /^ok: /);

  for (const name of ["version", "recovery_version"]) {
    await sql.unsafe(`create or replace function socketio.${name}() returns integer
      language sql immutable parallel safe as $$ select 0 $$`);
  }
  const older = await levels(uri);
  assert.match(older[0] ?? "", /^warning: version 0, older than this package's/);
  assert.match(older[1] ?? "", /^ok: version 0, older .* when they start$/);
  assert.match((await levels(own))[1] ?? "", /^warning: version 0, .* may not make them/);
  assert.equal((await runHere(["install-sql", "--recovery", "--durable", "--uri", uri])).code, 0);
  assert.match((await levels(uri))[1] ?? "", /^ok: version \d+, durable$/);
});

test("an address where nobody is, also beside one where somebody is", async (scope) => {
  const nowhere = "postgresql://me:hush-hush@127.0.0.1:1/nowhere";
  const { code, out, err } = await execute(scope, ["doctor", nowhere]);
  assert.deepEqual([code, err], [1, ""]);
  assert.match(
    out,
    /^broken {3}database {6}Cannot connect to 127\.0\.0\.1:1, .*\n0 of 1 ok, 1 broken\n$/,
  );
  assert.doesNotMatch(out, /hush/);
  const uri = await databaseUri();
  const { host } = new URL(uri);
  const both = await examine([uri.replace(host, `127.0.0.1:1,${host}`)]);
  assert.equal(both.code, 0);
  assert.equal(both.found.database?.level, "warning");
  assert.match(
    both.found.database?.text ?? "",
    /^reached .*, after Cannot connect to 127\.0\.0\.1:1,/,
  );
});

test("databases of other encodings", async (scope) => {
  for (const encoding of ["SQL_ASCII", "LATIN1"]) {
    const options = `encoding '${encoding}' lc_collate 'C' lc_ctype 'C' template template0`;
    const { uri } = await createDatabase(scope, await databaseUri(), options);
    const { code, found, checks } = await examine([uri]);
    assert.deepEqual([code, checks("broken")], [1, ["encoding"]], encoding);
    assert.match(found.encoding?.text ?? "", new RegExp(`its encoding is ${encoding}: create`));
  }
});

test("limits that the connection string or the role have", async (scope) => {
  const { uri } = await createDatabase(scope, await databaseUri());
  const { found } = await examine([`${uri}?statement_timeout=250&idle_session_timeout=60000`]);
  assert.equal(found.timeouts?.level, "warning");
  assert.match(
    found.timeouts?.text ?? "",
    /^idle_session_timeout is 60 s, statement_timeout is 250 ms: /,
  );
  const sql = connectSql(scope, uri);
  const { role, own } = await createRole(scope, sql, uri);
  await sql.unsafe(`alter role ${role} connection limit 5;
    alter role ${role} set statement_timeout = 250`);
  const ofRole = await examine([own]);
  // Servers switch that one off.
  assert.equal(ofRole.found.timeouts?.level, "ok");
  assert.equal(ofRole.found.connections?.level, "warning");
  assert.match(ofRole.found.connections?.text ?? "", /^[34] of 5 that the role may have are left/);
});

test("TLS, with a certificate that is verified, and with one that is not", async (scope) => {
  const proxy = await startTlsProxy(scope, await databaseUri());
  const localhost = proxy.uri("localhost");
  const own = `sslrootcert=${encodeURIComponent(fileURLToPath(certificate))}`;
  const says = async (uri: string) => (await examine([uri])).found.tls?.text;
  assert.equal(await says(`${localhost}?sslmode=require`), "TLS, its certificate is not verified");
  assert.equal(
    await says(`${localhost}?sslmode=verify-full&${own}`),
    "TLS, its certificate is verified",
  );
});

test("the secret of the servers: right, wrong, or none", async (scope) => {
  const secret = "a secret of the servers";
  const cluster = await createCluster(scope, { size: 1, adapter: { ...QUICK, secret } });
  const heartbeat = async (env: Record<string, string>) => {
    const { code, found } = await examine([cluster.uri, "--prefix", cluster.prefix], { env });
    return [code, `${found.heartbeat?.level}: ${found.heartbeat?.text}`] as const;
  };
  const [right, wrong, none] = [
    await heartbeat({ SOCKETIO_PG_SECRET: secret }),
    await heartbeat({ SOCKETIO_PG_SECRET: "another secret, of others" }),
    await heartbeat({}),
  ];
  assert.equal(right[0], 0);
  assert.match(right[1], /^ok: server [0-9a-f]{16} was heard, signed$/);
  assert.equal(wrong[0], 1);
  assert.match(wrong[1], /^broken: .* cannot be read: .* none of ours$/);
  assert.equal(none[0], 0);
  assert.match(none[1], /^warning: .* is sealed, and there is no secret here$/);
});

test("servers that are not heard", async (scope) => {
  const cluster = await createCluster(scope, {
    size: 1,
    adapter: { heartbeatInterval: 60_000, heartbeatTimeout: 120_000 },
  });
  const args = [cluster.uri, "--prefix", cluster.prefix, "--wait", "0.2"];
  const { code, found } = await examine(args);
  assert.equal(code, 0);
  assert.equal(found.heartbeat?.level, "warning");
  assert.match(found.heartbeat?.text ?? "", /^none was heard for 2\d\d ms$/);
});
