/** Rows 8, 9 and 20: servers that refuse, break off, or are not there; and many who lose one server at once. */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import process from "node:process";
import { pgAdapter } from "../../mod.ts";
import { createCluster, uniquePrefix } from "../support/cluster.ts";
import { FaultProxy } from "../support/fault_proxy.ts";
import { record } from "../support/figures.ts";
import { freePort, startPostgres } from "../support/postgres.ts";
import { connectSql } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";
import { next, until } from "../support/wait.ts";

/** Attempts of one connection in a time: what the backoff allows, whatever chance says. */
function allowed(ms: number): number {
  // 50, 100, 200, 400 and 800 ms and then 950 ms, at least 0.6 of each.
  let attempts = 1;
  for (let at = 0; at <= ms; attempts++) at += 0.6 * Math.min(950, 50 * 2 ** (attempts - 1));
  return attempts;
}

/** An adapter that cannot get ready, and the codes of its errors. */
function failing(t: Scope, uri: string, connectTimeout = 5_000) {
  const adapter = pgAdapter(uri, { prefix: uniquePrefix(), connectTimeout });
  const codes: string[] = [];
  adapter.on("error", ({ code }) => codes.push(code));
  t.after(() => adapter.close());
  return { adapter, codes };
}

/** Time passes while the adapter tries. */
async function tries(adapter: ReturnType<typeof pgAdapter>, ms: number): Promise<number> {
  const start = performance.now();
  while (performance.now() - start < ms) await assert.rejects(adapter.ready());
  return performance.now() - start;
}

test(
  "row 8: a server that refuses every session is tried with patience, and used as soon as it does not",
  async (t) => {
    const server = await startPostgres();
    t.after(() => server.stop());
    const proxy = await FaultProxy.start(server.uri);
    t.after(() => proxy.close());
    const sql = connectSql(t, server.uri);
    await sql`create database closed`;
    const uri = new URL(proxy.uri);
    uri.pathname = "/closed";
    await sql`create role late login`;
    const refusals: Record<
      string,
      [user: string, begin: () => unknown, end: () => unknown, code: string]
    > = {
      "55000 (no connections allowed)": [
        "postgres",
        () => sql`alter database closed allow_connections false`,
        () => sql`alter database closed allow_connections true`,
        "CONNECT_FAILED",
      ],
      "53300 (too many connections)": [
        "late",
        () => sql`alter role late connection limit 0`,
        () => sql`alter role late connection limit -1`,
        "CONNECT_FAILED",
      ],
      "28000 (may not log in)": [
        "late",
        () => sql`alter role late nologin`,
        () => sql`alter role late login`,
        "AUTHENTICATION_FAILED",
      ],
    };
    for (const [name, [user, begin, end, code]] of Object.entries(refusals)) {
      await begin();
      uri.username = user;
      const before = proxy.accepted;
      const cpu = process.cpuUsage();
      const { adapter, codes } = failing(t, uri.href);
      const ms = await tries(adapter, 1_500);
      const attempts = proxy.accepted - before;
      const { user: busy, system } = process.cpuUsage(cpu);
      assert.deepEqual(codes, [code], name);
      // Only the listening connection tries: the publishing one follows it.
      assert.ok(attempts >= 4 && attempts <= allowed(ms), `${attempts} attempts in ${ms} ms`);
      const ready = next(adapter, "ready");
      await end();
      const start = performance.now();
      await ready;
      const back = performance.now() - start;
      record(8, {
        refusal: name,
        attempts,
        ms,
        cpu: `${((busy + system) / ms / 10).toFixed(1)} %`,
        back,
      });
      assert.ok(back < 1_330 + 1_500, `${name}: back after ${back} ms`);
      await adapter.close();
    }
  },
  { deadline: 60_000 },
);

