/** Row 18: somebody else holds the lock that every NOTIFY of a server takes when it commits. */
import assert from "node:assert/strict";
import postgres from "postgres";
import { HAS_RECOVERY } from "../support/offset.ts";
import { record } from "../support/figures.ts";
import { verify } from "../support/history.ts";
import { startPostgres } from "../support/postgres.ts";
import { connectSql } from "../support/sql.ts";
import { test } from "../support/test.ts";
import { createTraffic, QUICK } from "../support/traffic.ts";
import { until } from "../support/wait.ts";

/** How long the lock is held. */
const OUTAGE_MS = 2_500;

test(
  "row 18: while a foreign commit holds the lock of NOTIFY nobody waits, and all is sent when it is gone",
  async (t) => {
    // A commit waits for a standby that does not exist, unless it says that it does not want to.
    const server = await startPostgres({ settings: { synchronous_standby_names: "nosuch" } });
    t.after(() => server.stop());
    const traffic = await createTraffic(t, {
      uri: server.uri,
      size: 2,
      rate: 50,
      maxSize: 8_000,
      adapter: { ...QUICK, heartbeatTimeout: 20_000 },
    });
    traffic.run();
    await traffic.more(100);
    const sql = connectSql(t, server.uri);
    const culprit = postgres(server.uri, { max: 1, fetch_types: false, onnotice: () => {} });
    // It is terminated, and would wait for itself.
    t.after(() => culprit.end({ timeout: 0 }));
    await sql`set synchronous_commit = off`;
    await sql`create table other (n int)`;
    const [row] = await culprit`select pg_backend_pid() as pid`;
    const since = performance.now();
    const held = culprit.unsafe("begin; insert into other values (1); notify other; commit");
    // It ends with its connection.
    held.catch(() => {});
    const complaints = () =>
      traffic.talkers.map((talker) =>
        traffic.told("error", since, [talker])
          .filter(({ detail }) => (detail as { code?: string }).code === "PUBLISH_FAILED").length
      );
    await until(
      "both say that they cannot publish",
      () => complaints().every((count) => count > 0),
    );
    const noticed = performance.now() - since;
    const [waiting] = await sql`select wait_event from pg_stat_activity
    where pid = ${row?.pid as number}`;
    assert.equal(waiting?.wait_event, "SyncRep");
    const { io, client } = traffic.at(0);
    const arrived = new Promise<void>((resolve) => client.once("here", () => resolve()));
    const start = performance.now();
    io.emit("here");
    await arrived;
    const local = performance.now() - start;
    assert.ok(local < (HAS_RECOVERY ? 3_000 : 250), `${local} ms to a client of its own`);
    await until("it lasts", () => performance.now() - since > OUTAGE_MS);
    const frames = traffic.talkers.map(({ adapter }) => adapter.stats().published.frames);
    await sql`select pg_terminate_backend(${row?.pid as number})`;
    const left = performance.now();
    await until(
      "both publish again",
      () =>
        traffic.talkers.every(({ adapter }, i) => adapter.stats().published.frames > frames[i]!),
    );
    const back = performance.now() - left;
    await traffic.more(100);
    record(18, { noticed, back, local, outage: left - since });
    assert.ok(back < 2_000, `${back} ms until they publish again`);
    assert.deepEqual(complaints(), [1, 1]);
    assert.deepEqual(traffic.told("disconnect", since), []);
    verify(await traffic.stop());
  },
  { deadline: 60_000 },
);
