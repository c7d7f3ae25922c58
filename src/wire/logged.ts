/**
 * What the log of connection state recovery puts before a frame: its number, `@1764130000000001;frame`. Numbers are in
 * the order in which PostgreSQL committed, over all processes. The database gives them, so they are outside of the seal.
 *
 * The number of a frame is that of its first message; those that share it have the numbers behind that.
 */
import { decodeMessages, MalformedMessage, type Message } from "./message.ts";

/** How many messages share a frame at most, where each has a number: the numbers of frames are so far apart. */
export const FRAME_NUMBERS = 128;

/** The most bytes that are put before a frame. */
export const MAX_NUMBER_BYTES = 18;

const NUMBERED = /^@(\d{1,16});/;

/** The payload of a frame that is in the log. */
export function numbered(number: number, frame: string): string {
  return `@${number};${frame}`;
}

/** The number of a payload, where it has one, and the frame behind it. */
export function splitNumber(payload: string): { number?: number; frame: string } {
  if (payload[0] !== "@") return { frame: payload };
  const match = NUMBERED.exec(payload);
  // What is malformed is no frame either.
  if (match === null) return { frame: payload };
  return { number: Number(match[1]), frame: payload.slice(match[0].length) };
}

/** A message that has its number, and is not decoded yet. */
export interface NumberedRecord {
  readonly number: number;
  /** @throws MalformedMessage when it cannot be read: that is no matter for its neighbours. */
  decode(): Message;
}

/**
 * The messages of a frame with their numbers.
 *
 * @param first The number of the frame.
 * @throws MalformedMessage when the rest of the frame cannot be read, or would have the numbers of another one.
 */
export function* numberMessages(
  records: string,
  first: number,
): Generator<NumberedRecord, void, undefined> {
  let place = 0;
  for (const decode of decodeMessages(records)) {
    if (place === FRAME_NUMBERS) {
      throw new MalformedMessage(
        `Cannot read the rest of a frame as it is in the log and holds more than ${FRAME_NUMBERS} messages`,
      );
    }
    yield { number: first + place++, decode };
  }
}
