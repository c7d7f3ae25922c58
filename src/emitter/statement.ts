/**
 * One statement for any number of notifications, as text and parameters that are all text: every driver can run it.
 */
import type { Notification } from "../wire/frame.ts";
import { MAX_NOTIFICATIONS, notifyParameters, notifyText } from "../wire/statement.ts";

/** A statement with its parameters. */
export interface Statement {
  /** Its text, with `$1`, `$2`… for the parameters. */
  readonly text: string;
  /** The parameters. */
  readonly parameters: string[];
  /** Whether its text comes again, so that preparing it is worth it. */
  readonly isCommon: boolean;
}

/** The statement that sends notifications, in order. */
export function statementOf(items: readonly Notification[]): Statement {
  if (items.length <= MAX_NOTIFICATIONS) {
    return {
      text: notifyText(items.length),
      parameters: notifyParameters(items),
      isCommon: true,
    };
  }
  // A large message or batch: more than fit a target list, and still one statement, so that it arrives whole or not.
  return {
    text:
      "select pg_notify(channel, payload) from unnest($1::text::text[], $2::text::text[]) as frame(channel, payload)",
    parameters: [
      arrayLiteral(items.map(({ channel }) => channel)),
      arrayLiteral(items.map(({ payload }) => payload)),
    ],
    isCommon: false,
  };
}

/** Texts as an array of PostgreSQL: https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO */
export function arrayLiteral(items: readonly string[]): string {
  return `{${items.map((item) => `"${item.replace(/["\\]/g, "\\$&")}"`).join(",")}}`;
}
