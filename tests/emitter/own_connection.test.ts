import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import postgres from "postgres";
import { Emitter, type PgAdapterError } from "../../src/emitter.ts";
import type { Cluster } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { both, emitterTo, receivedBy, twoServers } from "../support/emitting.ts";
import { FaultProxy } from "../support/fault_proxy.ts";
import { muteServer } from "../support/mute_server.ts";
import { startPostgres } from "../support/postgres.ts";
import { connectSql, createDatabase } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";
import { certificate, startTlsProxy } from "../support/tls_proxy.ts";
import { until } from "../support/wait.ts";

/** Two servers, and an emitter with a proxy between it and PostgreSQL. */
async function behindProxy(t: Scope, options = {}) {
  const cluster = await twoServers(t);
  const proxy = await FaultProxy.start(cluster.uri);
  t.after(() => proxy.close());
  const emitter = emitterTo(t, cluster, proxy.uri, options);
  return { cluster, proxy, emitter };
}

/** Requires an error with a code, a sentence, and no password. */
function is(code: PgAdapterError["code"], message: RegExp) {
  return (error: PgAdapterError) => {
    assert.equal(error.code, code, String(error));
    assert.match(error.message, message);
    for (let each: unknown = error; each instanceof Error; each = each.cause) {
      assert.doesNotMatch(each.message, /p4ssword/);
    }
    return true;
  };
}

async function numbersAt(cluster: Cluster): Promise<unknown[][]> {
  return (await receivedBy(cluster, "n")).map((each) => each.map(([n]) => n));
}

test("an outage rejects what is emitted, and the first emit after it works", async (t) => {
  const { cluster, proxy, emitter } = await behindProxy(t);
  await emitter.emit("n", 1);
  assert.equal(proxy.accepted, 1);
  await proxy.refuse();
  proxy.cut();
  const lost = Array.from({ length: 3_000 }, () => emitter.emit("never", "x".repeat(200)));
  for (const [i, result] of (await Promise.allSettled(lost)).entries()) {
    assert.equal(result.status, "rejected");
    // The first statement may be what shows that the connection is gone.
    const isFirst = (result.reason as PgAdapterError).code === "CONNECTION_LOST";
    assert.ok(!isFirst || i < 2_000);
    if (!isFirst) is("CONNECT_FAILED", /check that PostgreSQL runs/)(result.reason);
  }
  for (let n = 0; n < 20; n++) emitter.emit("never and unheard");
  await emitter.flush();
  await proxy.accept();
  await emitter.emit("n", 2);
  await emitter.batch((batch) => void batch.emit("n", 3));
  assert.deepEqual(await numbersAt(cluster), both([1, 2, 3]));
  assert.deepEqual(await receivedBy(cluster, "never"), both([]));
});

test("a connection that was closed while nobody used it is made anew", async (t) => {
  const { cluster, proxy, emitter } = await behindProxy(t);
  for (const [n, how] of [[1, "fin"], [2, "rst"], [3, "fin"]] as const) {
    await emitter.emit("n", n);
    assert.equal(proxy.cut(how), 1);
    await until("it is closed", () => proxy.open === 0);
    // The driver hears of it in its own time.
    await until("it works again", () => emitter.emit("m", n).then(() => true, () => false));
  }
  await emitter.emit("n", 4);
  assert.deepEqual(await numbersAt(cluster), both([1, 2, 3, 4]));
  assert.ok(proxy.accepted <= 8, `${proxy.accepted} connections`);
});

test("what was under way when a connection is lost is rejected once, and not repeated", async (t) => {
  const { cluster, proxy, emitter } = await behindProxy(t);
  await emitter.emit("n", 1);
  for (const how of ["fin", "rst"] as const) {
    proxy.cutOn({ on: "under way", at: "before", how });
    await assert.rejects(emitter.emit("n", "under way"), is("CONNECTION_LOST", /not known/));
    proxy.pass();
  }
  await emitter.emit("n", 2);
  assert.deepEqual(await numbersAt(cluster), both([1, 2]));
});

test("a server that hangs up during the start is not called again and again", async (t) => {
  const { cluster, proxy } = await behindProxy(t);
  for (const how of ["fin", "rst"] as const) {
    const emitter = emitterTo(t, cluster, proxy.uri);
    proxy.turnAway(how);
    const before = proxy.accepted;
    for (let n = 0; n < 5; n++) {
      await assert.rejects(emitter.emit("never"), is("CONNECT_FAILED", /127.0.0.1:\d+, database/));
    }
    assert.ok(proxy.accepted - before <= 30, `${proxy.accepted - before} connections`);
    await proxy.accept();
    await emitter.emit("n", how);
  }
  assert.deepEqual(await numbersAt(cluster), both(["fin", "rst"]));
});

