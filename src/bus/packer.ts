/**
 * Makes frames of what is to be sent: gives each its number, and the number of the frame before it on its channel.
 */
import {
  encodeFrame,
  type FrameHead,
  type FrameKind,
  maxBodyBytes,
  packFrames,
} from "../wire/frame.ts";
import type { Queued } from "./queue.ts";
import type { SentFrame } from "./sent_frames.ts";

/** How many channels' last sequence numbers are remembered. */
const MAX_REMEMBERED_CHANNELS = 65_536;

/** Where the chunks of a record are kept, all but the last one, which stands for it. */
export function piecesKey(uid: string, first: number): string {
  return `${uid}:${first}`;
}

/** A frame that has its place among those that are sent. */
export interface Packed extends SentFrame {
  /** Whether others may ask for it. */
  readonly isKept: boolean;
  /** Where it may be in the log already, when nobody knows whether it was committed: behind this number. */
  after?: number;
  /** Where it is kept for connection state recovery, if it is. */
  readonly key?: string;
  /** The messages that are whole with it, as far as they wait for it to come back. */
  readonly delivers?: Delivers;
}

/** What is called when the messages of a frame are in the log and have come back, in their order. */
export type Delivers = readonly {
  readonly deliver: Queued["deliver"];
  readonly logged: Queued["logged"];
}[];

/** Packs what one process sends. */
export class Packer {
  readonly #uid: string;
  #maxBody: number;
  readonly #previous: Map<string, number> = new Map();
  #sequence = 0;

  /**
   * @param uid The process.
   * @param maxFrame The most bytes of a frame.
   */
  constructor(uid: string, maxFrame: number) {
    this.#uid = uid;
    this.#maxBody = maxBodyBytes(maxFrame);
  }

  /** From now on frames leave room for what is put before them. */
  reserve(bytes: number): void {
    this.#maxBody -= bytes;
  }

  /** The number of the last frame. */
  get sequence(): number {
    return this.#sequence;
  }

  /** Frames of messages. */
  messages(items: readonly Queued[]): Packed[] {
    const frames = packFrames(items, (channel) => this.#head(channel), this.#maxBody);
    let isKept = false;
    // Those whose last frame has not come yet: one record in chunks, or the records of one frame.
    let open: readonly Queued[] = [];
    let first = 0;
    return frames.map(({ items: carried, ...frame }, i) => {
      const messages = carried.reduce((sum, { messages }) => sum + messages, 0);
      // The chunks that follow the first are kept with it.
      if (carried.length > 0) {
        isKept = messages > 0;
        open = carried;
        first = frame.sequence;
      }
      const next = frames[i + 1];
      const isLast = next === undefined || next.items.length > 0;
      const [{ key } = {}] = open;
      const isWaiting = isLast && open.some(({ deliver }) => deliver !== undefined);
      return {
        ...frame,
        messages,
        isKept,
        ...key !== undefined && { key: isLast ? key : piecesKey(this.#uid, first) },
        ...isWaiting && { delivers: open.map(({ deliver, logged }) => ({ deliver, logged })) },
      };
    });
  }

  /** A frame that is not about messages. */
  control(channel: string, kind: FrameKind, body: string): Packed {
    const head = this.#head(channel);
    return {
      channel,
      payload: encodeFrame({ kind, ...head }, body),
      sequence: head.sequence,
      bytes: 0,
      messages: 0,
      isKept: false,
    };
  }

  #head(channel: string): Omit<FrameHead, "kind" | "chunk"> {
    const previous = this.#previous.get(channel) ?? 0;
    const sequence = ++this.#sequence;
    // Deleting first keeps the map in the order of use, so that its first key is the one to forget.
    this.#previous.delete(channel);
    this.#previous.set(channel, sequence);
    if (this.#previous.size > MAX_REMEMBERED_CHANNELS) {
      this.#previous.delete(this.#previous.keys().next().value!);
    }
    return { uid: this.#uid, sequence, previous };
  }
}
