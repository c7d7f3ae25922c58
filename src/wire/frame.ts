/**
 * A frame: one payload of NOTIFY that an adapter or the emitter sends,
 *
 * ```text
 * frame  = version kind uid sequence [ "+" ] [ "," previous ] ";" body
 *        | version "c" uid sequence [ "+" ] "," [ previous ] "," index "/" count ";" piece
 * ```
 *
 * It is all text, and starts with a fixed number of characters up to the sender, so that a process recognises its own
 * frames by comparing these and stops there.
 */
import { FRAME_NUMBERS, numbered, splitNumber } from "./logged.ts";
import { MalformedMessage } from "./message.ts";
import { splitUtf8, utf8Length } from "./utf8.ts";

/** The version of the protocol: the first character of each frame. */
export const WIRE_VERSION = "1";

/** NOTIFY refuses 8000 bytes: https://www.postgresql.org/docs/current/sql-notify.html */
export const MAX_PAYLOAD_BYTES = 7999;

/** How many characters a sender's uid has. */
export const UID_LENGTH = 16;

/** The most bytes that a head has: version, kind, uid, two sequence numbers, index and count, and what separates them. */
const MAX_HEAD_BYTES = 2 + UID_LENGTH + 15 + 1 + 1 + 15 + 1 + 7 + 1 + 7 + 1;

/** The most bytes of records in one frame of at most so many bytes. */
export function maxBodyBytes(maxFrameBytes: number): number {
  return maxFrameBytes - MAX_HEAD_BYTES;
}

/** The most bytes of records in one frame that is not sealed. */
export const MAX_BODY_BYTES: number = maxBodyBytes(MAX_PAYLOAD_BYTES);

/**
 * `r`: whole records. `c`: a piece of one record. `q`: asks for frames that were missed. `e`: the end of those that were
 * asked for. `b`: the last words of a process. `p`: the probe of a connection.
 */
export type FrameKind = "r" | "c" | "q" | "e" | "b" | "p";

/** What stands before the records of a frame. */
export interface FrameHead {
  kind: FrameKind;
  /** The process that sent it: 16 hexadecimal digits. */
  uid: string;
  /** Counts the frames of the sender, over all channels, from 1. */
  sequence: number;
  /**
   * The sequence number of the sender's frame before this one on the same channel, 0 where there was none: what shows
   * a receiver that it missed one. None from senders that keep no memory of what they sent (emitters).
   */
  previous?: number;
  /** Which piece of a record this is, and of how many. */
  chunk?: { index: number; count: number };
}

/** A frame that was read. */
export interface Frame extends FrameHead {
  /** Whether it is said again, to those who asked for it; its kind is in upper case then. */
  isRepeat: boolean;
  /** Whether its sender could not know if it had been committed, and sent it once more. */
  isResent: boolean;
  /** Its number in the log of connection state recovery, where it is in it: that of its first message. */
  number?: number;
  /** The channel that a chunk came on. */
  channel?: string;
  body: string;
}

/** A new sender's uid. */
export function createUid(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(UID_LENGTH / 2));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A uid that does not keep the whole payload that it was cut out of. */
export function ownCopy(uid: string): string {
  return [...uid].join("");
}

/** What every frame of a kind and a sender starts with. */
export function frameStart(kind: FrameKind, uid: string): string {
  return `${WIRE_VERSION}${kind}${uid}`;
}

/** Encodes a frame. */
export function encodeFrame(head: FrameHead, body: string): string {
  const { kind, uid, sequence, previous, chunk } = head;
  let start = `${frameStart(kind, uid)}${sequence}`;
  if (previous !== undefined || chunk !== undefined) start += `,${previous ?? ""}`;
  if (chunk !== undefined) start += `,${chunk.index}/${chunk.count}`;
  return `${start};${body}`;
}

/** Whether a payload is a frame of this sender: all that a sender looks at in its own echo. */
export function isFrameOf(uid: string, payload: string): boolean {
  return payload.startsWith(uid, 2);
}

const HEAD =
  /^1([rcqebpRC])([0-9a-f]{16})(\d{1,15})(\+?)(?:,(\d{0,15}))?(?:,(\d{1,7})\/(\d{1,7}))?$/;

/** The payload of a frame that is said again. */
export function repeated(payload: string): string {
  const { number, frame } = splitNumber(payload);
  const again = `${frame[0]}${frame[1]!.toUpperCase()}${frame.slice(2)}`;
  return number === undefined ? again : numbered(number, again);
}

/** Whether a frame whose beginning is known to be well-formed is said again: a process' own. */
export function isRepeated(payload: string): boolean {
  return payload[1] !== payload[1]?.toLowerCase();
}

