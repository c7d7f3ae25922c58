/**
 * Answers others who missed frames of this process. What is asked for within a short time is answered together, so that
 * twenty processes that missed the same are sent it once or twice, and not twenty times: what is said again is said on
 * the channel that it was sent on. The first who asks is answered at once; the more that was, the longer others are
 * collected before the next answer.
 */
import { type Ask, encodeAskEnd } from "../wire/ask.ts";
import { isPrivateChannel, privateChannel } from "../wire/channel.ts";
import { type Notification, repeated } from "../wire/frame.ts";
import type { Remembered } from "./sent_frames.ts";

/**
 * For how many milliseconds after an answer questions are collected, at most: one for each frame that was said again, so
 * that those who join rooms are answered at once. Processes that lost one database are back within about a second of
 * each other.
 */
const MAX_COLLECT_MS = 1_200;

/** How many times longer when answers follow each other: who is slow to take one must not get the next ones all the faster. */
const MAX_FACTOR = 4;

/** How often it is looked whether an answer that has to wait can be given. */
const RETRY_MS = 50;

/** How many questions wait at once, at most: what is not answered is asked again. */
const MAX_ASKS = 1_024;

/** From how many frames on the other questions wait for the next answer. */
const MAX_FRAMES = 50_000;

/** What answers are made of: the publisher. */
export interface RepeatsPublisher {
  readonly takesRepeats: boolean;
  readonly lastSequence: number;
  isAsked: boolean;
  sentAfter(
    sequence: number,
    isWanted: (channel: string) => boolean,
    since?: number,
    isMissed?: (sequence: number, channel: string) => boolean,
  ): Remembered;
  flush(): Promise<void>;
  repeat(frames: readonly Notification[]): void;
  control(channel: string, kind: "e", body: string): void;
}

/** A question that waits. */
interface Asked {
  readonly uid: string;
  ask: Ask;
  /** What was the last frame when it came: what comes after it is heard where it is sent. */
  readonly top: number;
  /** Whether it can be answered: all that was published before it is sent. */
  isDue: boolean;
}

/** Says again what others missed. */
export class Repeats {
  readonly #prefix: string;
  readonly #isForAll: (channel: string) => boolean;
  readonly #publisher: RepeatsPublisher;
  readonly #asks: Map<string, Asked> = new Map();
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the next answer may be given. */
  #nextAt = -Infinity;
  /** How long questions were collected after the last answer. */
  #collected = 0;
  #factor = 1;
  #isLeaving = false;
  #isClosed = false;

  /**
   * @param prefix The prefix of the cluster's channels.
   * @param isForAll Whether a channel is listened to by all who get what is sent on it, and not only by those that listen
   * to the channels of their rooms.
   */
  constructor(
    prefix: string,
    isForAll: (channel: string) => boolean,
    publisher: RepeatsPublisher,
  ) {
    this.#prefix = prefix;
    this.#isForAll = isForAll;
    this.#publisher = publisher;
  }

  /** A process asks. */
  ask(uid: string, ask: Ask): void {
    if (this.#isClosed) return;
    const key = `${uid} ${ask.id}`;
    const before = this.#asks.get(key);
    if (before !== undefined) {
      // Asked again, from then on.
      before.ask = ask;
      return;
    }
    if (this.#asks.size >= MAX_ASKS) return;
    const asked = { uid, ask, top: this.#publisher.lastSequence, isDue: ask.hasRoomChannels };
    this.#asks.set(key, asked);
    this.#publisher.isAsked = true;
    if (asked.isDue) return this.#schedule();
    // What waits to be sent may be for the channels of rooms, where this process does not hear it.
    this.#publisher.flush().then(() => {
      asked.isDue = true;
      this.#schedule();
    });
  }

  /** From now on answers at once: this process will not be there for long. */
  hurry(): void {
    this.#isLeaving = true;
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#answer();
  }

  /** Answers nobody any more. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  #schedule(): void {
    if (this.#isClosed || this.#timer !== undefined) return;
    const delay = this.#isLeaving ? 0 : Math.max(0, this.#nextAt - performance.now());
    this.#timer = setTimeout(() => this.#answer(), delay);
  }

  #answer(): void {
    this.#timer = undefined;
    if (!this.#publisher.takesRepeats && !this.#isLeaving) {
      this.#timer = setTimeout(() => this.#answer(), RETRY_MS);
      return;
    }
    const frames = new Map<string, { sequence: number; notification: Notification }>();
    const ends: { channel: string; body: string }[] = [];
    const now = performance.now();
    for (const [key, { uid, ask, top, isDue }] of this.#asks) {
      if (!isDue && !this.#isLeaving) continue;
      if (frames.size >= MAX_FRAMES) break;
      this.#asks.delete(key);
      const own = privateChannel(this.#prefix, uid);
      const { id, after, channels, back, hasRoomChannels } = ask;
      const wanted = channels === undefined ? undefined : new Set(channels);
      const remembered = this.#publisher.sentAfter(
        after,
        (channel) =>
          wanted?.has(channel) ?? (channel === own || !isPrivateChannel(this.#prefix, channel)),
        back === undefined ? undefined : now - back,
        (sequence, channel) =>
          sequence <= top || !hasRoomChannels && channel !== own && !this.#isForAll(channel),
      );
      for (const frame of remembered.frames) {
        const { sequence, channel } = frame;
        // Who does not listen to the channels of its rooms gets it where it does.
        const to = hasRoomChannels || this.#isForAll(channel) ? channel : own;
        frames.set(`${sequence} ${to}`, {
          sequence,
          notification: {
            channel: to,
            // Read when it is sent: the log may not have given it its number yet.
            get payload() {
              return repeated(frame.payload);
            },
          },
        });
      }
      const end = { id, lost: remembered.lost, ...back !== undefined && { back } };
      ends.push({ channel: own, body: encodeAskEnd(end) });
    }
    const follows = now - this.#nextAt < this.#collected;
    this.#factor = follows ? Math.min(MAX_FACTOR, 2 * this.#factor) : 1;
    this.#collected = this.#factor * Math.min(MAX_COLLECT_MS, frames.size);
    this.#nextAt = now + this.#collected;
    const inOrder = [...frames.values()].sort((a, b) => a.sequence - b.sequence);
    this.#publisher.repeat(inOrder.map(({ notification }) => notification));
    for (const { channel, body } of ends) this.#publisher.control(channel, "e", body);
    this.#publisher.isAsked = this.#asks.size > 0;
    for (const { isDue } of this.#asks.values()) if (isDue) return this.#schedule();
  }
}
