/** One connection: what it asks, how it is given up, and what it leaves behind. */
import assert from "node:assert/strict";
import { Socket } from "node:net";
import process from "node:process";
import { PgAdapterError } from "../../mod.ts";
import { Session, type SessionLimits } from "../../src/bus/session.ts";
import { type ConnectionSettings, connectionSettings } from "../../src/bus/settings.ts";
import { databaseUri } from "../support/database.ts";
import { muteServer } from "../support/mute_server.ts";
import { FaultProxy } from "../support/fault_proxy.ts";
import { forgetfulProxy } from "../support/forgetful_proxy.ts";
import { startPostgres } from "../support/postgres.ts";
import { connectSql } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";
import { until, within } from "../support/wait.ts";

const LIMITS: SessionLimits = { connect: 5_000, statement: 5_000, isOwn: true };

/** A session that is not open yet, and what it told. */
function sessionOf(
  t: Scope,
  target: string | ConnectionSettings,
  limits: Partial<SessionLimits> = {},
): { session: Session; lost: { error: PgAdapterError; silent: boolean }[]; heard: string[] } {
  const settings = typeof target === "string" ? connectionSettings(target) : target;
  const lost: { error: PgAdapterError; silent: boolean }[] = [];
  const heard: string[] = [];
  const session = new Session(settings, settings.addresses[0]!, "tests", {
    ...LIMITS,
    ...limits,
  }, {
    notification: (_channel, payload) => heard.push(payload),
    lost: (error, silent) => lost.push({ error, silent }),
  });
  t.after(() => session.end());
  return { session, lost, heard };
}

async function proxyOf(t: Scope): Promise<FaultProxy> {
  const proxy = await FaultProxy.start(await databaseUri());
  t.after(() => proxy.close());
  return proxy;
}

test("check() is content with an answer, and gives up a connection that falls silent", async (t) => {
  const proxy = await proxyOf(t);
  const { session, lost } = sessionOf(t, proxy.uri);
  await session.open();
  await session.check(2_000);
  assert.deepEqual(lost, []);
  proxy.blackhole();
  const start = performance.now();
  await assert.rejects(session.check(100), {
    code: "CONNECTION_LOST",
    message: /a statement took more than 100 ms/,
  });
  assert.ok(performance.now() - start < 1_000);
  assert.deepEqual(lost.map(({ silent }) => silent), [true]);
});

test("a session that the server closes says that it was not silence", async (t) => {
  const proxy = await proxyOf(t);
  for (const how of ["fin", "rst"] as const) {
    const { session, lost } = sessionOf(t, proxy.uri);
    await session.open();
    const running = session.query("select pg_sleep(10)");
    proxy.cut(how);
    await assert.rejects(running, { code: "CONNECTION_LOST" }, how);
    assert.deepEqual(lost.map(({ error, silent }) => [error.code, silent]), [
      ["CONNECTION_LOST", false],
    ], how);
  }
});

test("a session that is given up rejects what it waits for at once, sends nothing more and tells it once", async (t) => {
  const uri = await databaseUri();
  const sql = connectSql(t, uri);
  const { session, lost, heard } = sessionOf(t, uri);
  await session.open();
  await session.query("listen given_up");
  const [row] = await session.query("select pg_backend_pid() as pid");
  const sleep = session.query("select pg_sleep(10)");
  const wait = session.wait(new Promise(() => {}), () => assert.fail("it is not late"));
  session.lose(new PgAdapterError("CONNECTION_LOST", "enough"));
  session.lose(new PgAdapterError("CONNECTION_LOST", "once more"));
  for (const each of [sleep, wait, session.query("notify given_up"), session.check(10)]) {
    await assert.rejects(each, { message: "enough" });
  }
  assert.equal(lost.length, 1);
  await sql`select pg_terminate_backend(${row?.pid as number})`;
  await until("its backend is gone", async () => {
    const rows = await sql`select 1 from pg_stat_activity where pid = ${row?.pid as number}`;
    return rows.length === 0;
  });
  await session.end();
  assert.equal(lost.length, 1);
  assert.deepEqual(heard, []);
});

test("a session that is given up while it opens rejects, and leaves no socket", async (t) => {
  const { port, sockets } = await muteServer(t);
  const { session, lost } = sessionOf(t, `postgresql://u@127.0.0.1:${port}/d`);
  const opening = session.open();
  await until("it is connected", () => sockets.size === 1);
  session.lose(new PgAdapterError("CONNECT_FAILED", "never mind"));
  await assert.rejects(opening, { message: "never mind" });
  await until("no socket is left", () => sockets.size === 0);
  assert.equal(lost.length, 1);
});

