/** Connections that end, from either side, again and again, while everyone talks. */
import assert from "node:assert/strict";
import { HAS_RECOVERY } from "../support/offset.ts";
import { allReady, hears, judge, terminate } from "../support/outage.ts";
import { createCluster } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { FaultProxy } from "../support/fault_proxy.ts";
import { connectSql } from "../support/sql.ts";
import { test } from "../support/test.ts";
import { createTraffic, QUICK } from "../support/traffic.ts";
import { until } from "../support/wait.ts";

const LONG = { deadline: 90_000 };

test("a listening backend that is terminated loses nothing", async (t) => {
  const traffic = await createTraffic(t, { adapter: QUICK, rate: 67 });
  const sql = connectSql(t, traffic.uri);
  traffic.run();
  for (let kill = 0; kill < 9; kill++) {
    await traffic.more(30);
    const talker = traffic.at(kill % 3);
    const since = performance.now();
    await terminate(sql, "listen", talker.uid);
    await hears(talker, "reconnect", since);
  }
  judge(1, traffic, await traffic.stop(), { kills: 9 });
}, LONG);

test("a publishing backend that is terminated loses nothing and repeats nothing", async (t) => {
  const traffic = await createTraffic(t, { adapter: QUICK, rate: 67 });
  const sql = connectSql(t, traffic.uri);
  traffic.run();
  for (let kill = 0; kill < 50; kill++) {
    await traffic.more(5);
    await terminate(sql, "publish", traffic.at(kill % 3).uid);
  }
  traffic.pause();
  await allReady(traffic);
  const since = performance.now();
  // What everyone has may still be queued: a commit whose answer was lost is sent again.
  await until(
    "the buffers are empty",
    () => traffic.talkers.every(({ adapter }) => adapter.stats().queued.messages === 0),
    30_000,
  );
  judge(2, traffic, await traffic.stop(), { kills: 50, "buffer empty": performance.now() - since });
}, LONG);

for (const [row, how] of [[3, "rst"], [4, "fin"]] as const) {
  test(
    `a storm of ${how} on both connections of everyone loses nothing, and tries with patience`,
    async (t) => {
      const traffic = await createTraffic(t, { adapter: QUICK, rate: 67, proxied: true });
      traffic.run();
      let cut = 0;
      // At 200 messages a second this is a cut of everything each 150 ms.
      for (let i = 0; i < 24; i++) {
        await traffic.more(30);
        for (const { proxy } of traffic.talkers) cut += proxy.cut(how);
      }
      await allReady(traffic);
      const attempts = traffic.talkers.reduce((sum, { proxy }) => sum + proxy.accepted, 0);
      const history = await traffic.stop();
      judge(row, traffic, history, { cut, attempts });
      assert.ok(attempts <= cut + 6 + 15, `${attempts} attempts for ${cut} cuts`);
    },
    LONG,
  );
}

test("a commit whose answer is lost is sent again and delivered once", async (t) => {
  const traffic = await createTraffic(t, { adapter: QUICK, rate: 67, proxied: true });
  const rules = traffic.talkers.map(({ proxy }) =>
    proxy.cutOn({ on: `${traffic.prefix}:/`, only: "publish", at: "replied", times: 15 })
  );
  traffic.run();
  while (rules.some(({ count }) => count < 15)) await traffic.more(20);
  await allReady(traffic);
  const history = await traffic.stop();
  const duplicates = traffic.talkers.map(({ adapter }) => adapter.stats().received.duplicates);
  judge(5, traffic, history, { kills: 45 });
  // Each of them was heard twice by both others.
  assert.ok(duplicates.every((count) => count >= 30), `${duplicates}`);
}, LONG);

for (const at of ["before", "within"] as const) {
  test(
    `a statement that is cut ${at === "within" ? "in its middle" : "off"} is sent again`,
    async (t) => {
      const traffic = await createTraffic(t, { adapter: QUICK, rate: 67, proxied: true });
      const rules = traffic.talkers.map(({ proxy }) =>
        proxy.cutOn({
          on: HAS_RECOVERY ? "recovery_notify" : "pg_notify",
          only: "publish",
          at,
          more: 40,
          times: 5,
          how: "fin",
        })
      );
      traffic.talkers.forEach(({ proxy }) => proxy.cut("rst", { only: "publish" }));
      traffic.run();
      while (rules.some(({ count }) => count < 5)) await traffic.more(20);
      await allReady(traffic);
      judge(5, traffic, await traffic.stop(), { kills: 15, at });
    },
    LONG,
  );
}

test(
  "connections that end at their first statement, again and again, are not made all the faster",
  async (t) => {
    const uri = await databaseUri();
    const proxy = await FaultProxy.start(uri);
    t.after(() => proxy.close());
    const cluster = await createCluster(t, {
      size: 1,
      adapter: { listen: uri, publish: proxy.uri },
    });
    const before = proxy.accepted;
    const cut = proxy.cutOn({ on: `${cluster.prefix}:`, times: Infinity, how: "fin" });
    cluster.io(0).emit("n");
    const since = performance.now();
    await until("that is some time", () => performance.now() - since > 5_000);
    const attempts = proxy.accepted - before;
    cut.cancel();
    await until("it is back", () => cluster.adapter(0).stats().phase === "ready");
    // It would be a hundred.
    assert.ok(attempts > 5 && attempts <= 20, `${attempts} attempts in 5 s`);
    cluster.errors.splice(0);
  },
  LONG,
);
