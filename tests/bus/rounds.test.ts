/** How a link goes through its hosts, how long it waits in between, and that nothing is left when it is closed. */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import type { PgAdapterError } from "../../mod.ts";
import { Link, type LinkEvents } from "../../src/bus/link.ts";
import type { Session, SessionLimits } from "../../src/bus/session.ts";
import { connectionSettings } from "../../src/bus/settings.ts";
import { databaseUri } from "../support/database.ts";
import { FaultProxy } from "../support/fault_proxy.ts";
import { forgetfulProxy } from "../support/forgetful_proxy.ts";
import { muteServer } from "../support/mute_server.ts";
import { connectSql } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";
import { until, within } from "../support/wait.ts";

const LIMITS: SessionLimits = { connect: 2_000, statement: 2_000, isOwn: true };

/** A link, and what it told. */
function linkOf(
  t: Scope,
  uri: string,
  prepare: LinkEvents["prepare"] = () => Promise.resolve(),
  limits: Partial<SessionLimits> = {},
) {
  const told: {
    ups: Session[];
    downs: { error: PgAdapterError; silent: boolean | undefined }[];
    failures: PgAdapterError[];
  } = { ups: [], downs: [], failures: [] };
  const link = new Link(connectionSettings(uri), "tests", { ...LIMITS, ...limits }, {
    prepare,
    up: (session) => told.ups.push(session),
    down: (error, silent) => told.downs.push({ error, silent }),
    failed: (error) => told.failures.push(error),
  });
  t.after(() => link.close());
  return { link, ...told };
}

