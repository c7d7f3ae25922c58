/**
 * Frames about frames: a process asks another one for what it missed of it (kind `q`), and that one says when it has
 * repeated all there is (kind `e`).
 */
import { MalformedMessage, parseObject, text } from "./message.ts";

/** What a process missed, or may have missed. */
export interface Ask {
  /** What the end of the answer carries. */
  id: number;
  /** Up to which sequence number it has everything. */
  after: number;
  /** The channels that it began to listen to; all where there are none. */
  channels?: readonly string[];
  /** How many milliseconds back what was sent matters; all of it where there is no such number. */
  back?: number;
  /** Whether it listens to the channels of all its rooms. */
  hasRoomChannels: boolean;
}

/** A frame that its sender has sent and does not remember. */
export interface Lost {
  sequence: number;
  /** How many messages begin in it. */
  messages: number;
}

/** Of how many frames that are not remembered each is named; one more stands before them for all that are older. */
export const MAX_LOST = 200;

/** The end of an answer. */
export interface AskEnd {
  id: number;
  /**
   * What could not be repeated, in order. Of many the first stands for all up to it. Some may have come before the
   * question was heard, which its sender does not know.
   */
  lost: readonly Lost[];
  /** The one of the question. */
  back?: number;
}

/** Encodes the body of a frame of kind `q`. */
export function encodeAsk({ id, after, channels, back, hasRoomChannels }: Ask): string {
  return JSON.stringify({
    i: id,
    a: after,
    ...channels !== undefined && { c: channels },
    ...back !== undefined && { b: back },
    d: hasRoomChannels,
  });
}

/**
 * Decodes the body of a frame of kind `q`.
 *
 * @throws MalformedMessage when it is none.
 */
export function decodeAsk(body: string): Ask {
  const { i, a, c, b, d } = parseObject(body);
  if (typeof d !== "boolean") {
    throw new MalformedMessage("Cannot read a question for frames as it has no flag");
  }
  const ask: Ask = { id: whole(i), after: whole(a), hasRoomChannels: d };
  if (b !== undefined) ask.back = whole(b);
  if (c === undefined) return ask;
  if (!Array.isArray(c)) {
    throw new MalformedMessage("Cannot read a question for frames as its channels are no array");
  }
  return { ...ask, channels: c.map((channel) => text(channel, "channel")) };
}

/** Encodes the body of a frame of kind `e`. */
export function encodeAskEnd({ id, lost, back }: AskEnd): string {
  const older = lost.slice(0, Math.max(0, lost.length - MAX_LOST));
  const messages = older.reduce((sum, { messages }) => sum + messages, 0);
  const named = lost.slice(older.length).map(({ sequence, messages }) => [sequence, messages]);
  if (older.length > 0) named.unshift([older.at(-1)!.sequence, messages]);
  return JSON.stringify({ i: id, l: named, ...back !== undefined && { b: back } });
}

/**
 * Decodes the body of a frame of kind `e`.
 *
 * @throws MalformedMessage when it is none.
 */
export function decodeAskEnd(body: string): AskEnd {
  const { i, l, b } = parseObject(body);
  if (!Array.isArray(l)) {
    throw new MalformedMessage("Cannot read an answer as what is lost is no array");
  }
  const lost = l.map((pair) => {
    if (!Array.isArray(pair)) {
      throw new MalformedMessage("Cannot read an answer as something that is lost is no array");
    }
    return { sequence: whole(pair[0]), messages: whole(pair[1]) };
  });
  return { id: whole(i), lost, ...b !== undefined && { back: whole(b) } };
}

function whole(value: unknown): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new MalformedMessage(
    "Cannot read a frame about frames as it has no whole number where one should be",
  );
}
