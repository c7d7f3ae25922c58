/** Rows 21 and 22: PgBouncer in front. */
import assert from "node:assert/strict";
import { pgAdapter } from "../../mod.ts";
import { Session } from "../../src/bus/session.ts";
import { connectionSettings } from "../../src/bus/settings.ts";
import { createCluster, uniquePrefix } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { record } from "../support/figures.ts";
import { noPgBouncer, startPgBouncer } from "../support/pgbouncer.ts";
import { type Scope, test } from "../support/test.ts";
import { until } from "../support/wait.ts";

/** Few server connections, taken in turn, so that a client's next transaction is on another one. */
const TURNS = { default_pool_size: "3", min_pool_size: "3", server_round_robin: "1" };
/** Two of them do not fit one frame. */
const PADDING = "x".repeat(4_100);

test(
  "row 21: a pooler in transaction mode for LISTEN is refused at start, with cause and remedy",
  async (t) => {
    const uri = await startPgBouncer(t, await databaseUri(), "transaction", TURNS);
    const statementTimeout = 1_000;
    const adapter = pgAdapter(uri, { prefix: uniquePrefix(), statementTimeout });
    t.after(() => adapter.close());
    const codes: string[] = [];
    adapter.on("error", ({ code }) => codes.push(code));
    const start = performance.now();
    await assert.rejects(adapter.ready(), {
      code: "NO_LOOPBACK",
      message: /pooler in transaction mode.*direct address with the option "listen"/,
    });
    const refused = performance.now() - start;
    record(21, { refused, statementTimeout });
    assert.ok(refused < 3_000 + statementTimeout, `${refused} ms`);
    // It goes on trying, and tells it once.
    await assert.rejects(adapter.ready(), { code: "NO_LOOPBACK" });
    assert.deepEqual(codes, ["NO_LOOPBACK"]);
    await adapter.close();
  },
  { skip: noPgBouncer },
);

test("row 22: a pooler in session mode carries both connections", async (t) => {
  const uri = await startPgBouncer(t, await databaseUri(), "session");
  await floods(t, 2_000, { uri });
}, { skip: noPgBouncer, deadline: 60_000 });

test("row 22: a pooler in transaction mode carries what is published, in order", async (t) => {
  const direct = await databaseUri();
  const publish = await startPgBouncer(t, direct, "transaction", TURNS);
  // Others who come and go, so that the publisher is given one server connection after the other.
  const stop = await bustle(t, publish);
  await floods(t, 10_000, { uri: direct, adapter: { publish } });
  await stop();
}, { skip: noPgBouncer, deadline: 60_000 });

test(
  "row 22: a pooler is seen: nothing is prepared there, and nothing set that others would get",
  async (t) => {
    const direct = await databaseUri();
    for (const mode of ["session", "transaction"] as const) {
      const session = await open(t, await startPgBouncer(t, direct, mode, TURNS));
      assert.equal(session.prepares, false, mode);
      const [row] = await session.query("select current_setting('synchronous_commit') as value");
      assert.deepEqual(row, { value: "on" }, mode);
      await session.end();
    }
    assert.equal((await open(t, direct)).prepares, true);
  },
  { skip: noPgBouncer },
);

test(
  "row 22: statements with parameters run in order, each once, on changing server connections",
  async (t) => {
    const direct = await databaseUri();
    const uri = await startPgBouncer(t, direct, "transaction", TURNS);
    const stop = await bustle(t, uri);
    const session = await open(t, uri);
    const done: unknown[] = [];
    const running: Promise<unknown>[] = [];
    for (let n = 0; n < 500; n++) {
      running.push(
        session.query("select $1::int as n, pg_backend_pid() as pid", [`${n}`])
          .then(([row]) => done.push(row?.n)),
      );
      if (n % 10 === 0) await running.at(-1);
    }
    await Promise.all(running);
    assert.deepEqual(done, Array.from({ length: 500 }, (_, n) => n));
    const [row] = await session.query("select count(*)::int as n from pg_prepared_statements");
    assert.deepEqual(row, { n: 0 });
    await stop();
  },
  { skip: noPgBouncer },
);

async function open(t: Scope, uri: string): Promise<Session> {
  const settings = connectionSettings(uri);
  const session = new Session(
    settings,
    settings.addresses[0]!,
    "tests",
    { connect: 5_000, statement: 5_000, isOwn: true },
    { lost: () => {} },
  );
  t.after(() => session.end());
  await session.open();
  return session;
}

/** Other clients of the pooler, until they are stopped. */
async function bustle(t: Scope, uri: string): Promise<() => Promise<void>> {
  let isOver = false;
  const clients = await Promise.all(Array.from({ length: 2 }, () => open(t, uri)));
  const running = clients.map(async (client, i) => {
    while (!isOver) await client.query(`select pg_sleep(0.00${2 + i})`);
  });
  const stop = async () => {
    isOver = true;
    await Promise.all(running);
  };
  t.after(stop);
  return stop;
}

/** Many messages of two servers over the pooler: each arrives once, in the order of its sender. */
async function floods(
  t: Scope,
  count: number,
  options: { uri: string; adapter?: { publish: string } },
): Promise<void> {
  const cluster = await createCluster(t, { size: 2, ...options });
  const start = performance.now();
  for (let n = 0; n < count / 2; n += 50) {
    for (let i = n; i < n + 50; i++) {
      for (const sender of [0, 1]) cluster.io(sender).emit("n", sender, i, PADDING);
    }
    await until("most is sent", () => cluster.adapter(0).stats().queued.messages < 500);
  }
  const received = await cluster.received("n");
  for (const messages of received) {
    for (const sender of [0, 1]) {
      const numbers = messages.filter(([from]) => from === sender).map(([, n]) => n);
      assert.deepEqual(numbers, Array.from({ length: count / 2 }, (_, n) => n));
    }
  }
  let frames = 0;
  await until("each message has had a frame of its own", () => {
    frames = cluster.servers.reduce((sum, { adapter }) => {
      return sum + adapter.stats().published.frames;
    }, 0);
    return frames >= count;
  });
  record(22, {
    mode: options.adapter === undefined ? "session" : "transaction, publishing only",
    frames,
    ms: performance.now() - start,
  });
}
