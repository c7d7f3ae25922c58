/** Rows 16 and 17: the queue of notifications, which a whole server shares, is full as somebody does not read. */
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { startChild } from "../support/child.ts";
import { record } from "../support/figures.ts";
import { merge, verify } from "../support/history.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { connectSql } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";
import { createTraffic, QUICK, type Talker, type Traffic } from "../support/traffic.ts";
import { until } from "../support/wait.ts";

/** What other sessions do is not under test here, so nobody is given up for being quiet. */
const OPTIONS = { ...QUICK, heartbeatTimeout: 20_000 };
/** How long the queue stays full. */
const OUTAGE_MS = 2_000;

/** A server whose queue takes two megabytes: more than one statement, and little enough to be full soon. */
async function startSmall(t: Scope): Promise<PostgresServer> {
  const server = await startPostgres({ settings: { max_notify_queue_pages: "256" } });
  t.after(() => server.stop());
  return server;
}

/** Fills the queue until it takes no more. */
async function fill(sql: Sql): Promise<void> {
  const payload = "x".repeat(7_900);
  await until("the queue is full", async () => {
    try {
      await sql`select pg_notify('nobody_listens', ${payload})`;
      return false;
    } catch (fault) {
      assert.equal((fault as { code?: string }).code, "54000");
      return true;
    }
  });
}

/** Whether this server says that it cannot publish. */
function complaints(traffic: Traffic, talker: Talker, since: number): number {
  return traffic.told("error", since, [talker])
    .filter(({ detail }) => (detail as { code?: string }).code === "PUBLISH_FAILED").length;
}

test(
  "row 17: the queue is full until a foreign session that holds it leaves; all is sent then, once and in order",
  async (t) => {
    const server = await startSmall(t);
    const traffic = await createTraffic(t, {
      uri: server.uri,
      size: 2,
      rate: 50,
      maxSize: 8_000,
      adapter: OPTIONS,
    });
    traffic.run();
    await traffic.more(100);
    const culprit = connectSql(t, server.uri);
    await culprit.unsafe("listen somewhere");
    await culprit.unsafe("begin");
    await culprit.unsafe("select 1");
    const since = performance.now();
    await fill(connectSql(t, server.uri));
    await until(
      "both say so",
      () => traffic.talkers.every((each) => complaints(traffic, each, since) > 0),
    );
    const noticed = performance.now() - since;
    const local = await localDelivery(traffic);
    await until("it lasts", () => performance.now() - since > OUTAGE_MS);
    const sent = traffic.talkers.map((talker) => talker.adapter.stats().published.frames);
    await culprit.unsafe("commit");
    const left = performance.now();
    await until(
      "both publish again",
      () =>
        traffic.talkers.every((talker, i) => talker.adapter.stats().published.frames > sent[i]!),
    );
    const back = performance.now() - left;
    await traffic.more(100);
    record(17, { noticed, back, local, outage: left - since });
    assert.ok(back < 2_000, `${back} ms until they publish again`);
    for (const talker of traffic.talkers) assert.equal(complaints(traffic, talker, since), 1);
    verify(await traffic.stop());
  },
  { deadline: 60_000 },
);

test(
  "a statement that is larger than the room in the queue does not leave it full for ever",
  async (t) => {
    const server = await startPostgres({ settings: { max_notify_queue_pages: "64" } });
    t.after(() => server.stop());
    const traffic = await createTraffic(t, {
      uri: server.uri,
      rate: 50,
      maxSize: 8_000,
      adapter: OPTIONS,
    });
    traffic.run();
    await traffic.more(50);
    const since = performance.now();
    // Each takes a page of the queue for itself, and more go into one statement than there are pages.
    const filler = "y".repeat(7_000);
    for (let i = 0; i < 200; i++) traffic.at(0).io.emit("filler", filler);
    await until(
      "the queue was full",
      () => traffic.talkers.some((each) => complaints(traffic, each, since) > 0),
    );
    await until(
      "everything is published",
      () => traffic.talkers.every(({ adapter }) => adapter.stats().queued.messages === 0),
      20_000,
    );
    await traffic.more(50);
    for (const talker of traffic.talkers) assert.ok(complaints(traffic, talker, since) <= 1);
    verify(await traffic.stop());
  },
  { deadline: 60_000 },
);

test(
  "row 16: a server that is stopped is given up by the database, and the others go on",
  async (t) => {
    const server = await startSmall(t);
    // By default it is 15 s.
    const uri = `${server.uri}?tcp_user_timeout=2000`;
    const adapter = OPTIONS;
    const maxSize = 8_000;
    const traffic = await createTraffic(t, {
      uri,
      size: 2,
      rate: 50,
      maxSize,
      adapter,
    });
    const child = await startChild(t, {
      uri,
      prefix: traffic.prefix,
      adapter,
      maxSize,
      rate: 50,
    });
    await traffic.acquainted(3);
    traffic.run();
    await traffic.more(50);
    const sql = connectSql(t, server.uri);
    const name = `socketio-pg:listen:${child.uid}`;
    const [row] = await sql`select pid from pg_stat_activity where application_name = ${name}`;
    child.kill("SIGSTOP");
    const stopped = performance.now();
    // More than fits the sockets in between: it is sent as fast as those who read can take it.
    const filler = "y".repeat(7_000);
    await until("the queue is full", async () => {
      const [now] = await sql`select pg_notification_queue_usage() as usage`;
      if (Number(now?.usage) < 0.9) {
        for (let i = 0; i < 20; i++) traffic.at(0).io.emit("filler", filler);
      }
      return traffic.talkers.some((each) => complaints(traffic, each, stopped) > 0);
    }, 20_000);
    const full = performance.now();
    const local = await localDelivery(traffic);
    await until("the database has given it up", async () => {
      const rows = await sql`select 1 from pg_stat_activity where pid = ${row?.pid as number}`;
      return rows.length === 0;
    }, 20_000);
    const ejected = performance.now() - stopped;
    // Later, what has piled up may fill so small a queue once more.
    for (const talker of traffic.talkers) {
      const count = complaints(traffic, talker, stopped);
      assert.ok(count <= 1, `${count} errors of one outage`);
    }
    await until(
      "the others publish again",
      () => traffic.talkers.every(({ adapter }) => adapter.stats().queued.messages === 0),
      20_000,
    );
    const back = performance.now() - full;
    await traffic.more(50);
    child.kill("SIGCONT");
    await until("it is back", async () => {
      return (await child.tell("stats")).phase === "ready";
    }, 20_000);
    await traffic.more(50);
    record(16, { filled: full - stopped, ejected, back, local });
    assert.ok(ejected < 25_000, `given up after ${ejected} ms`);
    assert.ok(back < 20_000, `${back} ms without publishing`);
    await traffic.stop();
    const judge = async () => {
      verify(merge([traffic.history(), await child.tell("history")]), { gaps: "any" });
    };
    // What was missed is asked for again, where nobody answers at once.
    await until(
      "everything has come, or was told of",
      () => judge().then(() => true, () => false),
      20_000,
    ).catch(judge);
    await until("nothing more comes", async () => {
      const before = await child.tell("received");
      await traffic.settle(500);
      return before === await child.tell("received");
    });
    await judge();
  },
  { deadline: 90_000 },
);

/** How long a message takes to the server's own client. */
async function localDelivery(traffic: Traffic): Promise<number> {
  const talker = traffic.at(0);
  const start = performance.now();
  const { client, io } = talker;
  const arrived = new Promise<void>((resolve) => client.once("here", () => resolve()));
  io.emit("here");
  await arrived;
  return performance.now() - start;
}