test("a server that takes the first packet and hangs up is not called again and again", async (t) => {
  let connections = 0;
  const server = createServer((socket: Socket) => {
    connections++;
    socket.on("error", () => {});
    socket.once("data", () => socket.end());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const { port } = server.address() as { port: number };
  for (const query of ["", "?sslmode=require"]) {
    const uri = `postgresql://u:p4ssword@127.0.0.1:${port}/db${query}`;
    const emitter = new Emitter(uri, { connectTimeout: 2_000 });
    t.after(() => emitter.close());
    const before = connections;
    await assert.rejects(emitter.emit("never"), is("CONNECT_FAILED", /closed/));
    await emitter.close();
    assert.ok(connections - before <= 6, `${connections - before} connections`);
  }
});

test("a server that says nothing is given up after connectTimeout", async (t) => {
  const { port, sockets } = await muteServer(t);
  const uri = `postgresql://u:p4ssword@127.0.0.1:${port}/db`;
  const emitter = new Emitter(uri, { connectTimeout: 300 });
  t.after(() => emitter.close());
  const start = performance.now();
  await assert.rejects(emitter.emit("never"), is("CONNECT_FAILED", /within 300 ms/));
  const ms = performance.now() - start;
  assert.ok(ms > 250 && ms < 3_000, `${ms} ms`);
  await until("its socket is closed", () => sockets.size === 0);
});

test("a connection that falls silent is given up after statementTimeout", async (t) => {
  const { cluster, proxy, emitter } = await behindProxy(t, { statementTimeout: 500 });
  await emitter.emit("n", 1);
  proxy.blackhole();
  await assert.rejects(emitter.emit("never"), is("CONNECTION_LOST", /500 ms/));
  proxy.pass();
  await emitter.emit("n", 2);
  assert.deepEqual(await numbersAt(cluster), both([1, 2]));
});

test("close() ends in time when the server is silent, and rejects what waits", async (t) => {
  const { proxy, emitter } = await behindProxy(t, { closeTimeout: 300 });
  await emitter.emit("n", 1);
  proxy.blackhole();
  const waiting = [1, 2, 3].map(() => assert.rejects(emitter.emit("never"), { code: "CLOSED" }));
  const start = performance.now();
  await emitter.close();
  const ms = performance.now() - start;
  assert.ok(ms < 4_000, `${ms} ms`);
  await Promise.all(waiting);
  proxy.pass();
});

test("a server that restarts is used again", async (t) => {
  const server = await startPostgres();
  t.after(() => server.stop());
  const emitter = new Emitter(server.uri);
  t.after(() => emitter.close());
  await emitter.emit("hello");
  for (const mode of ["fast", "immediate"] as const) {
    await server.halt(mode);
    await assert.rejects(emitter.emit("lost"), (error: PgAdapterError) => {
      assert.match(error.code, /^(CONNECT_FAILED|CONNECTION_LOST)$/);
      return true;
    });
    await server.start();
    await emitter.emit("hello");
  }
}, { deadline: 60_000 });

test("a wrong password, database or encoding is said, without the password", async (t) => {
  const server = await startPostgres({ auth: "scram-sha-256" });
  t.after(() => server.stop());
  const own = (change: (uri: URL) => void) => {
    const uri = new URL(server.uri);
    change(uri);
    const emitter = new Emitter(uri);
    t.after(() => emitter.close());
    return emitter.emit("never");
  };
  const right = new Emitter(server.uri);
  await right.emit("hello");
  await right.close();
  await assert.rejects(
    own((uri) => uri.password = "p4ssword"),
    is("AUTHENTICATION_FAILED", /password authentication failed.*check the user/),
  );
  await assert.rejects(own((uri) => uri.pathname = "/nowhere"), is("CONNECT_FAILED", /"nowhere"/));
  const options = "encoding 'LATIN1' locale 'C' template template0";
  const latin = await createDatabase(t, server.uri, options);
  await assert.rejects(own((uri) => uri.pathname = latin.name), is("NOT_UTF8", /LATIN1/));
}, { deadline: 60_000 });

test("of several hosts the next one is tried, also when one is a standby", async (t) => {
  const cluster = await twoServers(t);
  const { host } = new URL(cluster.uri);
  const standby = await startPostgres({ standby: true });
  t.after(() => standby.stop());
  const several = new URL(cluster.uri);
  const uri = several.href.replace(host, `127.0.0.1:1,127.0.0.1:${standby.port},${host}`);
  const emitter = emitterTo(t, cluster, uri);
  await emitter.emit("n", 1);
  await emitter.emit("n", 2);
  assert.deepEqual(await numbersAt(cluster), both([1, 2]));
  const alone = emitterTo(t, cluster, standby.uri);
  await assert.rejects(alone.emit("never"), is("STANDBY", /primary/));
}, { deadline: 60_000 });

test("TLS is what the connection string says", async (t) => {
  const cluster = await twoServers(t);
  const proxy = await startTlsProxy(t, cluster.uri);
  const over = (mode: string) => emitterTo(t, cluster, `${proxy.uri("localhost")}?sslmode=${mode}`);
  await over("require").emit("n", 1);
  assert.equal(proxy.encrypted(), 1);
  await assert.rejects(
    over("verify-full").emit("never"),
    is("CONNECT_FAILED", /cert|issuer|trust/i),
  );
  assert.deepEqual(await numbersAt(cluster), both([1]));
  const own = proxy.uri("localhost").replace("//postgres@", "//postgres:p4ssword@");
  for (const option of ["sslrootcert", "sslcert", "sslkey"]) {
    const file = `${own}?sslmode=verify-full&${option}=${certificate.pathname}`;
    const remedy = `leave "${option}" out and give it an instance, postgres(uri, { ssl: { ca } })`;
    assert.throws(() => new Emitter(file), (error: PgAdapterError) => {
      assert.ok(error.message.includes(remedy), error.message);
      return is("INVALID_URI", /reads no files/)(error);
    });
  }
  const ca = readFileSync(certificate, "utf8");
  const sql = postgres(own, { max: 1, ssl: { ca }, onnotice: () => {} });
  t.after(() => sql.end({ timeout: 5 }));
  await emitterTo(t, cluster, sql).emit("n", 2);
  assert.equal(proxy.encrypted(), 2);
  assert.deepEqual(await numbersAt(cluster), both([1, 2]));
});

test("a connection string that is none is refused at once, without its password", () => {
  for (const uri of ["mysql://u:p4ssword@h/db", "postgresql://u:p4ssword@h:port/db", "p4ssword"]) {
    const check = is("INVALID_URI", /postgresql:/);
    assert.throws(() => new Emitter(uri), uri === "p4ssword" ? { code: "INVALID_URI" } : check);
  }
});

test("it has one connection, with a name of its own, that ends with close()", async (t) => {
  const cluster = await twoServers(t);
  const sql = connectSql(t, await databaseUri());
  const uri = new URL(cluster.uri);
  uri.searchParams.set("application_name", `emitter ${cluster.prefix}`);
  const emitter = emitterTo(t, cluster, uri);
  const connections = async (name: string) => {
    const [row] = await sql`
      select count(*)::int from pg_stat_activity where application_name = ${name}`;
    return row?.["count"] as number;
  };
  await Promise.all(Array.from({ length: 500 }, (_, n) => emitter.emit("n", n, "x".repeat(5_000))));
  assert.equal(await connections(`emitter ${cluster.prefix}`), 1);
  await emitter.close();
  await until("it is gone", async () => await connections(`emitter ${cluster.prefix}`) === 0);
  const unnamed = emitterTo(t, cluster);
  await unnamed.emit("hello");
  assert.ok(await connections("socketio-pg:emit") >= 1);
});

test("an emitter connects over a socket of the system", async (t) => {
  const cluster = await twoServers(t);
  const { hostname, port, username, pathname } = new URL(cluster.uri);
  const folder = mkdtempSync(join(tmpdir(), "emitter-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const server = createServer((socket) => {
    const up = connect(Number(port), hostname);
    socket.pipe(up).pipe(socket);
    for (const each of [socket, up]) each.on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(join(folder, ".s.PGSQL.5432"), resolve));
  t.after(() => server.close());
  const given = { PGHOST: folder, PGUSER: username, PGDATABASE: pathname.slice(1) };
  Object.assign(process.env, given);
  const emitter = emitterTo(t, cluster, "postgresql://");
  for (const name of Object.keys(given)) delete process.env[name];
  await emitter.emit("here");
  assert.deepEqual(await receivedBy(cluster, "here"), both([[]]));
});