test(
  "row 9: a server that breaks off before it is ready is tried with patience, and no call hangs",
  async (t) => {
    const server = await startPostgres();
    t.after(() => server.stop());
    const proxy = await FaultProxy.start(server.uri);
    t.after(() => proxy.close());
    const { adapter, codes } = failing(t, proxy.uri, 1_000);
    // The first bytes of the server's greeting pass, and then nothing but the end.
    const rule = proxy.cutOn({ on: 20, direction: "down", how: "fin", times: Infinity });
    const before = proxy.accepted;
    const ms = await tries(adapter, 1_500);
    const attempts = proxy.accepted - before;
    assert.ok(attempts >= 4 && attempts <= allowed(ms), `${attempts} attempts in ${ms} ms`);
    assert.deepEqual(codes, ["CONNECT_FAILED"]);
    const ready = next(adapter, "ready");
    rule.cancel();
    const start = performance.now();
    await ready;
    record(9, { attempts, ms, back: performance.now() - start });
    await adapter.close();
    await until("no connection is left", () => proxy.open === 0);
  },
  { deadline: 60_000 },
);

test("row 20: hosts that all refuse are tried in rounds, with patience, and calls are answered in time", async (t) => {
  const attempts = [0, 0];
  const ports: number[] = [];
  for (const i of attempts.keys()) {
    const server = createServer((socket) => {
      attempts[i]!++;
      socket.on("error", () => {});
      socket.destroy();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => server.close());
    ports.push((server.address() as { port: number }).port);
  }
  // One is not there at all, the others end what they accept.
  const hosts = [await freePort(), ...ports].map((port) => `127.0.0.1:${port}`).join(",");
  const { adapter, codes } = failing(t, `postgresql://u@${hosts}/d`);
  const start = performance.now();
  await assert.rejects(adapter.ready(), { code: "CONNECT_FAILED" });
  const first = performance.now() - start;
  assert.ok(first < 1_000, `the first call is answered after ${first} ms`);
  const ms = first + await tries(adapter, 1_500);
  record(20, { hosts: 3, rounds: attempts[0], ms, first });
  for (const count of attempts) {
    assert.ok(count >= 4 && count <= allowed(ms), `${count} rounds in ${ms} ms`);
  }
  assert.ok(Math.abs(attempts[0]! - attempts[1]!) <= 1);
  assert.deepEqual(codes, ["CONNECT_FAILED"]);
});

test("many that lose one server with room for few come back, and do not storm it", async (t) => {
  const size = 30;
  const server = await startPostgres({
    settings: { max_connections: `${2 * size + 8}`, superuser_reserved_connections: "3" },
  });
  t.after(() => server.stop());
  const proxy = await FaultProxy.start(server.uri);
  t.after(() => proxy.close());
  const cluster = await createCluster(t, {
    size,
    clients: 0,
    uri: proxy.uri,
    adapter: { requestsTimeout: 1_000 },
  });
  const downtime = 1_500;
  const before = proxy.accepted;
  const lost = cluster.servers.map(({ adapter }) => next(adapter, "disconnect"));
  const since = performance.now();
  const back = cluster.servers.map(({ adapter }) => next(adapter, "reconnect", 30_000));
  await server.halt("immediate");
  await Promise.all(lost);
  await until("some time has passed", () => performance.now() - since > downtime);
  await server.start();
  const start = performance.now();
  await Promise.all(back);
  const recovered = performance.now() - start;
  const ms = performance.now() - since;
  const attempts = proxy.accepted - before;
  record(6, { links: 2 * size, downtime, attempts, recovered });
  assert.ok(attempts <= 2 * size * allowed(ms), `${attempts} attempts in ${ms} ms`);
  assert.deepEqual(
    cluster.errors.splice(0).map((error) => (error as { code?: string }).code)
      .filter((code) => code !== "CONNECT_FAILED" && code !== "CONNECTION_LOST"),
    [],
  );
  cluster.io(0).emit("back");
  await until("all know all", async () => {
    const counts = await Promise.all(
      cluster.servers.map(({ io }) => io.of("/").adapter.serverCount()),
    );
    return counts.every((count) => count === size);
  });
}, { deadline: 90_000 });