test("end() tells nothing, whatever comes afterwards, and is quick at each stage", async (t) => {
  const proxy = await proxyOf(t);
  const { port, sockets } = await muteServer(t);
  const never: ConnectionSettings = {
    ...connectionSettings(proxy.uri),
    password: () => new Promise(() => {}),
  };
  const stages: Record<string, [string | ConnectionSettings, isOpen: boolean, before: () => void]> =
    {
      "asking for the password": [never, false, () => {}],
      "connecting": [`postgresql://u@127.0.0.1:${port}/d`, false, () => {}],
      "agreeing on TLS": [`postgresql://u@127.0.0.1:${port}/d?sslmode=require`, false, () => {}],
      "open": [proxy.uri, true, () => {}],
      "cut off": [proxy.uri, true, () => proxy.blackhole()],
    };
  for (const [stage, [target, isOpen, before]] of Object.entries(stages)) {
    const { session, lost } = sessionOf(t, target);
    const opening = session.open();
    const running = isOpen ? opening.then(() => session.query("select pg_sleep(1)")) : opening;
    // It is awaited below, and rejects before that.
    running.catch(() => {});
    if (isOpen) await opening;
    before();
    await within(1_000, `ending while ${stage}`, session.end());
    await assert.rejects(running, { message: /it was closed/ }, stage);
    assert.deepEqual(lost, [], stage);
  }
  await until("no socket is left", () => sockets.size === 0);
  proxy.pass();
  await until("no connection is left", () => proxy.open === 0);
});

test("a password function is asked for each attempt; one that rejects, hangs or gives something else fails it", async (t) => {
  const settings = connectionSettings(await databaseUri());
  const answers: (() => unknown)[] = [
    () => Promise.reject(new Error("the token service is away")),
    () => {
      throw new Error("it threw");
    },
    () => 7,
    () => new Promise(() => {}),
    () => settings.password(),
  ];
  let asked = 0;
  const password = () => answers[asked++]!() as string;
  const expected = [
    ["AUTHENTICATION_FAILED", /the password function failed: the token service is away/],
    ["AUTHENTICATION_FAILED", /the password function failed: it threw/],
    ["AUTHENTICATION_FAILED", /the password function failed: it gave a number/],
    ["CONNECT_FAILED", /there was no password within 100 ms/],
  ] as const;
  for (const [code, message] of expected) {
    const { session } = sessionOf(t, { ...settings, password }, { connect: 100 });
    await assert.rejects(session.open(), { code, message });
  }
  await sessionOf(t, { ...settings, password }).session.open();
  assert.equal(asked, 5);
});

test("what the environment says about the target of connections does not matter", async (t) => {
  const server = await startPostgres({ standby: true });
  t.after(() => server.stop());
  const before = process.env["PGTARGETSESSIONATTRS"];
  process.env["PGTARGETSESSIONATTRS"] = "primary";
  t.after(() => {
    if (before === undefined) delete process.env["PGTARGETSESSIONATTRS"];
    else process.env["PGTARGETSESSIONATTRS"] = before;
  });
  await assert.rejects(sessionOf(t, server.uri).session.open(), { code: "STANDBY" });
}, { deadline: 60_000 });

test("a session of our own is set up so that it holds nobody up and is not ended", async (t) => {
  const uri = await databaseUri();
  const show = async (limits: Partial<SessionLimits>, parameters = "") => {
    const { session } = sessionOf(t, uri + parameters, limits);
    await session.open();
    const rows = await session.query(
      `select name, current_setting(name) as value from pg_settings where name in
        ('lock_timeout', 'statement_timeout', 'idle_session_timeout', 'synchronous_commit', 'tcp_user_timeout')`,
    );
    return Object.fromEntries(rows.map(({ name, value }) => [name, value]));
  };
  const own = {
    idle_session_timeout: "0",
    lock_timeout: "2s",
    statement_timeout: "0",
    synchronous_commit: "off",
    tcp_user_timeout: "15000",
  };
  assert.deepEqual(await show({}), own);
  assert.deepEqual(await show({ statement: 1_000 }), {
    ...own,
    lock_timeout: "400ms",
  });
  assert.equal((await show({ isOwn: false })).synchronous_commit, "on");
  assert.deepEqual(await show({}, "?tcp_user_timeout=2000&lock_timeout=7s"), {
    ...own,
    lock_timeout: "7s",
    tcp_user_timeout: "2000",
  });
});

test("what the server remarks goes nowhere, and the system asks an idle connection early whether it is there", async (t) => {
  const { log } = console;
  const { setKeepAlive } = Socket.prototype;
  const logged: unknown[] = [];
  const delays: unknown[] = [];
  console.log = (...args: unknown[]) => logged.push(args);
  Socket.prototype.setKeepAlive = function (isOn, delay) {
    delays.push(delay);
    return setKeepAlive.call(this, isOn, delay);
  };
  t.after(() => {
    console.log = log;
    Socket.prototype.setKeepAlive = setKeepAlive;
  });
  const { session } = sessionOf(t, await databaseUri());
  await session.open();
  await session.query("do $$ begin raise notice 'by the way'; end $$");
  assert.deepEqual(logged, []);
  assert.ok(delays.length > 0 && delays.every((delay) => delay === 10_000), delays.join());
});

test("a statement that is refused since it was prepared runs once, in its place, and no other is prepared", async (t) => {
  const uri = await databaseUri();
  const { session, lost } = sessionOf(t, await forgetfulProxy(t, uri));
  await session.open();
  await session.query("create temp table done (n int)");
  assert.equal(session.prepares, true);
  for (let n = 0; n < 5; n++) {
    const rows = await session.query("insert into done values ($1) returning n", [`${n}`]);
    assert.deepEqual(rows, [{ n }]);
    assert.equal(session.prepares, false);
  }
  const rows = await session.query("select n from done");
  assert.deepEqual(rows.map(({ n }) => n), [0, 1, 2, 3, 4]);
  assert.deepEqual(lost, []);
  // Any other refusal is the caller's.
  await assert.rejects(session.query("select 1 / $1::int", ["0"]), { code: "22012" });
});
