/**
 * The channels of the rooms that this process has members in (subscription mode "dynamic"). PostgreSQL up to 18 walks
 * all channels of a session for every notification, so there is a bound; while it is passed, the process says that it
 * does not listen to the channels of its rooms, and everybody sends on those of the namespaces.
 */
import type { Listener } from "./listener.ts";

/** Below this part of the bound room channels are used again: at the bound itself one room would switch to and fro. */
const RESUME_AT = 0.9;

/** For how long what is sent to a room that others were told to join goes where they listen already. */
const FRESH_MS = 2_000;

/** How many such rooms are remembered. */
const MAX_FRESH = 10_000;

/** What the channels of rooms need. */
export interface RoomChannelsEvents {
  /** Whether this process listens to the channels of all its rooms: the others are to know. */
  announce(has: boolean): void;
  /**
   * A room has members, and its channel will not be listened to: from here on its messages are missed.
   *
   * @param opening What it returned for the channels that are asked for together with this one, if any.
   * @returns What `ask` is called with.
   */
  opening(opening?: number): number;
  /**
   * Asks for what was sent to the channels of an opening.
   *
   * @returns A promise that settles when the others know, and what they sent is here; it never rejects.
   */
  ask(opening: number, channels: readonly string[]): Promise<void>;
}

/** What is asked for at the end of the tick. */
interface Question {
  readonly opening: number;
  readonly channels: string[];
  /** Settles when it is answered, and never rejects. */
  readonly answered: Promise<void>;
}

/** Which room channels are wanted. */
export class RoomChannels {
  readonly #listener: Listener;
  readonly #max: number;
  readonly #events: RoomChannelsEvents;
  readonly #channels: Set<string> = new Set();
  /** Rooms that others were told to join, and until when that is news. */
  readonly #fresh: Map<string, number> = new Map();
  /** Set while the channels are not listened to, with whether all others know that. */
  #suspension: { isKnown: boolean } | undefined;
  #question: Question | undefined;

  constructor(listener: Listener, max: number, events: RoomChannelsEvents) {
    this.#listener = listener;
    this.#max = max;
    this.#events = events;
  }

  /**
   * A room has its first member, or one more.
   *
   * @returns A promise that settles when messages to the room arrive, and never rejects; nothing when they already do, or
   * will once the database is back.
   */
  join(channel: string): Promise<void> | undefined {
    this.#channels.add(channel);
    if (this.#suspension === undefined && this.#channels.size > this.#max) this.#suspend();
    if (this.#suspension === undefined) return this.#listener.join(channel);
    return this.#suspension.isKnown ? undefined : this.#tell(channel, this.#suspension);
  }

  /** No room of the channel has members any more. */
  leave(channel: string): void {
    if (!this.#channels.delete(channel)) return;
    if (this.#suspension !== undefined && this.#channels.size <= this.#max * RESUME_AT) {
      this.#resume();
    }
  }

  /**
   * Others are told to join the room. They begin to listen to its channel when they read that; what is sent to it before
   * would have to be asked for, which is right, and slow.
   */
  told(channel: string): void {
    // Deleting first keeps the map in the order of time.
    this.#fresh.delete(channel);
    this.#fresh.set(channel, performance.now() + FRESH_MS);
    if (this.#fresh.size > MAX_FRESH) this.#fresh.delete(this.#fresh.keys().next().value!);
  }

  /** Whether others were told to join the room a moment ago. */
  isFresh(channel: string): boolean {
    const until = this.#fresh.get(channel);
    if (until === undefined) return false;
    if (performance.now() < until) return true;
    this.#fresh.delete(channel);
    return false;
  }

  #suspend(): void {
    this.#suspension = { isKnown: false };
    this.#events.announce(false);
  }

  /** Until the others know, they send to channels that nobody listens to. */
  #tell(channel: string, suspension: { isKnown: boolean }): Promise<void> {
    const question = this.#question ??= this.#ask(suspension);
    this.#events.opening(question.opening);
    question.channels.push(channel);
    return question.answered;
  }

  /** One question for all rooms of a tick: a socket may join thousands at once. */
  #ask(suspension: { isKnown: boolean }): Question {
    const opening = this.#events.opening();
    const channels: string[] = [];
    const answered = Promise.resolve().then(async () => {
      this.#question = undefined;
      await this.#events.ask(opening, channels);
      suspension.isKnown = true;
    });
    return { opening, channels, answered };
  }

  #resume(): void {
    this.#suspension = undefined;
    const pending = [...this.#channels].map((channel) => this.#listener.listen(channel));
    // Neither listening nor announcing rejects.
    Promise.all(pending).then(() => {
      if (this.#suspension === undefined) this.#events.announce(true);
    });
  }
}
