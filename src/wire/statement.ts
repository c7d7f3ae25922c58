/**
 * The statements that send notifications: each as two parameters of one prepared statement, which PostgreSQL evaluates
 * from left to right, so that they are delivered in that order.
 */
import type { Notification } from "./frame.ts";

/** The most notifications that have a statement of their own; a target list has at most 1664 entries. */
export const MAX_NOTIFICATIONS = 128;

/** `select pg_notify($1,$2),pg_notify($3,$4)…` */
export function notifyText(count: number): string {
  return `select ${
    Array.from({ length: count }, (_, i) => `pg_notify($${i * 2 + 1},$${i * 2 + 2})`).join(",")
  }`;
}

/** The parameters of {@linkcode notifyText}. */
export function notifyParameters(items: readonly Notification[]): string[] {
  return items.flatMap(({ channel, payload }) => [channel, payload]);
}

/** The setting of a session that holds which statement took effect last. */
const LAST = "socketio.statement";

/** A statement with its parameters. */
export interface Statement {
  readonly text: string;
  readonly parameters: (string | null)[];
}

/**
 * Makes a `select` one of several under way: it takes effect, and has a row, only if the one before it did. The server
 * runs them one after the other, each in a transaction of its own, so that what follows one that it refuses would
 * overtake it otherwise. A setting goes back with its transaction, so it is that of the last one that took effect.
 *
 * @param id Which statement it is.
 * @param previous The one before it, when that is under way, too; otherwise it takes effect in any case.
 */
export function following(
  { text, parameters }: Statement,
  id: string,
  previous: string,
): Statement {
  const at = parameters.length;
  return {
    text: `${text.replace(/^select /, `select set_config('${LAST}',$${at + 1},false),`)} where $${
      at + 2
    }='' or current_setting('${LAST}',true)=$${at + 2}`,
    parameters: [...parameters, id, previous],
  };
}
