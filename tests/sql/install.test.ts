/** Installing the functions: who may, how often, and what it leaves alone. */
import assert from "node:assert/strict";
import postgres, { type Sql } from "postgres";
import { installSql, sqlText } from "../../src/sql.ts";
import { databaseUri } from "../support/database.ts";
import { connectSql, createDatabase, listenTo } from "../support/sql.ts";
import { createSqlDatabase } from "../support/sql_functions.ts";
import { type Scope, test } from "../support/test.ts";
import { until } from "../support/wait.ts";

let roles = 0;

/** A role without rights that may log in; it goes with the test. */
async function createRole(t: Scope): Promise<string> {
  const name = `role_${crypto.getRandomValues(new Uint32Array(2)).join("_")}_${roles++}`;
  const sql = connectSql(t, await databaseUri());
  await sql.unsafe(`create role ${name} login password 'role'`);
  t.after(() => sql.unsafe(`drop role if exists ${name}`));
  return name;
}

/** A connection of a role. */
function connectAs(t: Scope, uri: string, role: string): Sql {
  const own = new URL(uri);
  own.username = role;
  own.password = "role";
  const sql = postgres(own.href, { max: 1, fetch_types: false, onnotice: () => {} });
  t.after(() => sql.end({ timeout: 5 }));
  return sql;
}

/** A database that belongs to a role without other rights. */
async function createOwned(t: Scope) {
  const owner = await createRole(t);
  const { uri } = await createDatabase(t, await databaseUri(), `owner ${owner}`);
  return { uri, owner, sql: connectAs(t, uri, owner) };
}

/** What is in the schema, with the rights. */
async function contents(sql: Sql): Promise<unknown[]> {
  return [
    ...await sql`
      select proname, proacl::text, prosrc, proconfig from pg_proc
      where pronamespace = 'socketio'::regnamespace order by proname`,
  ];
}

test("the owner of a database installs it without being a superuser, again and again", async (t) => {
  const { sql } = await createOwned(t);
  await installSql(sql);
  const first = await contents(sql);
  await sql`select socketio.set_prefix('app')`;
  await installSql(sql);
  await sql.begin((tx) => installSql(tx));
  await sql.unsafe(sqlText());
  const again = await contents(sql);
  assert.equal(again.length, first.length);
  assert.equal((await sql`select socketio.version() as version`)[0]?.["version"], 1);
  assert.equal((await sql`select socketio.channel() as channel`)[0]?.["channel"], "app:/");
  const relations =
    await sql`select relname from pg_class where relnamespace = 'socketio'::regnamespace`;
  assert.deepEqual([...relations], []);
  await sql.unsafe("drop schema socketio cascade");
});

test("nobody else may call the functions until they are granted, and grants outlast an upgrade", async (t) => {
  // It goes after the database, where it has grants.
  const role = await createRole(t);
  const { uri, sql } = await createOwned(t);
  await installSql(sql);
  const other = connectAs(t, uri, role);
  const heard = await listenTo(t, uri, ["socket.io:/"]);
  await sql.unsafe(`grant usage on schema socketio to ${role}`);
  const functions = await sql<{ name: string }[]>`
    select oid::regprocedure::text as name from pg_proc where pronamespace = 'socketio'::regnamespace`;
  for (const { name } of functions) {
    const [row] = await sql`select has_function_privilege(${role}, ${name}, 'execute') as may`;
    assert.equal(row?.["may"], false, name);
  }
  await assert.rejects(other`select socketio.emit('x')`.execute(), { code: "42501" });

  await sql.unsafe(`grant execute on function socketio.emit to ${role}`);
  await other`select socketio.emit('granted')`;
  for (const upgrade of [installSql, (sql: Sql) => sql.unsafe(sqlText())]) {
    await upgrade(sql);
    await other`select socketio.emit('granted')`;
  }
  await until("all came", () => heard.length === 3);
  await assert.rejects(other`select socketio.try_emit('x')`.execute(), { code: "42501" });
  await assert.rejects(
    other`select socketio._send(3, 'emit', '[]', '{}', '{}', '/', '{}')`.execute(),
    { code: "42501" },
  );
  await assert.rejects(other`select socketio.set_secret(null)`.execute(), { code: "42501" });
  // Who may not replace them finds them there, and goes on.
  await installSql(other);
  await sql.unsafe(`revoke usage on schema socketio from ${role}`);
  await installSql(other);
});

