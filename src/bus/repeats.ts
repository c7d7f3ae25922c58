/**
 * Answers others who missed frames of this process. What is asked for within a short time is answered together, so that
 * twenty processes that missed the same are sent it once or twice, and not twenty times: what is said again is said on
 * the channel that it was sent on.
 */
import { type Ask, encodeAskEnd } from "../wire/ask.ts";
import { isPrivateChannel, privateChannel } from "../wire/channel.ts";
import { type Notification, repeated } from "../wire/frame.ts";
import type { Remembered } from "./sent_frames.ts";

/** Milliseconds after an answer in which questions are collected. */
const COLLECT_MS = 100;

/** What answers are made of: the publisher. */
export interface RepeatsPublisher {
  sentAfter(sequence: number, isWanted: (channel: string) => boolean): Remembered;
  repeat(frames: readonly Notification[]): void;
  control(channel: string, kind: "e", body: string): void;
}

/** Says again what others missed. */
export class Repeats {
  readonly #prefix: string;
  readonly #publisher: RepeatsPublisher;
  readonly #asks: Map<string, { uid: string; ask: Ask }> = new Map();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #answeredAt = -Infinity;
  #isClosed = false;

  /** @param prefix The prefix of the cluster's channels. */
  constructor(prefix: string, publisher: RepeatsPublisher) {
    this.#prefix = prefix;
    this.#publisher = publisher;
  }

  /** A process asks. */
  ask(uid: string, ask: Ask): void {
    if (this.#isClosed) return;
    this.#asks.set(`${uid} ${ask.id}`, { uid, ask });
    if (this.#timer !== undefined) return;
    const delay = Math.max(0, this.#answeredAt + COLLECT_MS - performance.now());
    this.#timer = setTimeout(() => this.#answer(), delay);
  }

  /** Answers nobody any more. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  #answer(): void {
    this.#timer = undefined;
    this.#answeredAt = performance.now();
    const frames = new Map<string, { sequence: number; notification: Notification }>();
    const ends: { channel: string; body: string }[] = [];
    for (const { uid, ask } of this.#asks.values()) {
      const own = privateChannel(this.#prefix, uid);
      const { id, after, channels, hasRoomChannels } = ask;
      const wanted = channels === undefined ? undefined : new Set(channels);
      const remembered = this.#publisher.sentAfter(
        after,
        (channel) =>
          wanted?.has(channel) ?? (channel === own || !isPrivateChannel(this.#prefix, channel)),
      );
      for (const { sequence, channel, payload } of remembered.frames) {
        // Who does not listen to the channels of its rooms gets it where it does.
        const to = hasRoomChannels ? channel : own;
        frames.set(`${sequence} ${to}`, {
          sequence,
          notification: { channel: to, payload: repeated(payload) },
        });
      }
      ends.push({ channel: own, body: encodeAskEnd({ id, lost: remembered.lost }) });
    }
    this.#asks.clear();
    const inOrder = [...frames.values()].sort((a, b) => a.sequence - b.sequence);
    this.#publisher.repeat(inOrder.map(({ notification }) => notification));
    for (const { channel, body } of ends) this.#publisher.control(channel, "e", body);
  }
}
