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

/** About how many characters name what is lost, frame by frame: the end of an answer is one frame. */
export const MAX_NAMED_LENGTH = 4_000;

/** The end of an answer. */
export interface AskEnd {
  id: number;
  /**
   * What could not be repeated, in order. Some may have come before the question was heard, which its sender does not
   * know.
   */
  lost: readonly Lost[];
  /** What there is no room to name: the last frame of it, and the messages of all. It is older than what is named. */
  older?: Lost;
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

/** Encodes the body of a frame of kind `e`: of what is lost the last frames are named. */
export function encodeAskEnd({ id, lost, back }: Omit<AskEnd, "older">): string {
  const named: number[] = [];
  let from = lost.length;
  for (let length = 0; from > 0; from--) {
    const { sequence, messages } = lost[from - 1]!;
    const step = sequence - (lost[from - 2]?.sequence ?? 0);
    length += `${step},${messages},`.length;
    if (length > MAX_NAMED_LENGTH) break;
    named.push(messages, step);
  }
  const older = lost.slice(0, from);
  const sum = older.reduce((sum, { messages }) => sum + messages, 0);
  return JSON.stringify({
    i: id,
    ...older.length > 0 && { o: [older.at(-1)!.sequence, sum] },
    l: named.reverse(),
    ...back !== undefined && { b: back },
  });
}

/**
 * Decodes the body of a frame of kind `e`.
 *
 * @throws MalformedMessage when it is none.
 */
export function decodeAskEnd(body: string): AskEnd {
  const { i, o, l, b } = parseObject(body);
  const [older] = o === undefined ? [] : pairs(o);
  let sequence = older?.[0] ?? 0;
  const lost = pairs(l).map(([step, messages]) => {
    sequence = whole(sequence + step);
    return { sequence, messages };
  });
  return {
    id: whole(i),
    lost,
    ...older !== undefined && { older: { sequence: older[0], messages: older[1] } },
    ...b !== undefined && { back: whole(b) },
  };
}

/** Whole numbers, two by two. */
function pairs(value: unknown): [number, number][] {
  if (!Array.isArray(value) || value.length % 2 !== 0) {
    throw new MalformedMessage("Cannot read an answer as what is lost is no array of pairs");
  }
  return Array.from(
    { length: value.length / 2 },
    (_, at) => [whole(value[2 * at]), whole(value[2 * at + 1])],
  );
}

function whole(value: unknown): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new MalformedMessage(
    "Cannot read a frame about frames as it has no whole number where one should be",
  );
}