/** The payload of a frame that is sent once more, since nobody knows whether it was committed. */
export function resent(payload: string): string {
  return payload.replace(/^(.{18}\d+)(?=[,;])/, "$1+");
}

/** The sequence number of a frame whose beginning is known to be well-formed: a process' own. */
export function sequenceOf(payload: string): number {
  return Number.parseInt(payload.slice(2 + UID_LENGTH, 2 + UID_LENGTH + 15), 10);
}

/**
 * Decodes a frame.
 *
 * @throws MalformedMessage when it is none.
 */
export function decodeFrame(payload: string): Frame {
  const end = payload.indexOf(";");
  const match = end === -1 || end > MAX_HEAD_BYTES ? null : HEAD.exec(payload.slice(0, end));
  if (match === null) throw new MalformedMessage("Cannot read a frame as its head is malformed");
  const [, kind, uid, sequence, resent, previous, index, count] = match;
  const lower = kind!.toLowerCase();
  const frame: Frame = {
    kind: lower as FrameKind,
    isRepeat: kind !== lower,
    isResent: resent !== "",
    uid: uid!,
    sequence: Number(sequence),
    body: payload.slice(end + 1),
  };
  if (frame.sequence === 0) {
    throw new MalformedMessage("Cannot read a frame as its number is 0, and the first one is 1");
  }
  if (previous !== undefined && previous !== "") frame.previous = Number(previous);
  if ((lower === "c") !== (index !== undefined)) {
    throw new MalformedMessage("Cannot read a frame as its kind and its chunk differ");
  }
  if (index !== undefined) frame.chunk = { index: Number(index), count: Number(count) };
  return frame;
}

/** One NOTIFY. */
export interface Notification {
  /** The name of the channel, at most 63 bytes. */
  channel: string;
  /** What is notified, at most 7999 bytes. */
  payload: string;
}

/** A record that waits to be sent. */
export interface Outgoing {
  channel: string;
  record: string;
  /** The length of the record in bytes of UTF-8. */
  bytes: number;
  /** Where it is kept for connection state recovery, if it is: it shares frames only with what is kept there, too. */
  readonly key?: string;
}

/** Measures a record once, on its way in. */
export function outgoing(channel: string, record: string): Outgoing {
  return { channel, record, bytes: utf8Length(record) };
}

/** A frame that is ready to be sent. */
export interface PackedFrame<Item extends Outgoing = Outgoing> extends Notification {
  sequence: number;
  /** About how many bytes it has. */
  bytes: number;
  /** What it carries; the first of several chunks stands for all of them. */
  items: readonly Item[];
}

/**
 * Packs records into frames, in order: neighbours on one channel share a frame, and a record that is larger than a
 * payload is cut into chunks. A frame never holds what comes after a record of another channel, so that the order over
 * channels is kept. What is kept for recovery has a number of its own, of which a frame has so many.
 *
 * @param head Makes the head of the next frame on a channel: it counts the sequence.
 * @param maxBody The most bytes of records in one frame.
 */
export function packFrames<Item extends Outgoing>(
  items: readonly Item[],
  head: (channel: string) => Omit<FrameHead, "kind" | "chunk">,
  maxBody: number = MAX_BODY_BYTES,
): PackedFrame<Item>[] {
  const frames: PackedFrame<Item>[] = [];
  let channel = "", body = "", bytes = 0;
  let key: string | undefined;
  let carried: Item[] = [];
  const add = (kind: FrameKind, text: string, chunk?: FrameHead["chunk"]) => {
    const full: FrameHead = { kind, ...head(channel) };
    if (chunk !== undefined) full.chunk = chunk;
    frames.push({
      channel,
      payload: encodeFrame(full, text),
      sequence: full.sequence,
      bytes: bytes + MAX_HEAD_BYTES,
      items: carried,
    });
    carried = [];
  };
  const finish = () => {
    if (body !== "") add("r", body);
    body = "";
    bytes = 0;
  };
  for (const item of items) {
    const isFull = bytes + item.bytes > maxBody ||
      key !== undefined && carried.length >= FRAME_NUMBERS;
    if (item.channel !== channel || item.key !== key || isFull) finish();
    channel = item.channel;
    key = item.key;
    carried.push(item);
    if (item.bytes <= maxBody) {
      body += item.record;
      bytes += item.bytes;
      continue;
    }
    const pieces = splitUtf8(item.record, maxBody);
    bytes = maxBody;
    pieces.forEach((piece, index) => add("c", piece, { index, count: pieces.length }));
    bytes = 0;
  }
  finish();
  return frames;
}
