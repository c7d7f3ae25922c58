/** Starts that go wrong: a database that is not there yet, and connections that are cut at every step of their opening. */
import assert from "node:assert/strict";
import { chownSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pgAdapter } from "../../mod.ts";
import { uniquePrefix } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { type Direction, FaultProxy, type Only } from "../support/fault_proxy.ts";
import { record } from "../support/figures.ts";
import { merge, verify } from "../support/history.ts";
import { hears } from "../support/outage.ts";
import { startPostgres } from "../support/postgres.ts";
import { serverUser, temporaryFolder } from "../support/postgres_binaries.ts";
import { type Scope, test } from "../support/test.ts";
import { createTraffic, noSessionsLeft, QUICK } from "../support/traffic.ts";
import { until } from "../support/wait.ts";

test(
  "a server that starts while the database is away serves its own clients, and says the rest later",
  async (t) => {
    const proxy = await FaultProxy.start(await databaseUri());
    t.after(() => proxy.close());
    await proxy.refuse();
    const others = await createTraffic(t, { size: 2, adapter: QUICK });
    const { prefix } = others;
    const late = await createTraffic(t, {
      uri: proxy.uri,
      prefix,
      size: 1,
      adapter: QUICK,
      wait: false,
    });
    const start = performance.now();
    for (let i = 0; i < 50; i++) late.emit();
    await until("its own client has all", () => late.at(0).received.length === 50);
    const local = performance.now() - start;
    await hears(late.at(0), "error", 0);
    // Long enough for several attempts, which are not told again.
    late.run();
    await late.more(150);
    assert.deepEqual(late.told("error").length, 1);
    await proxy.accept();
    const since = performance.now();
    const { at } = await hears(late.at(0), "ready", since);
    late.pause();
    await others.acquainted(3);
    await until(
      "everyone has what it said meanwhile",
      () =>
        [late, others].every(({ talkers }) =>
          talkers.every(({ received }) => received.length === late.sent)
        ),
    );
    // From here on all three talk.
    for (let i = 0; i < 20; i++) [late, others].forEach((each) => each.emit());
    await until(
      "everyone has everything",
      () =>
        [late, others].every(({ talkers }) =>
          talkers.every(({ received }) => received.length === late.sent + others.sent)
        ),
    );
    const found = verify(merge([late.history(), others.history()]));
    record(40, { local, recover: at - since, sent: found.sent, lost: found.lost });
  },
  { deadline: 60_000 },
);

/** Starts an adapter again and again, cut each time some bytes later, until a start is over before the cut. */
async function cutEverywhere(
  t: Scope,
  uri: string,
  { only, direction, step }: Only & { direction: Direction; step: number },
): Promise<number> {
  const proxy = await FaultProxy.start(uri);
  t.after(() => proxy.close());
  const uids: string[] = [];
  for (let bytes = 1;; bytes += step) {
    const rule = proxy.cutOn({
      on: bytes,
      ...only === undefined ? {} : { only },
      direction,
      how: bytes % 2 === 0 ? "rst" : "fin",
    });
    const adapter = pgAdapter(proxy.uri, { ...QUICK, prefix: uniquePrefix() });
    adapter.on("error", () => {});
    t.after(() => adapter.close());
    uids.push(adapter.stats().uid);
    await until("it is ready", () => adapter.ready().then(() => true, () => false));
    const isOver = rule.count === 0;
    rule.cancel();
    await adapter.close();
    if (isOver) {
      await noSessionsLeft(uri, uids);
      return uids.length - 1;
    }
  }
}

/** The connection string of a server that speaks TLS, with a certificate that nobody knows. */
async function tlsServer(t: Scope): Promise<string> {
  const user = serverUser();
  const folder = mkdtempSync(join(temporaryFolder(user), "socketio-pg-tls-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const settings: Record<string, string> = { ssl: "on" };
  if (user) chownSync(folder, user.uid, user.gid);
  for (
    const [setting, name] of [["ssl_cert_file", "localhost.crt"], [
      "ssl_key_file",
      "localhost.key",
    ]] as const
  ) {
    const path = settings[setting] = join(folder, name);
    const content = readFileSync(new URL(`../bus/fixtures/${name}`, import.meta.url));
    // The server refuses a key that others can read.
    writeFileSync(path, content, { mode: 0o600 });
    if (user) chownSync(path, user.uid, user.gid);
  }
  const server = await startPostgres({ settings });
  t.after(() => server.stop());
  return `${server.uri}?sslmode=require`;
}

test("a connection that is cut anywhere in its opening is opened again", async (t) => {
  const start = performance.now();
  const uri = await databaseUri();
  const cuts = await Promise.all(
    (["listen", "publish"] as const).flatMap((only) =>
      (["up", "down"] as const).map((direction) =>
        cutEverywhere(t, uri, { only, direction, step: 31 })
      )
    ),
  );
  assert.ok(cuts.every((count) => count >= 5), `${cuts}`);
  record(10, {
    cuts: cuts.reduce((sum, count) => sum + count, 0),
    milliseconds: performance.now() - start,
  });
}, { deadline: 90_000 });

test("a connection that is cut anywhere in its TLS is opened again", async (t) => {
  const start = performance.now();
  const uri = await tlsServer(t);
  const cuts = await Promise.all((["up", "down"] as const).map((direction) =>
    // Which of the two connections it is cannot be read here: it is the one that gets so far first.
    cutEverywhere(t, uri, { direction, step: 83 })
  ));
  assert.ok(cuts.every((count) => count >= 5), `${cuts}`);
  record(10, {
    tls: true,
    cuts: cuts.reduce((sum, count) => sum + count, 0),
    milliseconds: performance.now() - start,
  });
}, { deadline: 90_000 });

test(
  "a server that closes while it waits for the database leaves no connection behind",
  async (t) => {
    const proxy = await FaultProxy.start(await databaseUri());
    t.after(() => proxy.close());
    for (const fault of ["refused", "turned away", "silent"] as const) {
      if (fault === "refused") await proxy.refuse();
      else await proxy.accept();
      if (fault === "turned away") proxy.turnAway();
      if (fault === "silent") proxy.blackhole();
      const adapter = pgAdapter(proxy.uri, { ...QUICK, prefix: uniquePrefix() });
      adapter.on("error", () => {});
      t.after(() => adapter.close());
      await assert.rejects(adapter.ready(), { code: "CONNECT_FAILED" });
      const start = performance.now();
      await adapter.close();
      const close = performance.now() - start;
      proxy.pass();
      await proxy.accept();
      const before = proxy.accepted;
      // A connection that is opened by a timer left behind would come within the time of a whole other start.
      const other = pgAdapter(proxy.uri, { ...QUICK, prefix: uniquePrefix() });
      t.after(() => other.close());
      await other.ready();
      assert.equal(proxy.accepted - before, 2);
      await other.close();
      await until("no connection is left", () => proxy.open === 0);
      record(14, { fault, close });
    }
  },
  { deadline: 60_000 },
);
