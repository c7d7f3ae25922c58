/** Outages that last: of the database, and of one server for longer than the others remember what they sent. */
import assert from "node:assert/strict";
import { examine } from "../support/history.ts";
import { allReady, hears, judge } from "../support/outage.ts";
import { startPostgres } from "../support/postgres.ts";
import { test } from "../support/test.ts";
import { createTraffic, QUICK } from "../support/traffic.ts";
import { until } from "../support/wait.ts";

const LONG = { deadline: 120_000 };

test(
  "what is said while the database is away for long arrives everywhere once it is back",
  async (t) => {
    const server = await startPostgres();
    t.after(() => server.stop());
    const traffic = await createTraffic(t, {
      uri: server.uri,
      // Who counts as gone may have sent something that nobody knows of; here nobody is away for so long.
      adapter: { ...QUICK, heartbeatTimeout: 20_000 },
      rate: 67,
      proxied: true,
      maxSize: 20_000,
    });
    const late = traffic.at(2);
    traffic.run();
    await traffic.more(60);
    const since = performance.now();
    await server.halt();
    t.after(() => server.start());
    // 200 a second, for eight seconds.
    await traffic.more(1_600);
    const during = traffic.sent;
    const sent = traffic.talkers.map((talker) => traffic.sentBy(talker));
    const away = performance.now() - since;
    // One of them finds it later than the others.
    await late.proxy.refuse();
    await server.start();
    const started = performance.now();
    for (const talker of traffic.talkers.slice(0, 2)) await hears(talker, "reconnect", started);
    await traffic.more(60);
    await late.proxy.accept();
    const back = await hears(late, "reconnect", started);
    await until(
      "what was said meanwhile is everywhere",
      () =>
        traffic.talkers.every(({ latest }) =>
          traffic.talkers.every(({ uid }, i) => (latest.get(uid) ?? -1) >= sent[i]! - 1)
        ),
      30_000,
    );
    const caughtUp = performance.now() - started;
    await allReady(traffic);
    judge(26, traffic, await traffic.stop(), {
      away,
      during,
      "last one back": back.at - started,
      "caught up": caughtUp,
      repaired: traffic.talkers.reduce(
        (n, { adapter }) => n + adapter.stats().received.repaired,
        0,
      ),
    });
    assert.deepEqual(traffic.told("gap"), []);
  },
  LONG,
);

for (const subscriptionMode of ["static", "dynamic"] as const) {
  for (const how of ["refused", "silent"] as const) {
    test(
      `a server that is away for longer than others remember is told how much it missed (${subscriptionMode}, ${how})`,
      async (t) => {
        const traffic = await createTraffic(t, {
          proxied: true,
          rate: 67,
          maxSize: 20_000,
          adapter: { ...QUICK, subscriptionMode, replayWindow: 1_000 },
        });
        const away = traffic.at(0);
        traffic.run();
        await traffic.more(100);
        const since = performance.now();
        if (how === "silent") away.proxy.blackhole();
        else {
          await away.proxy.refuse();
          away.proxy.cut("rst");
        }
        await hears(away, "disconnect", since);
        // For five seconds.
        await traffic.more(1_000);
        const passed = performance.now();
        if (how === "silent") away.proxy.pass();
        else await away.proxy.accept();
        await hears(away, "reconnect", passed);
        await traffic.more(200);
        await allReady(traffic);
        const history = await traffic.stop();
        const allowance = { gaps: "exact" } as const;
        judge(26, traffic, history, { subscriptionMode, how, away: passed - since }, allowance);
        const { lost } = examine(history, allowance);
        assert.ok(lost > 200, `${lost} lost`);
        assert.deepEqual(
          [...new Set(history.gaps.map(({ receiver, sender }) => `${sender} at ${receiver}`))]
            .sort(),
          traffic.talkers.slice(1).map(({ uid }) => `${uid} at ${away.uid}`).sort(),
        );
        assert.equal(away.adapter.stats().received.missed, lost);
      },
      LONG,
    );
  }
}
