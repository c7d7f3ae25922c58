// The PostgreSQL that the tests and the demo start leaves nothing behind, however its process ends.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import postgres from "postgres";
import { startPostgres } from "../support/postgres.ts";
import { runtime } from "../support/runtime.ts";
import { test } from "../support/test.ts";
import { next, until } from "../support/wait.ts";

/** The folder that holds all that a server wrote. */
async function folderOf(uri: string): Promise<string> {
  const sql = postgres(uri, { max: 1 });
  const [row] = await sql<{ data_directory: string }[]>`show data_directory`;
  await sql.end();
  assert.ok(row !== undefined);
  return dirname(row.data_directory);
}

test("stop() ends the server with clients connected, and removes its data", async ({ after }) => {
  const server = await startPostgres();
  after(() => server.stop());
  const folder = await folderOf(server.uri);
  const sql = postgres(server.uri, { max: 1, onclose: () => {} });
  await sql`select 1`;
  assert.equal(existsSync(folder), true);
  await Promise.all([server.stop(), server.stop()]);
  assert.equal(existsSync(folder), false);
  await assert.rejects(sql`select 1`);
  await sql.end({ timeout: 0 });
}, { deadline: 60_000 });

test("a process that is killed takes its server along", async ({ after }) => {
  const script = fileURLToPath(new URL("./fixtures/keeps_postgres.ts", import.meta.url));
  const args = runtime === "deno" ? ["run", "-A", "--no-check", script] : [script];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  after(() => child.kill("SIGKILL"));
  const [output] = await next<[Buffer]>(child.stdout, "data", 60_000);
  const folder = await folderOf(output.toString().trim());
  assert.equal(existsSync(folder), true);
  child.kill("SIGKILL");
  await until("the server's folder is gone", () => !existsSync(folder), 30_000);
}, { deadline: 120_000 });

test("a server that cannot start says why, and what to do", async () => {
  await assert.rejects(startPostgres({ settings: { max_connections: "many" } }), (error: Error) => {
    assert.match(error.message, /invalid value for parameter "max_connections": "many"/);
    assert.match(error.message, /set DATABASE_URL to use a PostgreSQL of yours/);
    return true;
  });
  await assert.rejects(
    startPostgres({ bin: "/does/not/exist" }),
    /\/does\/not\/exist.*DATABASE_URL/s,
  );
}, { deadline: 60_000 });
