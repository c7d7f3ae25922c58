/** How many frames go into one statement. */
import { MAX_NOTIFICATIONS } from "../wire/statement.ts";

/** For how long statements stay small after one that was too large. */
const SMALL_MS = 30_000;

/** As many as a statement takes, and fewer for a while after one that took too long or found too little room. */
export class BatchSize {
  #limit = MAX_NOTIFICATIONS;
  /** From when on there may be more again. */
  #growAt = -Infinity;

  /** How many of the frames that wait the next statement takes: few different sizes, as each is prepared once. */
  of(waiting: number): number {
    const frames = Math.min(this.#limit, waiting);
    if (frames >= MAX_NOTIFICATIONS) return MAX_NOTIFICATIONS;
    if (frames <= 16) return frames;
    return 2 ** Math.floor(Math.log2(frames));
  }

  /** A statement was taken. */
  taken(): void {
    if (performance.now() > this.#growAt) {
      this.#limit = Math.min(MAX_NOTIFICATIONS, this.#limit * 2);
    }
  }

  /** A statement of so many frames was too large: half of it may get through. */
  tooLarge(frames: number): void {
    this.#limit = Math.max(1, Math.floor(frames / 2));
    this.#growAt = performance.now() + SMALL_MS;
  }
}
