/**
 * Faults of the database's side, and how long adapters take to notice and to recover.
 *
 * @module
 */

import type { Sql } from "postgres";
import { type Figures, record } from "./figures.ts";
import type { Kind } from "./fault_proxy.ts";
import { type Allowance, examine, type History, ownPart, verify } from "./history.ts";
import type { Talker, Told, Traffic } from "./traffic.ts";
import { until } from "./wait.ts";

/** The server processes behind an adapter's connection; none while it connects. */
export async function backends(sql: Sql, kind: Kind, uid: string): Promise<number[]> {
  const rows = await sql<{ pid: number }[]>`
    select pid from pg_stat_activity where application_name = ${`socketio-pg:${kind}:${uid}`}`;
  return rows.map(({ pid }) => pid);
}

/** Ends an adapter's connection from the server's side, and waits until there was one to end. */
export async function terminate(sql: Sql, kind: Kind, uid: string): Promise<void> {
  await until(`the ${kind}ing connection of ${uid} is ended`, async () => {
    const rows = await sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where application_name = ${`socketio-pg:${kind}:${uid}`}`;
    return rows.length > 0;
  }, 20_000);
}

/** Waits for the next thing of a kind that an adapter tells after a time. */
export async function hears(
  talker: Talker,
  event: Told["event"],
  since: number,
  ms = 30_000,
): Promise<Told> {
  let found: Told | undefined;
  await until(`the event "${event}" of ${talker.uid}`, () => {
    found = talker.told.find((told) => told.event === event && told.at >= since);
    return found !== undefined;
  }, ms);
  return found as Told;
}

/** Waits until every adapter works. */
export async function allReady({ talkers }: Traffic, ms = 30_000): Promise<void> {
  await until(
    "every adapter is ready",
    () => talkers.every(({ adapter }) => adapter.stats().phase === "ready"),
    ms,
  );
}

/** The outages that adapters told of: how many, and the longest. */
export function outages(talkers: readonly Talker[]): { count: number; longest: number } {
  let [count, longest] = [0, 0];
  for (const { told } of talkers) {
    let since: number | undefined;
    for (const { event, at } of told) {
      if (event === "disconnect") {
        count++;
        since ??= at;
      } else if (event === "reconnect" && since !== undefined) {
        longest = Math.max(longest, at - since);
        since = undefined;
      }
    }
  }
  return { count, longest };
}

/**
 * Records what a row of the matrix came to, and requires the history to keep the promise.
 *
 * @throws {Error} When it does not.
 */
export function judge(
  row: number,
  traffic: Traffic,
  history: History,
  figures: Figures = {},
  allowance: Allowance = {},
): void {
  const { sent, lost, doubled, reordered, altered, reported } = examine(history, allowance);
  const { count, longest } = outages(traffic.talkers);
  const resent = traffic.talkers.reduce(
    (sum, { adapter }) => sum + adapter.stats().received.duplicates,
    0,
  );
  record(row, {
    sent,
    lost,
    doubled,
    reordered,
    altered,
    reported,
    disconnects: count,
    "longest outage": longest,
    resent,
    ...figures,
  });
  verify(ownPart(history));
  verify(history, allowance);
}
