/**
 * What waits to be sent, in order. When there is more than may wait the oldest volatile message goes first, then the
 * oldest.
 */
import type { Outgoing } from "../wire/frame.ts";

/** A message that waits. */
export interface Queued extends Outgoing {
  /** Whether it is the first to go when there are too many. */
  isVolatile: boolean;
  /** How many messages of the application it is: none if it concerns processes. */
  messages: 0 | 1;
  /**
   * Called when it has come back, where this process delivers to its own clients then.
   *
   * @param number Its number in the log, where it is in it.
   */
  deliver?(number: number | undefined): void;
  /** Called when PostgreSQL has taken it, and put it into the log under this number; not where it came back before. */
  logged?(number: number): void;
}

/** A queue with a bound. */
export class Queue {
  /** Gaps are messages that were dropped. */
  #items: (Queued | undefined)[] = [];
  #head = 0;
  /** How many places were left behind in all. */
  #passed = 0;
  #length = 0;
  #bytes = 0;
  #volatile = 0;
  /** No volatile message stands before this index. */
  #volatileFrom = 0;

  /** How many messages wait. */
  get length(): number {
    return this.#length;
  }

  /** How many bytes they have. */
  get bytes(): number {
    return this.#bytes;
  }

  /** How many messages have left the queue so far, one way or another: a position of {@linkcode end}. */
  get passed(): number {
    return this.#passed;
  }

  /** The position behind what waits now: all of it has left the queue when `passed` is there. */
  get end(): number {
    return this.#passed + this.#items.length - this.#head;
  }

  /** Adds a message. */
  push(item: Queued): void {
    this.#items.push(item);
    this.#length++;
    this.#bytes += item.bytes;
    if (item.isVolatile) this.#volatile++;
  }

  /** Takes the next messages, about so many bytes. */
  take(bytes: number): Queued[] {
    const taken: Queued[] = [];
    for (let sum = 0; this.#head < this.#items.length && sum < bytes;) {
      const item = this.#shift();
      if (item === undefined) continue;
      sum += item.bytes;
      taken.push(item);
    }
    this.#compact();
    return taken;
  }

  /**
   * Drops messages until no more than so many bytes wait; the newest always stays.
   *
   * @returns Those that were dropped.
   */
  shrink(maxBytes: number): Queued[] {
    const dropped: Queued[] = [];
    while (this.#bytes > maxBytes && this.#length > 1) {
      const item = this.#dropVolatile() ?? this.#shift();
      if (item !== undefined) dropped.push(item);
    }
    this.#compact();
    return dropped;
  }

  /** Drops everything. */
  clear(): void {
    while (this.#head < this.#items.length) this.#shift();
    this.#compact();
  }

  /** The oldest volatile message that is not the newest of all, if there is one. */
  #dropVolatile(): Queued | undefined {
    if (this.#volatile === 0) return undefined;
    for (let at = Math.max(this.#head, this.#volatileFrom); at < this.#items.length - 1; at++) {
      const item = this.#items[at];
      if (item === undefined || !item.isVolatile) continue;
      this.#items[at] = undefined;
      this.#volatileFrom = at + 1;
      this.#left(item);
      return item;
    }
    return undefined;
  }

  #shift(): Queued | undefined {
    const item = this.#items[this.#head];
    this.#items[this.#head++] = undefined;
    this.#passed++;
    if (item !== undefined) this.#left(item);
    return item;
  }

  #left(item: Queued): void {
    this.#length--;
    this.#bytes -= item.bytes;
    if (item.isVolatile) this.#volatile--;
  }

  /** Lets go of what has left the queue. Doing so each time would make a long queue slow. */
  #compact(): void {
    if (this.#head * 2 <= this.#items.length) return;
    this.#items = this.#items.slice(this.#head);
    this.#volatileFrom = Math.max(0, this.#volatileFrom - this.#head);
    this.#head = 0;
  }
}
