/**
 * The statements that notify and keep for connection state recovery, in one transaction each: one call that takes all
 * frames, and where there are few, or one may be in the log already, a call for each, from left to right.
 */
import type { Notification } from "../wire/frame.ts";

/** From how many frames on one call for all of them is faster: for 128 it takes a third of the time. */
const MIN_FRAMES_OF_ALL = 8;

/** A frame that is to be sent. */
export interface Loggable extends Notification {
  readonly sequence: number;
  /** Where it is kept; what has none is only notified. */
  key?: string;
  /** Where it may be in the log already: the last number that was known before it was sent the first time. */
  after?: number;
}

/** A statement with its parameters. */
export interface LogStatement {
  readonly text: string;
  readonly parameters: (string | null)[];
}

/**
 * A statement that sends frames, in their order.
 *
 * @param uid The process that sends them.
 */
export function logStatement(uid: string, frames: readonly Loggable[]): LogStatement {
  const isEach = frames.length < MIN_FRAMES_OF_ALL ||
    frames.some(({ after }) => after !== undefined);
  return isEach
    ? { text: eachText(frames.length), parameters: eachParameters(uid, frames) }
    : { text: allText(frames.length), parameters: allParameters(uid, frames) };
}

/**
 * The numbers that the log gave, in the order of the frames.
 *
 * @param row What the statement returned.
 */
export function loggedNumbers(
  row: Readonly<Record<string, unknown>>,
  count: number,
): (number | undefined)[] {
  const all = row["numbers"];
  const given = typeof all === "string"
    ? all.split(",")
    : Array.from({ length: count }, (_, i) => row[`n${i}`]);
  return given.map((number) => number === null || number === "" ? undefined : Number(number));
}

/** `select socketio.recovery_notify($1,$2,$3,$4,$5) as n0,…` */
function eachText(count: number): string {
  const calls = Array.from(
    { length: count },
    (_, i) => `socketio.recovery_notify(${positions(5, i * 5 + 1)}) as n${i}`,
  );
  return `select ${calls.join(",")}`;
}

function eachParameters(uid: string, frames: readonly Loggable[]): (string | null)[] {
  return frames.flatMap(({ channel, payload, sequence, key, after }) => [
    channel,
    payload,
    key ?? null,
    key === undefined ? null : `${uid}:${sequence}`,
    after === undefined ? null : String(after),
  ]);
}

/** Payloads are parameters of their own: in one that is an array they would have to be escaped. */
function allText(count: number): string {
  const arrays = [0, 1, 2].map((i) => `array[${positions(count, i * count + 3)}]`);
  return `select socketio.recovery_notify_all(${arrays.join(",")},$1,$2) as numbers`;
}

function allParameters(uid: string, frames: readonly Loggable[]): (string | null)[] {
  return [
    uid,
    `{${frames.map(({ sequence }) => sequence).join(",")}}`,
    ...frames.map(({ channel }) => channel),
    ...frames.map(({ payload }) => payload),
    ...frames.map(({ key }) => key ?? null),
  ];
}

/** `$3,$4,$5` */
function positions(count: number, first: number): string {
  return Array.from({ length: count }, (_, i) => `$${first + i}`).join(",");
}