test("eight processes install at once", async (t) => {
  const { uri, owner, sql } = await createOwned(t);
  const others = Array.from({ length: 8 }, () => connectAs(t, uri, owner));
  for (let round = 0; round < 5; round++) {
    await Promise.all(others.map((other) => installSql(other)));
  }
  const [row] = await sql`select count(*)::integer as count from pg_proc where proname = 'emit'`;
  assert.equal(row?.["count"], 1);
});

test("who waits for another that installs looks at the version afterwards", async (t) => {
  const { uri, owner, sql } = await createOwned(t);
  const other = connectAs(t, uri, owner);
  let waiting: Promise<void> | undefined;
  await sql.begin(async (tx) => {
    await installSql(tx);
    await tx.unsafe(
      "create or replace function socketio.version() returns integer language sql as 'select 1000'",
    );
    waiting = installSql(other);
    waiting.catch(() => {});
    await until("it waits", async () => {
      const [row] = await tx`select from pg_locks where locktype = 'advisory' and not granted
        and database = (select oid from pg_database where datname = current_database())`;
      return row !== undefined;
    });
  });
  await waiting;
  assert.equal((await sql`select socketio.version() as version`)[0]?.["version"], 1000);
});

test("functions of a later version are left alone, and what fails leaves nothing", async (t) => {
  const { sql } = await createOwned(t);
  await sql.unsafe(
    "create schema socketio; create function socketio.channel(wrong text) returns integer language sql as 'select 1'",
  );
  // The comment on "channel" is ambiguous then: the last of all statements.
  await assert.rejects(installSql(sql), { code: "42725" });
  assert.equal((await contents(sql)).length, 1);
  await sql.unsafe("drop schema socketio cascade");
  await installSql(sql);
  await sql.unsafe(
    "create or replace function socketio.version() returns integer language sql as 'select 1000'",
  );
  await sql.unsafe("drop function socketio.emit");
  await installSql(sql);
  assert.deepEqual([...await sql`select to_regproc('socketio.emit') as emit`], [{ emit: null }]);
});

test("every function has a search_path of its own, and objects of callers are not used", async (t) => {
  const { uri, sql } = await createSqlDatabase(t);
  const loose = await sql`
    select proname from pg_proc where pronamespace = 'socketio'::regnamespace
      and not coalesce('search_path=pg_catalog, pg_temp' = any (proconfig), false)`;
  assert.deepEqual([...loose], []);
  const heard = await listenTo(t, uri, ["socket.io:/"]);
  await sql.unsafe(`
    create schema evil;
    create function evil.pg_notify(text, text) returns void language sql as $$ select 1 / 0 $$;
    create function evil.to_jsonb(text) returns jsonb language sql as $$ select (1 / 0)::text::jsonb $$;
    create function evil.octet_length(text) returns integer language sql as $$ select 1 / 0 $$;
    set search_path = evil, pg_catalog`);
  await sql`select socketio.emit('safe')`;
  await until("it came", () => heard.length === 1);
});

/** What somebody who may create schemas has prepared, for `stranger` in place of the role. */
const TRAPS: Readonly<Record<string, string>> = {
  "the prefix": `
    create function socketio._default_prefix() returns text language plpgsql immutable
    as $$ begin raise exception 'trapped'; end $$`,
  "a version that is there": `
    create function socketio.version() returns integer language sql as 'select 1'`,
  "a later version": `
    create function socketio.version() returns integer language sql as 'select 999999999'`,
  "another function of the same name": `
    create function socketio._event(text, jsonb, text) returns text language plpgsql
    as $$ begin raise exception 'trapped'; end $$`,
  "the secret": `
    create view socketio.secret as select 'x'::text as key_id, ''::bytea as inner_pad,
      ''::bytea as outer_pad, (1 / 0 = 0) as encrypt`,
  "an empty schema": "",
};

