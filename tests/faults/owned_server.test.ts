/** The server that a test owns: ended, started again, crashed, followed and replaced. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import postgres from "postgres";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { type Scope, test } from "../support/test.ts";
import { until } from "../support/wait.ts";

/** Runs one statement on a connection of its own; none is tried twice. */
async function ask(uri: string, text: string): Promise<Record<string, unknown>[]> {
  const sql = postgres(uri, { max: 1, fetch_types: false, onnotice: () => {} });
  try {
    return [...await sql.unsafe(text)];
  } finally {
    await sql.end({ timeout: 1 });
  }
}

async function own(t: Scope, standbyOf?: PostgresServer): Promise<PostgresServer> {
  const server = await startPostgres(standbyOf === undefined ? {} : { standbyOf });
  t.after(() => server.stop());
  return server;
}

test("a server is ended and started again on the same port, with its data", async (t) => {
  const server = await own(t);
  await ask(server.uri, "create table kept as select 1 as n");
  for (const mode of ["fast", "immediate"] as const) {
    await server.halt(mode);
    await assert.rejects(ask(server.uri, "select 1"), { code: "ECONNREFUSED" });
    await server.start();
    assert.deepEqual(await ask(server.uri, "select n from kept"), [{ n: 1 }]);
    await server.restart(mode);
    assert.deepEqual(await ask(server.uri, "select n from kept"), [{ n: 1 }]);
  }
}, { deadline: 60_000 });

test("a server that is stopped while it is halted leaves nothing behind", async (t) => {
  const server = await own(t);
  const [row] = await ask(server.uri, "show data_directory");
  await server.halt();
  assert.ok(existsSync(String(row?.data_directory)));
  await server.stop();
  assert.ok(!existsSync(String(row?.data_directory)));
}, { deadline: 60_000 });

test("a process of it is killed, and it recovers by itself", async (t) => {
  const server = await own(t);
  const sql = postgres(server.uri, { max: 1, fetch_types: false });
  t.after(() => sql.end({ timeout: 0 }));
  const [row] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`;
  const killed = assert.rejects(sql`select pg_sleep(60)`);
  server.killBackend(row?.pid ?? 0);
  await killed;
  await until("it answers", () => ask(server.uri, "select 1").then(() => true, () => false));
}, { deadline: 60_000 });

test("a standby follows its primary, and takes over", async (t) => {
  const primary = await own(t);
  await ask(primary.uri, "create table followed as select 1 as n");
  const standby = await own(t, primary);
  assert.deepEqual(await ask(standby.uri, "select pg_is_in_recovery() as r"), [{ r: true }]);
  await ask(primary.uri, "insert into followed values (2)");
  await until(
    "the change has come",
    async () => (await ask(standby.uri, "select n from followed")).length === 2,
  );
  await primary.halt();
  await standby.promote();
  await ask(standby.uri, "insert into followed values (3)");
  assert.equal((await ask(standby.uri, "select n from followed")).length, 3);
}, { deadline: 90_000 });
