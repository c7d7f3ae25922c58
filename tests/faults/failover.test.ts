/** Row 19: the primary ends, and its standby takes over after a while. */
import assert from "node:assert/strict";
import { record } from "../support/figures.ts";
import { verify } from "../support/history.ts";
import { startPostgres } from "../support/postgres.ts";
import { connectSql } from "../support/sql.ts";
import { test } from "../support/test.ts";
import { createTraffic, QUICK } from "../support/traffic.ts";
import { next, until } from "../support/wait.ts";

/** How long the standby stays one. */
const STANDBY_MS = 2_000;

test(
  "row 19: adapters follow a failover to the promoted standby, and use none that is not",
  async (t) => {
    const primary = await startPostgres();
    t.after(() => primary.stop());
    const standby = await startPostgres({ standbyOf: primary });
    t.after(() => standby.stop());
    const uri =
      `postgresql://postgres@127.0.0.1:${primary.port},127.0.0.1:${standby.port}/postgres`;
    const traffic = await createTraffic(t, {
      uri,
      size: 3,
      rate: 50,
      maxSize: 8_000,
      adapter: { ...QUICK, requestsTimeout: 1_000 },
    });
    traffic.run();
    await traffic.more(150);
    const lost = traffic.talkers.map(({ adapter }) => next(adapter, "disconnect"));
    const start = performance.now();
    await primary.halt("immediate");
    await Promise.all(lost);
    const noticed = performance.now() - start;
    const sql = connectSql(t, standby.uri);
    await until("the standby has been tried for some time", async () => {
      const [row] = await sql`select count(*)::int as channels from pg_stat_activity
      where application_name like 'socketio-pg:%' and query ilike 'listen%'`;
      assert.equal(row?.channels, 0, "nobody listens on a standby");
      return performance.now() - start > STANDBY_MS;
    });
    const codes = new Set(
      traffic.told("error").map(({ detail }) => (detail as { code?: string }).code),
    );
    assert.ok(codes.has("STANDBY"), [...codes].join());
    const back = traffic.talkers.map(({ adapter }) => next(adapter, "reconnect", 20_000));
    await standby.promote();
    const promoted = performance.now();
    const { node } = traffic.at(0);
    await until("a first one is back", () => node.adapter.stats().phase === "ready");
    const first = performance.now() - promoted;
    await Promise.all(back);
    const all = performance.now() - promoted;
    record(19, { noticed, first, all, codes: [...codes].join() });
    assert.ok(all < 1_500 + 1_500, `all are back ${all} ms after the promotion`);
    await traffic.more(150);
    verify(await traffic.stop(), { gaps: "any" });
  },
  { deadline: 90_000 },
);
