/** Somebody who may connect to the database and nothing else, and what they can do to a cluster: notify and listen. */
import postgres, { type Sql } from "postgres";
import { encodeFrame, type FrameHead, outgoing, packFrames } from "../../src/wire/frame.ts";
import type { Cluster } from "../support/cluster.ts";
import { connectSql } from "../support/sql.ts";
import type { Scope } from "../support/test.ts";

/** The sender of a stranger's frames. */
export const STRANGER = "5".repeat(16);

/** A connection of a role of its own, without any grants; both go with the test. */
export async function connectStranger(scope: Scope, uri: string): Promise<Sql> {
  const name = `stranger_${crypto.getRandomValues(new Uint32Array(2)).join("_")}`;
  const owner = connectSql(scope, uri);
  await owner.unsafe(`create role ${name} login password 'stranger'`);
  scope.after(() => owner.unsafe(`drop role ${name}`));
  const own = new URL(uri);
  own.username = name;
  own.password = "stranger";
  const sql = postgres(own.href, { max: 1, fetch_types: false, onnotice: () => {} });
  scope.after(() => sql.end({ timeout: 5 }));
  return sql;
}

let sequence = 0;

/** A record whose header is any text. */
export function record(header: unknown, body = ""): string {
  const head = typeof header === "string" ? header : JSON.stringify(header);
  return `${head.length},${body.length};${head}${body}`;
}

/** One frame around anything, by default as emitters send it: they keep no chain of sequence numbers. */
export function frame(body: string, head: Partial<FrameHead> = {}): string {
  return encodeFrame({ kind: "r", uid: STRANGER, sequence: ++sequence, ...head }, body);
}

/** As many frames as a record of any length needs. */
export function frames(text: string): string[] {
  const items = [outgoing("channel", text)];
  return packFrames(items, () => ({ uid: STRANGER, sequence: ++sequence }))
    .map(({ payload }) => payload);
}

/** Notifies many payloads in one go. */
export async function notifyAll(
  sql: Sql,
  notifications: readonly { channel: string; payload: string }[],
): Promise<void> {
  for (let at = 0; at < notifications.length; at += 500) {
    const some = notifications.slice(at, at + 500);
    // Parameters for each: PostgreSQL's arrays would have to be escaped.
    const calls = some.map((_, i) => `pg_notify($${2 * i + 1}, $${2 * i + 2})`);
    await sql.unsafe(
      `select ${calls.join(", ")}`,
      some.flatMap(({ channel, payload }) => [channel, payload]),
    );
  }
}

/** Everything that the cluster says, to whoever listens. */
export async function overhear(
  sql: Sql,
  cluster: Cluster,
): Promise<{ channel: string; payload: string }[]> {
  const heard: { channel: string; payload: string }[] = [];
  const uids = cluster.servers.map(({ adapter }) => adapter.stats().uid);
  for (const name of ["/", "~", ...uids.map((uid) => `~${uid}`)]) {
    const channel = `${cluster.prefix}:${name}`;
    await sql.listen(channel, (payload) => heard.push({ channel, payload }));
  }
  return heard;
}
