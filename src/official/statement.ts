/**
 * The statements of the other wire. The name of the table stands in them as it was given, which was checked.
 */
import { codeOf } from "../bus/sql_state.ts";
import { arrayLiteral } from "../emitter/statement.ts";
import { toBase64 } from "../wire/base64.ts";
import { MAX_NOTIFICATIONS } from "../wire/statement.ts";
import { AFTER_ID, type OfficialNotification } from "./message.ts";

/** A NOTIFY of either wire. */
type Item = Pick<OfficialNotification, "channel" | "payload" | "attachment">;

/** What PostgreSQL says where the table, or its schema, is not. */
export const MISSING: readonly string[] = ["42P01", "3F000"];

/** What it says to who may not use or make it. */
export const FORBIDDEN = "42501";

/** What it says where two make the table at once: duplicate_table, duplicate_object, unique_violation. */
export const AT_ONCE: readonly string[] = ["42P07", "42710", "23505"];

/** Whether a statement was refused since the table is not there or may not be used. */
export function isUnavailable(fault: unknown): boolean {
  const code = codeOf(fault);
  return MISSING.includes(code) || code === FORBIDDEN;
}

/** A statement with its parameters, which are all text. */
export interface OfficialStatement {
  readonly text: string;
  readonly parameters: string[];
}

/** What theirs asks its users to make, but for what they leave to chance: whether it is there already. */
export function tableText(table: string): string {
  return `create table if not exists ${table} (
  id bigserial unique,
  created_at timestamptz default now(),
  payload bytea
)`;
}

/** The most of what is to lie in the table that one statement takes: a target list has at most 1664 entries. */
export const MAX_ATTACHMENTS = 800;

/**
 * Sends notifications, in order. What is to lie in the table is put there by the same statement, so that nobody hears of
 * it before it is there.
 */
export function notifyOfficial(
  items: readonly Item[],
  table: string,
): OfficialStatement {
  const parameters: string[] = [];
  const next = (value: string) => `$${parameters.push(value)}::text`;
  // Parameters stand in the order of their numbers: some who build queries count them.
  const inserts = items.flatMap(({ attachment }) =>
    attachment === undefined ? [] : [`decode(${next(toBase64(attachment))}, 'base64')`]
  ).map((bytes, i) => `a${i} as (insert into ${table} (payload) values (${bytes}) returning id)`);
  // Those that are not so few that each may have parameters of its own share two.
  const areMany = items.length > MAX_NOTIFICATIONS;
  const calls: string[] = [];
  let run: Item[] = [];
  let attached = 0;
  const finish = () => {
    if (run.length === 0) return;
    const arrays = [run.map(({ channel }) => channel), run.map(({ payload }) => payload)]
      .map((texts) => `${next(arrayLiteral(texts))}::text[]`);
    calls.push(
      `(select count(pg_notify(channel, payload)) from unnest(${arrays}) as frame(channel, payload))`,
    );
    run = [];
  };
  for (const item of items) {
    const { channel, payload, attachment } = item;
    if (attachment === undefined && areMany) {
      run.push(item);
      continue;
    }
    finish();
    const call = `${next(channel)}, ${next(payload)}`;
    calls.push(
      attachment === undefined
        ? `pg_notify(${call})`
        : `(select pg_notify(${call} || id || '${AFTER_ID}') from a${attached++})`,
    );
  }
  finish();
  const before = inserts.length === 0 ? "" : `with ${inserts.join(", ")} `;
  return { text: `${before}select ${calls.join(", ")}`, parameters };
}

/** Fetches what lies in the table, unless it is too large. */
export function fetchStatement(table: string, id: string, maxBytes: number): OfficialStatement {
  return {
    text: `select case when octet_length(payload) <= $2::text::bigint then payload end as payload,
  octet_length(payload) as bytes from ${table} where id = $1::text::bigint`,
    parameters: [id, String(maxBytes)],
  };
}

/** How many rows are deleted at a time: few enough not to hold up what is sent. */
export const CLEANED = 500;

/** Deletes what has lain in the table for longer, up to some rows. */
export function cleanStatement(table: string, ageMs: number): OfficialStatement {
  return {
    text: `with gone as (delete from ${table} where id in (select id from ${table}
  where created_at < now() - ($1::text || ' milliseconds')::interval limit ${CLEANED}) returning 1)
select count(*) as gone from gone`,
    parameters: [String(ageMs)],
  };
}