/** A server that ends each connection at once, and when it did so. */
async function closingServer(t: Scope): Promise<{ port: number; attempts: number[] }> {
  const attempts: number[] = [];
  const server = createServer((socket) => {
    attempts.push(performance.now());
    socket.on("error", () => {});
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  return { port: (server.address() as { port: number }).port, attempts };
}

/** A connection string with several hosts. */
function several(uri: string, before: readonly number[], after: readonly number[] = []): string {
  const url = new URL(uri);
  const own = [Number(url.port || 5432)];
  const hosts = [...before, ...own, ...after].map((port) => `127.0.0.1:${port}`).join(",");
  return `postgresql://${url.username}${
    url.password && `:${url.password}`
  }@${hosts}${url.pathname}`;
}

test("a round goes through all hosts without waiting, tells what all of them said, and is followed by a wait", async (t) => {
  const servers = [await closingServer(t), await closingServer(t), await closingServer(t)];
  const hosts = servers.map(({ port }) => `127.0.0.1:${port}`).join(",");
  const { link, failures } = linkOf(t, `postgresql://u@${hosts}/d`);
  link.start();
  await until("four rounds have failed", () => failures.length >= 4);
  assert.ok(servers.every(({ attempts }) => attempts.length >= 4));
  for (let round = 0; round < 4; round++) {
    const [first, second, third] = servers.map(({ attempts }) => attempts[round]!);
    assert.ok(first! < second! && second! < third!, "in order");
    // Without waiting: the shortest wait would be 30 ms at first, and 240 ms in the fourth round.
    if (round === 3) assert.ok(third! - first! < 200, `${third! - first!} ms for a round`);
  }
  const rounds = servers[0]!.attempts;
  assert.ok(rounds[3]! - rounds[2]! >= 110, "it waits after a round, longer each time");
  for (const { port } of servers) assert.match(failures[0]!.message, new RegExp(`:${port},`));
  assert.equal(failures[0]!.code, "CONNECT_FAILED");
});

test("the code of a round is that of a host that answered", async (t) => {
  const { port } = await closingServer(t);
  const url = new URL(await databaseUri());
  url.pathname = "/template1";
  url.username = "nobody_of_this_name";
  const { link, failures } = linkOf(t, several(url.href, [port], [port]));
  link.start();
  await until("a round has failed", () => failures.length >= 1);
  assert.equal(failures[0]!.code, "AUTHENTICATION_FAILED");
});

test("the next round starts with the host that worked", async (t) => {
  const uri = await databaseUri();
  const sql = connectSql(t, uri);
  const other = await closingServer(t);
  const { link, ups, downs, failures } = linkOf(t, several(uri, [other.port]));
  link.start();
  await until("it is up", () => ups.length === 1);
  for (let loss = 1; loss <= 3; loss++) {
    const [row] = await ups.at(-1)!.query("select pg_backend_pid() as pid");
    await sql`select pg_terminate_backend(${row?.pid as number})`;
    await until("it is up again", () => ups.length === loss + 1);
    assert.equal(downs.length, loss);
    assert.equal(downs.at(-1)?.silent, false);
  }
  assert.equal(other.attempts.length, 1);
  assert.equal(failures.length, 0);
});

test("only an attempt that is prepared ends the patience", async (t) => {
  let prepared = 0;
  const { link, failures } = linkOf(t, await databaseUri(), () => {
    prepared++;
    return Promise.reject(new Error("not yet"));
  });
  const start = performance.now();
  link.start();
  await until("five attempts have failed", () => failures.length >= 5);
  // Four waits of 50 to 400 ms, at least 0.6 of each.
  assert.ok(performance.now() - start >= 0.6 * 750);
  assert.equal(prepared, failures.length);
  assert.match(failures[0]!.message, /Cannot prepare a connection: Error: not yet/);
});

test("a link that is checked is replaced when it is silent, and says so", async (t) => {
  const proxy = await FaultProxy.start(await databaseUri());
  t.after(() => proxy.close());
  const { link, ups, downs } = linkOf(t, proxy.uri);
  assert.equal(await link.check(100), false);
  link.start();
  await until("it is up", () => ups.length === 1);
  assert.equal(await link.check(2_000), true);
  proxy.blackhole();
  assert.equal(await link.check(100), false);
  assert.deepEqual(downs.map(({ error, silent }) => [error.code, silent]), [
    ["CONNECTION_LOST", true],
  ]);
  proxy.pass();
  await until("it is up again", () => ups.length === 2);
  assert.equal(await link.check(2_000), true);
});

test("a link remembers that statements cannot be prepared", async (t) => {
  const { link, ups, downs } = linkOf(t, await forgetfulProxy(t, await databaseUri()));
  link.start();
  await until("it is up", () => ups.length === 1);
  assert.equal(ups[0]!.prepares, true);
  assert.deepEqual(await ups[0]!.query("select $1::int as n", ["7"]), [{ n: 7 }]);
  assert.equal(ups[0]!.prepares, false);
  await assert.rejects(ups[0]!.query("select pg_terminate_backend(pg_backend_pid())"));
  await until("it is up again", () => ups.length === 2);
  assert.equal(ups[1]!.prepares, false);
  assert.equal(downs.length, 1);
});

test("statements that are retried while the connection breaks are refused, and the next session works", async (t) => {
  const proxy = await FaultProxy.start(await databaseUri());
  t.after(() => proxy.close());
  const { link, ups, downs } = linkOf(t, proxy.uri);
  link.start();
  for (const how of ["rst", "fin"] as const) {
    await until("it is up", () => link.phase === "up");
    const [session, count] = [ups.at(-1)!, ups.length];
    proxy.cutOn({ on: "cut me", how });
    const retries: Promise<unknown>[] = [];
    // The driver neither sends nor rejects what it is given at these moments.
    const retry = () => retries.push(assert.rejects(session.query("select 1"), code));
    const code = { code: "CONNECTION_LOST" };
    await session.query("select 'cut me'").catch(retry);
    queueMicrotask(retry);
    setImmediate(retry);
    await until("all are given", () => retries.length === 3);
    await within(1_000, "refusing them", Promise.all(retries));
    await until("it is up again", () => ups.length === count + 1);
    const running = Array.from({ length: 4 }, (_, n) => ups.at(-1)!.query(`select ${n} as n`));
    assert.deepEqual(await Promise.all(running), [0, 1, 2, 3].map((n) => [{ n }]));
  }
  assert.equal(downs.length, 2);
});

test("close() ends a link within a second at each stage, for good", async (t) => {
  const proxy = await FaultProxy.start(await databaseUri());
  t.after(() => proxy.close());
  const mute = await muteServer(t);
  const closing = await closingServer(t);
  const stages: Record<string, () => Promise<Link>> = {
    "idle": () => Promise.resolve(linkOf(t, proxy.uri).link),
    "connecting": async () => {
      const { link } = linkOf(t, `postgresql://u@127.0.0.1:${mute.port}/d`);
      link.start();
      await until("it is connected", () => mute.sockets.size === 1);
      return link;
    },
    "preparing": async () => {
      let isPreparing = false;
      const { link } = linkOf(t, proxy.uri, () => {
        isPreparing = true;
        return new Promise(() => {});
      });
      link.start();
      await until("it prepares", () => isPreparing);
      return link;
    },
    "waiting": async () => {
      const { link, failures } = linkOf(t, `postgresql://u@127.0.0.1:${closing.port}/d`);
      link.start();
      await until("it has failed", () => failures.length === 4);
      assert.equal(link.phase, "waiting");
      return link;
    },
    "up": async () => {
      const { link, ups } = linkOf(t, proxy.uri);
      link.start();
      await until("it is up", () => ups.length === 1);
      return link;
    },
    "cut off": async () => {
      const { link, ups } = linkOf(t, proxy.uri);
      link.start();
      await until("it is up", () => ups.length === 1);
      proxy.blackhole();
      return link;
    },
  };
  for (const [stage, reach] of Object.entries(stages)) {
    const link = await reach();
    await within(1_000, `closing while ${stage}`, link.close());
    assert.equal(link.phase, "closed", stage);
    assert.equal(link.session, undefined, stage);
    link.start();
    assert.equal(link.phase, "closed", stage);
  }
  proxy.pass();
  const { accepted } = proxy;
  const { length } = closing.attempts;
  await until("no connection is left", () => proxy.open === 0 && mute.sockets.size === 0);
  // Longer than any wait so far.
  const { link, failures } = linkOf(t, `postgresql://u@127.0.0.1:${mute.port}/d`, undefined, {
    connect: 700,
  });
  link.start();
  await until("time has passed", () => failures.length === 1);
  assert.equal(proxy.accepted, accepted);
  assert.equal(closing.attempts.length, length);
});
