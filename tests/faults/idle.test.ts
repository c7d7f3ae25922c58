/** Row 38: a cluster in which nothing happens is quiet, however many namespaces it has. */
import assert from "node:assert/strict";
import { createCluster } from "../support/cluster.ts";
import { record } from "../support/figures.ts";
import { connectSql, listenTo } from "../support/sql.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

const NAMESPACES = 20;
const WATCHED_MS = 3_000;
const HEARTBEAT_MS = 300;

test(
  "twenty namespaces on three idle servers cost one heartbeat and two sessions per server",
  async (t) => {
    const cluster = await createCluster(t, { adapter: { heartbeatInterval: HEARTBEAT_MS } });
    const names = Array.from({ length: NAMESPACES }, (_, i) => `/n-${i}`);
    for (const { io } of cluster.servers) for (const name of names) io.of(name);
    await until("every server knows all", async () => {
      const counts = await Promise.all(
        cluster.servers.map(({ io }) => io.of(names.at(-1)!).adapter.serverCount()),
      );
      return counts.every((count) => count === 3);
    });
    const { prefix, uri } = cluster;
    const uids = cluster.servers.map(({ adapter }) => adapter.stats().uid);
    const channels = [
      `${prefix}:~`,
      ...uids.map((uid) => `${prefix}:~${uid}`),
      ...["/", ...names].map((name) => `${prefix}:${name}`),
    ];
    const heard = await listenTo(t, uri, channels);
    const start = performance.now();
    await until("some time has passed", () => performance.now() - start > WATCHED_MS);
    const payloads = heard.length;
    const sql = connectSql(t, uri);
    const [row] = await sql<{ sessions: number }[]>`
    select count(*)::int as sessions from pg_stat_activity
    where application_name like 'socketio-pg:%' and split_part(application_name, ':', 3) in ${
      sql(uids)
    }`;
    record(38, { seconds: WATCHED_MS / 1_000, payloads, sessions: row?.sessions ?? 0 });
    assert.equal(row?.sessions, 6);
    // Each server one every 300 ms, and one more for where the watch begins.
    assert.ok(payloads <= 3 * (WATCHED_MS / HEARTBEAT_MS + 2), `${payloads} payloads`);
    assert.ok(payloads >= 3, "heartbeats are heard");
  },
  { deadline: 60_000 },
);
