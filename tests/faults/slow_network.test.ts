/** Networks that are slow, and those that forget connections. */
import assert from "node:assert/strict";
import { judge, outages } from "../support/outage.ts";
import { startPostgres } from "../support/postgres.ts";
import { test } from "../support/test.ts";
import { createTraffic, QUICK } from "../support/traffic.ts";
import { until } from "../support/wait.ts";

const LONG = { deadline: 90_000 };

test("bytes that come in drips, late and slowly, are put together unchanged", async (t) => {
  const traffic = await createTraffic(t, {
    proxied: true,
    rate: 8,
    maxSize: 9_000,
    // So many small pieces are slow on a busy machine by themselves.
    adapter: { statementTimeout: 15_000, heartbeatTimeout: 30_000 },
  });
  for (const { proxy } of traffic.talkers) {
    proxy.slow({ slice: 7, latency: 200, bandwidth: 50_000 });
  }
  traffic.run();
  await traffic.more(100);
  const history = await traffic.stop();
  judge(24, traffic, history);
  assert.deepEqual(outages(traffic.talkers), { count: 0, longest: 0 });
}, LONG);

test("a server that ends idle sessions does not end ours", async (t) => {
  const server = await startPostgres({ settings: { idle_session_timeout: "1s" } });
  t.after(() => server.stop());
  const { uri } = server;
  const traffic = await createTraffic(t, {
    uri,
    adapter: { ...QUICK, heartbeatInterval: 1_900, heartbeatTimeout: 4_000 },
  });
  traffic.emit();
  await traffic.settle();
  const before = traffic.talkers.map(({ adapter }) => adapter.stats().received.messages);
  // A heartbeat of each other server comes later than an idle session would have ended.
  await until(
    "heartbeats have come",
    () =>
      traffic.talkers.every(({ adapter }, i) =>
        adapter.stats().received.messages >= (before[i] ?? 0) + 4
      ),
    20_000,
  );
  judge(23, traffic, await traffic.stop(), { fault: "idle_session_timeout" });
  assert.deepEqual(outages(traffic.talkers), { count: 0, longest: 0 });
}, LONG);

test(
  "a publishing connection that its server ends when it is idle is replaced, and nothing is lost",
  async (t) => {
    const server = await startPostgres({ settings: { idle_session_timeout: "1s" } });
    t.after(() => server.stop());
    const { uri } = server;
    const traffic = await createTraffic(t, {
      uri,
      // As behind a pooler: the adapter leaves the settings of a session alone.
      adapter: { ...QUICK, publish: uri, heartbeatInterval: 1_900, heartbeatTimeout: 4_000 },
    });
    for (let round = 1; round <= 2; round++) {
      await until(
        `round ${round} of lost connections`,
        () => outages(traffic.talkers).count >= 3 * round,
        20_000,
      );
      for (let i = 0; i < 5; i++) traffic.emit();
    }
    judge(23, traffic, await traffic.stop(), { fault: "idle_session_timeout of a pooler" });
  },
  LONG,
);

test("a router that forgets idle connections is noticed, and nothing is lost", async (t) => {
  const traffic = await createTraffic(t, {
    proxied: true,
    adapter: { ...QUICK, heartbeatInterval: 1_500, heartbeatTimeout: 3_000 },
  });
  for (const { proxy } of traffic.talkers) proxy.forgetIdle(1_000);
  const since = performance.now();
  await until(
    "every server has noticed",
    () => traffic.talkers.every((talker) => outages([talker]).count > 0),
    20_000,
  );
  const notice = performance.now() - since;
  for (let i = 0; i < 5; i++) traffic.emit();
  for (const { proxy } of traffic.talkers) proxy.forgetIdle(Infinity);
  judge(23, traffic, await traffic.stop(), { fault: "idle NAT", notice });
}, LONG);
