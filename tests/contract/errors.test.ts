import assert from "node:assert/strict";
import {
  type AddressInfo,
  connect,
  createServer,
  type Server as TcpServer,
  type Socket,
} from "node:net";
import { pgAdapter, PgAdapterError, type PgAdapterOptions } from "../../mod.ts";
import { createNode, knowEachOther, uniquePrefix } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { startPostgres } from "../support/postgres.ts";
import { createDatabase } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";
import { next, until, within } from "../support/wait.ts";

const SECRET = "sekret-w0rd";

/** Nowhere in an error, its cause or what a log shows of it. */
function assertSecret(error: unknown): void {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const shown = [at.message, at.stack, JSON.stringify(at)].join("\n");
    assert.ok(!shown.includes(SECRET), shown);
  }
}

/**
 * Expects that `ready()` rejects with this code, that further attempts tell nothing new, that a server works locally
 * meanwhile, and that closing is quick.
 */
async function failsToConnect(
  t: Scope,
  uri: string,
  code: string,
  message: RegExp,
  options: PgAdapterOptions = {},
): Promise<PgAdapterError> {
  const adapter = pgAdapter(uri, { prefix: uniquePrefix(), ...options });
  const errors: PgAdapterError[] = [];
  adapter.on("error", (error) => errors.push(error));
  const node = await createNode(adapter);
  t.after(() => node.close());
  const failures: unknown[] = [];
  for (let attempt = 0; attempt < 3; attempt++) {
    const ready = adapter.ready().then(() => undefined, (failure: unknown) => failure);
    failures.push(await within(10_000, `attempt ${attempt}`, ready));
  }
  for (const failure of failures) {
    assert.ok(failure instanceof PgAdapterError, String(failure));
    assert.equal(failure.code, code, failure.message);
    assert.match(failure.message, message);
    assertSecret(failure);
  }
  assert.equal(errors.length, 1, errors.map(String).join("; "));
  assert.equal(errors[0]?.code, code);
  assert.equal(adapter.stats().phase, "connecting");
  await within(2_000, "closing", adapter.close());
  return errors[0] as PgAdapterError;
}

/** A TCP server on a free port that does something with each connection. */
async function listen(t: Scope, take: (socket: Socket) => void, port = 0): Promise<number> {
  const sockets = new Set<Socket>();
  const server: TcpServer = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    take(socket);
  });
  server.listen(port, "127.0.0.1");
  await next(server, "listening");
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

test("nobody listens at the address: CONNECT_FAILED, which names it", async (t) => {
  const uri = `postgresql://someone:${SECRET}@127.0.0.1:1/somewhere`;
  const error = await failsToConnect(t, uri, "CONNECT_FAILED", /127\.0\.0\.1:1\b/);
  assert.match(error.message, /somewhere/);
  assert.match(error.message, /someone/);
  assert.ok(error.cause instanceof Error);
});

test("a server that says nothing: CONNECT_FAILED in time", async (t) => {
  const port = await listen(t, () => {});
  const uri = `postgresql://u:${SECRET}@127.0.0.1:${port}/db`;
  await failsToConnect(t, uri, "CONNECT_FAILED", /300 ms/, { connectTimeout: 300 });
});

test("a server that hangs up at once: CONNECT_FAILED", async (t) => {
  const port = await listen(t, (socket) => socket.end());
  await failsToConnect(t, `postgresql://u:${SECRET}@127.0.0.1:${port}/db`, "CONNECT_FAILED", /./);
});

