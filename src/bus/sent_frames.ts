/**
 * What this process has sent of late: from here others get what they missed. It is bounded in time and in bytes; of
 * what is past the bounds only the number of messages is known, for a while.
 */
import type { Lost } from "../wire/ask.ts";
import type { Notification } from "../wire/frame.ts";

/** A frame that was sent. */
export interface SentFrame extends Notification {
  sequence: number;
  /** About how many bytes it has. */
  bytes: number;
  /** How many messages of the application begin in it. */
  messages: number;
}

/** Frames that were asked for. */
export interface Remembered {
  frames: SentFrame[];
  /** What is not remembered any more. */
  lost: Lost[];
}

type Forgotten = Pick<SentFrame, "sequence" | "channel" | "messages"> & { at: number };

/** Of how many frames that are not kept any more the number of messages is known. */
const MAX_FORGOTTEN = 20_000;

/** The frames that were sent of late. */
export class SentFrames {
  readonly #window: number;
  readonly #maxBytes: number;
  #frames: { frame: SentFrame; at: number }[] = [];
  #head = 0;
  #bytes = 0;
  #forgotten: Forgotten[] = [];
  /** Whether somebody waits for an answer: nothing gets too old meanwhile. */
  isAsked = false;

  /**
   * @param window For how many milliseconds a frame is kept.
   * @param maxBytes How many bytes of frames are kept.
   */
  constructor(window: number, maxBytes: number) {
    this.#window = window;
    this.#maxBytes = maxBytes;
  }

  /** About how many bytes it holds. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Keeps a frame that PostgreSQL has taken; frames come in the order of their sequence. */
  add(frame: SentFrame): void {
    this.#frames.push({ frame, at: performance.now() });
    this.#bytes += frame.bytes;
    this.sweep();
  }

  /** Lets go of what is past the bounds. */
  sweep(): void {
    const before = this.isAsked ? -Infinity : performance.now() - this.#window;
    while (this.#head < this.#frames.length) {
      const { frame, at } = this.#frames[this.#head]!;
      if (at >= before && this.#bytes <= this.#maxBytes) break;
      this.#head++;
      this.#bytes -= frame.bytes;
      const { sequence, channel, messages } = frame;
      if (messages > 0) this.#forgotten.push({ sequence, channel, messages, at });
    }
    if (this.#forgotten.length > 2 * MAX_FORGOTTEN) {
      this.#forgotten = this.#forgotten.slice(-MAX_FORGOTTEN);
    }
    if (this.#head * 2 > this.#frames.length) {
      this.#frames = this.#frames.slice(this.#head);
      this.#head = 0;
    }
  }

  /**
   * What was sent after a sequence number on channels that are wanted, in order.
   *
   * @param since From when on, as `performance.now()` says it.
   * @param isMissed Whether one that is not remembered counts as lost.
   */
  after(
    sequence: number,
    isWanted: (channel: string) => boolean,
    since: number = -Infinity,
    isMissed: (sequence: number, channel: string) => boolean = () => true,
  ): Remembered {
    const frames: SentFrame[] = [];
    for (let i = this.#frames.length - 1; i >= this.#head; i--) {
      const { frame, at } = this.#frames[i]!;
      if (frame.sequence <= sequence || at < since) break;
      if (isWanted(frame.channel)) frames.push(frame);
    }
    const lost: Lost[] = [];
    for (let i = this.#forgotten.length - 1; i >= 0; i--) {
      const frame = this.#forgotten[i]!;
      if (frame.sequence <= sequence || frame.at < since) break;
      if (!isWanted(frame.channel) || !isMissed(frame.sequence, frame.channel)) continue;
      lost.push({ sequence: frame.sequence, messages: frame.messages });
    }
    return { frames: frames.reverse(), lost: lost.reverse() };
  }
}
