/** A database that goes away and comes back while everyone talks. */
import assert from "node:assert/strict";
import { allReady, backends, hears, judge } from "../support/outage.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { connectSql } from "../support/sql.ts";
import { test } from "../support/test.ts";
import { createTraffic, QUICK } from "../support/traffic.ts";

const LONG = { deadline: 120_000 };

let started: Promise<PostgresServer> | undefined;

/** One server for all tests here, each of which leaves it running; it ends with the process. */
function ownServer(): Promise<PostgresServer> {
  return started ??= startPostgres();
}

test("a database that is away for seconds is found again soon, and nothing is lost", async (t) => {
  const server = await ownServer();
  const traffic = await createTraffic(t, {
    uri: server.uri,
    adapter: QUICK,
    rate: 67,
    proxied: true,
  });
  traffic.run();
  await traffic.more(60);
  const since = performance.now();
  const before = traffic.talkers.reduce((sum, { proxy }) => sum + proxy.accepted, 0);
  await server.halt();
  t.after(() => server.start());
  // Four seconds' worth.
  await traffic.more(800);
  const attempts = traffic.talkers.reduce((sum, { proxy }) => sum + proxy.accepted, -before);
  const away = (performance.now() - since) / 1_000;
  await server.start();
  const started = performance.now();
  const back = await Promise.all(
    traffic.talkers.map(async (talker) => (await hears(talker, "reconnect", since)).at),
  );
  await allReady(traffic);
  await traffic.more(60);
  judge(6, traffic, await traffic.stop(), {
    away: away * 1_000,
    attempts,
    recover: Math.max(...back) - started,
  });
  // Of each of six connections: at most seven in the first second and two in each later one.
  assert.ok(attempts <= 6 * (7 + 2 * away), `${attempts} attempts in ${away} s`);
}, LONG);

for (const mode of ["fast", "immediate"] as const) {
  test(`a ${mode} restart of the database loses nothing`, async (t) => {
    const server = await ownServer();
    const traffic = await createTraffic(t, { uri: server.uri, adapter: QUICK, rate: 67 });
    traffic.run();
    let recover = 0;
    for (let i = 0; i < 2; i++) {
      await traffic.more(60);
      const since = performance.now();
      await server.restart(mode);
      const started = performance.now();
      for (const talker of traffic.talkers) {
        const { at } = await hears(talker, "reconnect", since);
        recover = Math.max(recover, at - started);
      }
      await allReady(traffic);
    }
    judge(7, traffic, await traffic.stop(), { mode, recover });
  }, LONG);
}

for (const kind of ["listen", "publish"] as const) {
  test(
    `a ${kind}ing backend that is killed takes all others along, and nothing is lost`,
    async (t) => {
      const server = await ownServer();
      const traffic = await createTraffic(t, { uri: server.uri, adapter: QUICK, rate: 67 });
      const sql = connectSql(t, server.uri);
      traffic.run();
      await traffic.more(60);
      const [pid] = await backends(sql, kind, traffic.at(0).uid);
      await sql.end();
      const since = performance.now();
      server.killBackend(pid ?? 0);
      const back = await Promise.all(
        traffic.talkers.map(async (talker) => (await hears(talker, "reconnect", since)).at),
      );
      await allReady(traffic);
      await traffic.more(60);
      judge(7, traffic, await traffic.stop(), {
        mode: `kill -9 of a ${kind}ing backend`,
        recover: Math.max(...back) - since,
      });
    },
    LONG,
  );
}