test("a server that is no PostgreSQL: CONNECT_FAILED, and nothing is thrown", async (t) => {
  const port = await listen(t, (socket) => {
    socket.write("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    socket.end();
  });
  const uri = `postgresql://u:${SECRET}@127.0.0.1:${port}/db`;
  await failsToConnect(t, uri, "CONNECT_FAILED", /./, { connectTimeout: 500 });
});

test("a database that does not exist: CONNECT_FAILED, which names it", async (t) => {
  const uri = new URL(await databaseUri());
  uri.pathname = "/no_such_database";
  await failsToConnect(t, uri.href, "CONNECT_FAILED", /no_such_database/);
});

test("TLS that the server does not have: CONNECT_FAILED", async (t) => {
  // What PostgreSQL answers to the request for TLS when it has none.
  const port = await listen(t, (socket) => socket.once("data", () => socket.write("N")));
  const uri = `postgresql://u:${SECRET}@127.0.0.1:${port}/db?sslmode=require`;
  await failsToConnect(t, uri, "CONNECT_FAILED", /does not support TLS/);
});

test("a database of another encoding: NOT_UTF8, with the encoding and the remedy", async (t) => {
  const own = await createDatabase(
    t,
    await databaseUri(),
    "encoding 'SQL_ASCII' template template0",
  );
  const error = await failsToConnect(t, own.uri, "NOT_UTF8", /SQL_ASCII/);
  assert.match(error.message, /UTF8/);
});

test("a wrong user or password: AUTHENTICATION_FAILED, without the password", async (t) => {
  const server = await startPostgres({ auth: "scram-sha-256" });
  t.after(() => server.stop());
  const uri = new URL(server.uri);
  const right = pgAdapter(uri.href, { prefix: uniquePrefix() });
  await right.ready();
  await right.close();
  uri.password = SECRET;
  await failsToConnect(t, uri.href, "AUTHENTICATION_FAILED", /postgres/);
  uri.username = "nobody";
  await failsToConnect(t, uri.href, "AUTHENTICATION_FAILED", /nobody/);
  uri.password = "";
  await failsToConnect(t, uri.href, "AUTHENTICATION_FAILED", /nobody/);
}, { deadline: 90_000 });

test("an address that works later: the adapter goes on trying, and sends what waited", async (t) => {
  const database = new URL(await databaseUri());
  const uri = new URL(database.href);
  const prefix = uniquePrefix();
  const witness = await createNode(pgAdapter(database.href, { prefix }));
  t.after(() => witness.close());
  await witness.adapter.ready();

  // Nobody listens there yet: a port that was just free, and is taken again below.
  const free = await freePort();
  uri.port = String(free);
  const adapter = pgAdapter(uri.href, { prefix });
  const codes: string[] = [];
  adapter.on("error", (error) => codes.push(error.code));
  const node = await createNode(adapter);
  t.after(() => node.close());
  await assert.rejects(adapter.ready(), { code: "CONNECT_FAILED" });
  const early = next(witness.io, "early");
  node.io.serverSideEmit("early", "bird");

  await listen(t, (socket) => {
    const upstream = connect(Number(database.port), database.hostname);
    upstream.on("error", () => socket.destroy());
    socket.on("close", () => upstream.destroy());
    upstream.on("close", () => socket.destroy());
    socket.pipe(upstream).pipe(socket);
  }, free);
  await until("it is ready", () => adapter.ready().then(() => true, () => false));
  await knowEachOther([witness, node]);
  assert.deepEqual(await early, ["bird"]);
  assert.deepEqual(codes, ["CONNECT_FAILED"]);
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await next(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await next(server, "close");
  return port;
}

test("errors that nobody listens to are logged, once of each kind, and end nothing", async (t) => {
  const logged: string[] = [];
  const { error } = console;
  console.error = (...args: unknown[]) => logged.push(args.map(String).join(" "));
  t.after(() => console.error = error);
  const uri = `postgresql://u:${SECRET}@127.0.0.1:1/db`;
  const adapter = pgAdapter(uri, { prefix: uniquePrefix(), maxPayload: 1_000 });
  const node = await createNode(adapter);
  t.after(() => node.close());
  await assert.rejects(adapter.ready());
  await assert.rejects(adapter.ready());
  for (let i = 0; i < 3; i++) node.io.emit("large", "x".repeat(2_000));
  assert.equal(logged.filter((line) => line.includes("CONNECT_FAILED")).length, 1);
  assert.equal(logged.filter((line) => line.includes("PAYLOAD_TOO_LARGE")).length, 1);
  assert.equal(logged.length, 2);
  assert.ok(!logged.join().includes(SECRET));
});