for (const [what, trap] of Object.entries(TRAPS)) {
  test(`nothing is installed among what others have prepared: ${what}`, async (t) => {
    const stranger = await createRole(t);
    const { uri, owner, sql } = await createOwned(t);
    await sql.unsafe(`grant create on database ${new URL(uri).pathname.slice(1)} to ${stranger}`);
    const theirs = connectAs(t, uri, stranger);
    await theirs.unsafe(`create schema socketio; grant all on schema socketio to public; ${trap}`);
    const before = JSON.stringify(await contents(sql));
    for (const installer of [connectSql(t, uri), sql]) {
      for (const install of [installSql, (sql: Sql) => sql.unsafe(sqlText()).execute()]) {
        await assert.rejects(install(installer), (error: Error & Record<string, string>) => {
          assert.equal(error.code, "42501");
          assert.match(
            error.message,
            /^Cannot install .* schema socketio, .* belongs to others: role_/,
          );
          assert.match(error.detail ?? "", new RegExp(`schema socketio of ${stranger}`));
          assert.match(error.hint ?? "", /drop schema socketio cascade/i);
          return true;
        });
      }
    }
    assert.equal(JSON.stringify(await contents(sql)), before);
    // Nor when the schema itself is one's own.
    await connectSql(t, uri).unsafe(`alter schema socketio owner to ${owner}`);
    await sql.unsafe("revoke all on schema socketio from public");
    if (trap === "") return await installSql(sql);
    await assert.rejects(installSql(sql), { code: "42501", detail: new RegExp(stranger) });
    await sql.unsafe("drop schema socketio cascade");
    await installSql(sql);
    await sql`select socketio.emit('installed')`;
  });
}

test("operators that others have made for the types of the catalog are not used", async (t) => {
  const role = await createRole(t);
  const { uri, sql } = await createOwned(t);
  // As up to PostgreSQL 14, where everybody may.
  await sql.unsafe("grant create on schema public to public");
  const theirs = connectAs(t, uri, role);
  const catalog = [
    "oid",
    "regnamespace",
    "regproc",
    "regprocedure",
    "regrole",
    "integer",
    "bigint",
  ];
  for (const [i, left] of catalog.entries()) {
    for (const [j, right] of catalog.entries()) {
      const name = `public.trap_${i}_${j}`;
      await theirs.unsafe(`
        create function ${name}(${left}, ${right}) returns boolean language plpgsql as $$
        begin raise exception 'trapped by ${left}, ${right}'; end $$`);
      for (const operator of ["=", "<>", "<", ">"]) {
        await theirs.unsafe(
          `create operator public.${operator} (leftarg = ${left}, rightarg = ${right}, function = ${name})`,
        );
      }
    }
  }
  for (const install of [installSql, (sql: Sql) => sql.unsafe(sqlText()).execute()]) {
    await install(sql);
    await sql`select socketio.set_secret('a secret of the servers')`;
  }
  await sql`select socketio.emit('installed')`;
});

test("nothing is installed where others may create functions beside it", async (t) => {
  const role = await createRole(t);
  const { sql } = await createOwned(t);
  await sql.unsafe("create schema socketio");
  for (const other of ["public", role]) {
    await sql.unsafe(`grant create on schema socketio to ${other}`);
    await assert.rejects(installSql(sql), {
      code: "42501",
      message: new RegExp(`others may create functions in schema socketio: ${other}`),
      hint: `REVOKE CREATE ON SCHEMA socketio FROM ${other}`,
    });
    await sql.unsafe(`revoke create on schema socketio from ${other}`);
  }
  await installSql(sql);
  await sql`select socketio.emit('installed')`;
});

test("a superuser leaves alone what the owner of the database has installed, and says as whom to go on", async (t) => {
  const { uri, owner, sql } = await createOwned(t);
  await installSql(sql);
  const admin = connectSql(t, uri);
  const before = await contents(sql);
  await installSql(admin);
  await assert.rejects(admin.unsafe(sqlText()).execute(), {
    code: "42501",
    hint: new RegExp(`set role ${owner}`, "i"),
  });
  await admin.begin(async (tx) => {
    await tx.unsafe(`set local role ${owner}`);
    await tx.unsafe(sqlText());
  });
  assert.deepEqual(await contents(sql), before);
  const [row] = await sql`select count(*)::integer as count from pg_proc
    where pronamespace = 'socketio'::regnamespace and proowner <> current_user::regrole`;
  assert.equal(row?.["count"], 0);
});
