import assert from "node:assert/strict";
import { type Cluster, createCluster } from "../support/cluster.ts";
import { connectSql, listenTo } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";
import { until } from "../support/wait.ts";

/**
 * What a sender does that cannot know whether its statement was committed: it sends the same payloads again. Gives a
 * function that notifies everything once more that was notified on the namespace so far.
 */
async function repeater(t: Scope, cluster: Cluster) {
  const channel = `${cluster.prefix}:${cluster.namespace}`;
  const heard = await listenTo(t, cluster.uri, [channel]);
  const sql = connectSql(t, cluster.uri);
  return async (last: string) => {
    await until(`${last} is heard`, () => heard.some(({ payload }) => payload.includes(last)));
    const payloads = new Set(heard.map(({ payload }) => payload));
    for (const payload of payloads) await sql`select pg_notify(${channel}, ${payload})`;
    return payloads.size;
  };
}

test("payloads that come twice are delivered once", async (t) => {
  const cluster = await createCluster(t);
  const repeat = await repeater(t, cluster);
  let servers = 0;
  cluster.io(1).on("server", () => servers++);
  for (let n = 0; n < 50; n++) {
    cluster.io(0).emit("n", n);
    if (n % 10 === 0) cluster.io(0).emit("large", "x".repeat(30_000));
    await new Promise((resolve) => setImmediate(resolve));
  }
  cluster.io(0).serverSideEmit("server");
  cluster.io(0).emit("the last one");
  const repeated = await repeat("the last one");
  assert.ok(repeated > 20, `${repeated} payloads`);
  await until("the duplicates are counted", () => {
    return [1, 2].every((i) => cluster.adapter(i).stats().received.duplicates >= repeated);
  });
  await cluster.settled();
  for (const i of [0, 1, 2]) {
    const numbers = cluster.inbox(i).of("n").map(([n]) => n);
    assert.deepEqual(numbers, Array.from({ length: 50 }, (_, n) => n));
    assert.equal(cluster.inbox(i).of("large").length, 5);
  }
  assert.equal(servers, 1);
});

test("payloads that come twice between others take nothing from what is new", async (t) => {
  const cluster = await createCluster(t, { size: 2 });
  const repeat = await repeater(t, cluster);
  for (let round = 0; round < 20; round++) {
    cluster.io(0).emit("round", round, round % 5 === 0 ? "x".repeat(20_000) : "");
    cluster.io(0).emit(`end of ${round};`);
    await repeat(`end of ${round};`);
  }
  await cluster.settled();
  const rounds = cluster.inbox(1).of("round").map(([round]) => round);
  assert.deepEqual(rounds, Array.from({ length: 20 }, (_, round) => round));
});
