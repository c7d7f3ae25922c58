/**
 * The two connections when they are lost: what the link, the publisher and the listener promise by themselves.
 */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import type { Sql } from "postgres";
import { pgAdapter } from "../../mod.ts";
import { createCluster } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { muteServer } from "../support/mute_server.ts";
import { connectSql } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";
import { next, until } from "../support/wait.ts";

/** Ends the backends of an adapter, the listening or the publishing one. */
async function terminate(sql: Sql, kind: "listen" | "publish", uid: string): Promise<void> {
  const rows =
    await sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = ${`socketio-pg:${kind}:${uid}`}`;
  assert.equal(rows.length, 1);
}

for (const kind of ["listen", "publish"] as const) {
  test(`an adapter whose ${kind}ing backend is terminated connects again, and is heard and hears`, async (t) => {
    const cluster = await createCluster(t);
    const sql = connectSql(t, cluster.uri);
    const adapter = cluster.adapter(0);
    const lost = next(adapter, "disconnect");
    const back = next(adapter, "reconnect");
    await terminate(sql, kind, adapter.stats().uid);
    const [error] = await lost;
    assert.equal((error as { code?: string }).code, "CONNECTION_LOST");
    await back;
    cluster.io(0).emit("from", 0);
    cluster.io(1).emit("from", 1);
    const [atZero, atOne] = await cluster.received("from");
    assert.deepEqual(atZero, [[0], [1]]);
    assert.deepEqual(new Set(atOne?.flat()), new Set([0, 1]));
  });
}

test("what is published while its backend is terminated over and over arrives once, in order", async (t) => {
  const cluster = await createCluster(t, { size: 2 });
  const sql = connectSql(t, cluster.uri);
  const { uid } = cluster.adapter(0).stats();
  let sent = 0;
  for (let kill = 0; kill < 10; kill++) {
    for (let i = 0; i < 200; i++) cluster.io(0).emit("n", sent++, "x".repeat(i * 20));
    await until("the publisher is connected", () => cluster.adapter(0).stats().phase === "ready");
    const gone = next(cluster.adapter(0), "disconnect");
    await terminate(sql, "publish", uid);
    await gone;
  }
  const [, received] = await cluster.received("n");
  assert.deepEqual(received?.map(([n]) => n), Array.from({ length: sent }, (_, n) => n));
});

test("a server that accepts and says nothing is given up in time, told once, and tried again", async (t) => {
  const { port, sockets } = await muteServer(t);
  const adapter = pgAdapter(`postgresql://u@127.0.0.1:${port}/d`, { connectTimeout: 50 });
  const errors: { code: string; message: string }[] = [];
  adapter.on("error", (error) => errors.push(error));
  t.after(() => adapter.close());
  await assert.rejects(adapter.ready(), {
    code: "CONNECT_FAILED",
    message: /no answer within 50 ms/,
  });
  // The second rejection is that of a later attempt.
  await assert.rejects(adapter.ready(), { code: "CONNECT_FAILED" });
  assert.equal(errors.length, 1);
  await adapter.close();
  await until("no socket is left", () => sockets.size === 0);
});

test("a server that closes each connection at once is tried with patience", async (t) => {
  let attempts = 0;
  const server = createServer((socket) => {
    attempts++;
    socket.on("error", () => {});
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const adapter = pgAdapter(
    `postgresql://u@127.0.0.1:${(server.address() as { port: number }).port}/d`,
  );
  adapter.on("error", () => {});
  t.after(() => adapter.close());
  const start = performance.now();
  for (let i = 0; i < 6; i++) await assert.rejects(adapter.ready(), { code: "CONNECT_FAILED" });
  const seconds = (performance.now() - start) / 1_000;
  // Two connections, each with at most six attempts in the first second and two in each later one.
  assert.ok(attempts <= 2 * (7 + 2 * seconds), `${attempts} attempts in ${seconds} s`);
});

test("several hosts are tried in turn until one accepts", async (t) => {
  const { port } = await muteServer(t);
  const url = new URL(await databaseUri());
  const uri = `postgresql://${url.username}${
    url.password && `:${url.password}`
  }@127.0.0.1:${port},${url.hostname}:${url.port || 5432}${url.pathname}`;
  const adapter = pgAdapter(uri, { connectTimeout: 100 });
  adapter.on("error", () => {});
  t.after(() => adapter.close());
  await until("it is ready", () => adapter.ready().then(() => true, () => false));
});

test("adapters that listen and publish in different databases say so", async (t) => {
  const uri = await databaseUri();
  const other = new URL(uri);
  other.pathname = "/template1";
  const adapter = pgAdapter({ listen: uri, publish: other, statementTimeout: 300 });
  adapter.on("error", () => {});
  t.after(() => adapter.close());
  await assert.rejects(adapter.ready(), { code: "NO_LOOPBACK", message: /the same database/ });
});

test("LISTEN that does not deliver, as behind a transaction pooler, is an error that says so", async (t) => {
  // What such a pooler does to LISTEN, done by the session itself: the channel is forgotten at once.
  const uri = await databaseUri();
  const sql = connectSql(t, uri);
  const adapter = pgAdapter(uri, { statementTimeout: 300, prefix: "deaf" });
  adapter.on("error", () => {});
  t.after(() => adapter.close());
  const proxy = await unlisteningProxy(t, uri);
  const deaf = pgAdapter(proxy, { statementTimeout: 300, prefix: "deaf" });
  deaf.on("error", () => {});
  t.after(() => deaf.close());
  await adapter.ready();
  await assert.rejects(deaf.ready(), { code: "NO_LOOPBACK", message: /pooler/ });
  await sql`select 1`;
});

/** A proxy that turns `listen` into `select`: the server answers, and delivers nothing. */
async function unlisteningProxy(t: Scope, uri: string): Promise<string> {
  const { connect } = await import("node:net");
  const target = new URL(uri);
  const server = createServer((downstream) => {
    const upstream = connect(Number(target.port || 5432), target.hostname);
    downstream.on("data", (data) => {
      const text = data.toString("latin1");
      upstream.write(Buffer.from(text.replaceAll(/listen "/g, 'notify "'), "latin1"));
    });
    upstream.on("data", (data) => downstream.write(data));
    for (const [a, b] of [[downstream, upstream], [upstream, downstream]] as const) {
      a.on("error", () => {});
      a.on("close", () => b.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const proxied = new URL(uri);
  proxied.hostname = "127.0.0.1";
  proxied.port = String((server.address() as { port: number }).port);
  return String(proxied);
}
