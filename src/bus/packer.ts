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

/** A frame that has its place among those that are sent. */
export interface Packed extends SentFrame {
  /** Whether others may ask for it. */
  readonly isKept: boolean;
}

/** Packs what one process sends. */
export class Packer {
  readonly #uid: string;
  readonly #maxBody: number;
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

  /** The number of the last frame. */
  get sequence(): number {
    return this.#sequence;
  }

  /** Frames of messages. */
  messages(items: readonly Queued[]): Packed[] {
    const frames = packFrames(items, (channel) => this.#head(channel), this.#maxBody);
    let isKept = false;
    return frames.map(({ items: carried, ...frame }) => {
      const messages = carried.reduce((sum, { messages }) => sum + messages, 0);
      // The chunks that follow the first are kept with it.
      if (carried.length > 0) isKept = messages > 0;
      return { ...frame, messages, isKept };
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
