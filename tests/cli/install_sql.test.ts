/** `install-sql`. */
import assert from "node:assert/strict";
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
