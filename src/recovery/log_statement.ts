/**
 * The statement that notifies and keeps for connection state recovery, in one transaction: a function for each frame,
 * which PostgreSQL evaluates from left to right.
 */
import type { Notification } from "../wire/frame.ts";

/** A frame that is to be sent. */
export interface Loggable extends Notification {
  readonly sequence: number;
  /** Where it is kept; what has none is only notified. */
  key?: string;
  /** Where it may be in the log already: the last number that was known before it was sent the first time. */
  after?: number;
}

const PARAMETERS = 5;

/** `select socketio.recovery_notify($1,$2,$3,$4,$5) as n0,…` */
export function logText(count: number): string {
  return `select ${
    Array.from({ length: count }, (_, i) => {
      const at = i * PARAMETERS + 1;
      return `socketio.recovery_notify($${at},$${at + 1},$${at + 2},$${at + 3},$${
        at + 4
      }) as n${i}`;
    }).join(",")
  }`;
}

/**
 * The parameters of {@linkcode logText}.
 *
 * @param uid The process that sends them.
 */
export function logParameters(uid: string, frames: readonly Loggable[]): (string | null)[] {
  return frames.flatMap(({ channel, payload, sequence, key, after }) => [
    channel,
    payload,
    key ?? null,
    key === undefined ? null : `${uid}:${sequence}`,
    after === undefined ? null : String(after),
  ]);
}

/** The numbers that the log gave, in the order of the frames. */
export function loggedNumbers(
  row: Readonly<Record<string, unknown>>,
  count: number,
): (number | undefined)[] {
  return Array.from({ length: count }, (_, i) => {
    const number = row[`n${i}`];
    return number === null || number === undefined ? undefined : Number(number);
  });
}
