/** Row 37: certificates, passwords and tokens that are wrong, and put right while the adapter goes on trying. */
import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { pgAdapter } from "../../mod.ts";
import { uniquePrefix } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { FaultProxy } from "../support/fault_proxy.ts";
import { record } from "../support/figures.ts";
import { startPostgres } from "../support/postgres.ts";
import { connectSql } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";
import { certificate, otherAuthority, startTlsProxy } from "../support/tls_proxy.ts";
import { next, until } from "../support/wait.ts";

/** The longest wait between two attempts, and a slow machine. */
const BACK_MS = 1_330 + 1_500;

/** An adapter that fails, with the codes of its errors. */
function failing(t: Scope, target: string | postgres.Sql) {
  const adapter = pgAdapter(target, { prefix: uniquePrefix() });
  const codes: string[] = [];
  adapter.on("error", ({ code }) => codes.push(code));
  t.after(() => adapter.close());
  return { adapter, codes };
}

/** It fails a few times and tells it once; then the cause is put right, and it comes up by itself. */
async function recovers(
  { adapter, codes }: ReturnType<typeof failing>,
  fault: string,
  expected: { code: string; message: RegExp },
  repair: () => unknown,
): Promise<void> {
  for (let attempt = 0; attempt < 3; attempt++) await assert.rejects(adapter.ready(), expected);
  assert.deepEqual(codes, [expected.code]);
  const ready = next(adapter, "ready");
  await repair();
  const start = performance.now();
  await ready;
  const back = performance.now() - start;
  record(37, { fault, back });
  assert.ok(back < BACK_MS, `${back} ms`);
  assert.deepEqual(codes, [expected.code]);
}

test("row 37: an authority that is not the server's is replaced by the right one", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "socketio-pg-tls-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "root.crt");
  copyFileSync(otherAuthority, file);
  const proxy = await startTlsProxy(t, await databaseUri());
  const uri = `${proxy.uri("localhost")}?sslmode=verify-full&sslrootcert=${file}`;
  await recovers(
    failing(t, uri),
    "wrong authority",
    { code: "CONNECT_FAILED", message: /TLS failed.*sslrootcert/ },
    () => copyFileSync(certificate, file),
  );
  assert.ok(proxy.encrypted() >= 2);
});

test("row 37: a password that has expired is valid again", async (t) => {
  const server = await startPostgres({ auth: "scram-sha-256" });
  t.after(() => server.stop());
  const sql = connectSql(t, server.uri);
  await sql`create role clock login password 'tick' valid until 'yesterday'`;
  const uri = new URL(server.uri);
  [uri.username, uri.password] = ["clock", "tick"];
  await recovers(
    failing(t, uri.href),
    "expired password",
    { code: "AUTHENTICATION_FAILED", message: /user "clock".*check the user, the password/ },
    () => sql`alter role clock valid until 'infinity'`,
  );
}, { deadline: 60_000 });

test("row 37: a token function that rejects, hangs and works again, at start and later", async (t) => {
  const proxy = await FaultProxy.start(await databaseUri());
  t.after(() => proxy.close());
  let asked = 0;
  let token = (): Promise<string> => Promise.reject(new Error("the token service is away"));
  const target = postgres(proxy.uri, {
    pass: () => {
      asked++;
      return token();
    },
  });
  const failure = failing(t, target);
  const { adapter, codes } = failure;
  const away = { code: "AUTHENTICATION_FAILED", message: /the token service is away/ };
  const good = () => token = () => Promise.resolve("good");
  await recovers(failure, "token function", away, good);
  assert.ok(asked >= 5, "it is asked for each attempt");

  token = () => Promise.reject(new Error("the token service is away"));
  const lost = next(adapter, "disconnect");
  proxy.cut();
  await lost;
  const refused = () => codes.filter((code) => code === "AUTHENTICATION_FAILED").length;
  await until("it is told", () => refused() === 2);
  const before = asked;
  await until("both connections have asked again", () => asked >= before + 4);
  const back = next(adapter, "reconnect");
  good();
  await back;
  assert.equal(refused(), 2);
});
