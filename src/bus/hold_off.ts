/**
 * After an outage of the database, what waits to be published is held for those who are not back yet: what is sent
 * before is sent to nobody. It is let go as soon as all are heard again, and at the latest after a while.
 */
import type { Publisher } from "./publisher.ts";

/** How long it is held for others who may be back any moment: the longest pause between attempts. */
const OTHERS_MS = 1_500;

/** The same while this process cannot listen itself, as others can perhaps; longer it is never held. */
const LONE_MS = 5_000;

/** Holds what waits, and lets it go. */
export class HoldOff {
  readonly #publisher: Pick<Publisher, "isHeld" | "isUp" | "release">;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When it is let go at the latest. */
  #until = 0;
  /** Whether the listening connection was lost since the publishing one was, or others were still waited for then. */
  #wasDeaf = false;

  /** @param publisher It holds what waits by itself when its connection is lost. */
  constructor(publisher: Pick<Publisher, "isHeld" | "isUp" | "release">) {
    this.#publisher = publisher;
  }

  /** The publishing connection is lost. */
  publisherLost(isListening: boolean): void {
    this.#wasDeaf = !isListening || this.#timer !== undefined;
    clearTimeout(this.#timer);
  }

  /**
   * The publishing connection is back.
   *
   * @param isLast Whether last words wait, which are never held.
   */
  publisherBack(isListening: boolean, isLast: boolean): void {
    this.#until = performance.now() + LONE_MS;
    // Where only this connection was lost the others have been there all the time.
    if (isLast || (isListening && !this.#wasDeaf)) this.release();
    else this.#wait(LONE_MS);
  }

  /** The listening connection is lost. */
  listenerLost(): void {
    this.#wasDeaf = true;
    if (this.#publisher.isUp && this.#publisher.isHeld) this.#wait(LONE_MS);
    else clearTimeout(this.#timer);
  }

  /** Both connections are back, and the others are asked who is there. */
  greeted(): void {
    this.#wasDeaf = false;
    if (this.#publisher.isHeld) this.#wait(OTHERS_MS);
  }

  /** Lets go of what is held. */
  release(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#publisher.release();
  }

  #wait(ms: number): void {
    clearTimeout(this.#timer);
    const atMost = Math.max(0, this.#until - performance.now());
    this.#timer = setTimeout(() => this.release(), Math.min(ms, atMost));
  }
}
