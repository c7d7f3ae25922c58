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
