import postgres, { type Sql } from "postgres";
import type { Scope } from "./test.ts";

/** A client of the database, as anybody may have one; it ends with the test. */
export function connectSql(scope: Scope, uri: string): Sql {
  const sql = postgres(uri, { max: 1, fetch_types: false, onnotice: () => {} });
  scope.after(() => sql.end({ timeout: 5 }));
  return sql;
}

/** Everything that is notified on some channels from here on. */
export async function listenTo(
  scope: Scope,
  uri: string,
  channels: readonly string[],
): Promise<{ channel: string; payload: string }[]> {
  const sql = connectSql(scope, uri);
  const heard: { channel: string; payload: string }[] = [];
  for (const channel of channels) {
    await sql.listen(channel, (payload) => heard.push({ channel, payload }));
  }
  return heard;
}

/** A database of its own, for what other tests must not be seen in; it goes with the test. */
export async function createDatabase(
  scope: Scope,
  uri: string,
  options = "",
): Promise<{ uri: string; name: string }> {
  const sql = connectSql(scope, uri);
  const name = `contract_${crypto.getRandomValues(new Uint32Array(2)).join("_")}`;
  await sql.unsafe(`create database ${name} ${options}`);
  scope.after(() => sql.unsafe(`drop database if exists ${name} with (force)`));
  const own = new URL(uri);
  own.pathname = `/${name}`;
  return { uri: own.href, name };
}
