/** `install-sql`. */
import assert from "node:assert/strict";
import { RECOVERY_VERSION, recoverySqlText } from "../../src/recovery/schema.ts";
import { SQL_VERSION, sqlText } from "../../src/sql.ts";
import { databaseUri } from "../support/database.ts";
import { connectSql, createDatabase } from "../support/sql.ts";
import { test } from "../support/test.ts";
import { execute, runHere } from "./command_line.ts";

test("it installs, again and again, and says so when it is asked to", async (scope) => {
  const { uri, name } = await createDatabase(scope, await databaseUri());
  const sql = connectSql(scope, uri);
  const env = { DATABASE_URL: uri };
  assert.deepEqual(await execute(scope, ["install-sql"], { env }), { code: 0, out: "", err: "" });
  const again = await runHere(["install-sql", "--uri", uri, "--verbose"]);
  assert.deepEqual([again.code, again.out], [0, ""]);
  assert.match(again.err, new RegExp(`^Version ${SQL_VERSION} or later is there: .*"${name}"`));
  const [row] = await sql`select socketio.version() as version`;
  assert.equal(row?.version, SQL_VERSION);
});

test("it prints what it would run, and connects to nothing", async (scope) => {
  const env = { DATABASE_URL: "postgresql://127.0.0.1:1/nowhere" };
  assert.deepEqual(await execute(scope, ["install-sql", "--print"], { env }), {
    code: 0,
    out: sqlText(),
    err: "",
  });
});

test("a role that may not is told so", async (scope) => {
  const { uri } = await createDatabase(scope, await databaseUri());
  const sql = connectSql(scope, uri);
  const role = `cli_${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  await sql.unsafe(`create role ${role} login password 'hush-hush'`);
  scope.after(() => sql.unsafe(`drop role ${role}`));
  const own = new URL(uri);
  [own.username, own.password] = [role, "hush-hush"];
  const { code, out, err } = await runHere(["install-sql", "--uri", own.href]);
  assert.deepEqual([code, out], [1, ""]);
  assert.match(err, /^socketio-pg: permission denied for database /);
  assert.doesNotMatch(err, /hush/);
});

test("a schema that others have made is refused, with what to do", async (scope) => {
  const { uri } = await createDatabase(scope, await databaseUri());
  const sql = connectSql(scope, uri);
  const role = `cli_${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  await sql.unsafe(`create role ${role}; create schema socketio authorization ${role}`);
  scope.after(() => sql.unsafe(`drop owned by ${role} cascade; drop role ${role}`));
  const { code, err } = await runHere(["install-sql", "--uri", uri]);
  assert.equal(code, 1);
  assert.match(
    err,
    new RegExp(`^socketio-pg: Cannot install .*: ${role}\n.*SET ROLE ${role}.*\n$`),
  );
});

test("it installs the log of recovery, durable or not, again and again", async (scope) => {
  const { uri } = await createDatabase(scope, await databaseUri());
  const sql = connectSql(scope, uri);
  const run = (...args: string[]) => runHere(["install-sql", "--recovery", "--uri", uri, ...args]);
  const persistence = async () => {
    const rows = await sql`select distinct relpersistence as each from pg_class
      where relnamespace = 'socketio'::regnamespace and relkind = 'r' and relname not in ('recovery_pending', 'recovery_alive')`;
    return rows.map(({ each }) => each).join();
  };
  const said = (how: string) =>
    new RegExp(`^Version ${RECOVERY_VERSION} or later of recovery is there, ${how}: `);
  assert.deepEqual(await run(), { code: 0, out: "", err: "" });
  assert.equal(await persistence(), "u");
  await sql`select socketio.recovery_begin(60000), socketio.recovery_notify('c', 'p', 'k', 'o', null)`;
  assert.match((await run("-v")).err, said("not durable"));
  assert.match((await run("-v", "--durable")).err, said("durable"));
  assert.equal(await persistence(), "p");
  // What is durable stays so, and what was kept stays.
  assert.match((await run("-v")).err, said("durable"));
  const [row] = await sql`select count(*)::integer as kept, (
    select relpersistence from pg_class where oid = 'socketio.recovery_pending'::regclass
  ) as pending from socketio.recovery_packets`;
  assert.deepEqual({ ...row }, { kept: 1, pending: "u" });
});

test("it prints the log of recovery as it would install it", async () => {
  const printed = async (...args: string[]) =>
    (await runHere(["install-sql", "--print", ...args])).out;
  assert.equal(await printed("--recovery"), recoverySqlText());
  assert.equal(await printed("--recovery", "--durable"), recoverySqlText(true));
  assert.match(recoverySqlText(), /create unlogged table if not exists socketio\.recovery_state/);
  // What is pending survives nothing: it is gone with its transaction.
  const unlogged = recoverySqlText(true).match(/(?<=create unlogged table if not exists )\S+/g);
  assert.deepEqual(unlogged?.sort(), ["socketio.recovery_alive", "socketio.recovery_pending"]);
});

test("a log whose place others have made is refused, with what to do", async (scope) => {
  const { uri } = await createDatabase(scope, await databaseUri());
  const sql = connectSql(scope, uri);
  const role = `cli_${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  await sql.unsafe(`create role ${role}; create schema socketio`);
  scope.after(() => sql.unsafe(`drop owned by ${role} cascade; drop role ${role}`));
  const refused = async () => {
    const { code, err } = await runHere(["install-sql", "--recovery", "--uri", uri]);
    assert.equal(code, 1);
    assert.match(err, new RegExp(`^socketio-pg: Cannot keep .*: ${role}\nInstall as its owner`));
  };
  const traps: readonly [set: string, unset: string][] = [
    [`alter schema socketio owner to ${role}`, "alter schema socketio owner to current_user"],
    [`grant create on schema socketio to ${role}`, `revoke create on schema socketio from ${role}`],
    [
      `create table socketio.recovery_packets (n int); alter table socketio.recovery_packets owner to ${role}`,
      "drop table socketio.recovery_packets",
    ],
    [
      `create function socketio._recovery_turn() returns int language sql as 'select 1';
      alter function socketio._recovery_turn() owner to ${role}`,
      "drop function socketio._recovery_turn()",
    ],
  ];
  for (const [set, unset] of traps) {
    await sql.unsafe(set);
    await refused();
    await sql.unsafe(unset);
  }
  const { code } = await runHere(["install-sql", "--recovery", "--uri", uri]);
  assert.equal(code, 0);
});
