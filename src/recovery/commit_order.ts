/**
 * With connection state recovery all clients get packets in the order of the log. That is the order in which PostgreSQL
 * notifies; but what a process missed comes later. So as long as something of any process is missing everything is held,
 * and handed over by number in the end.
 */

/** How many processes' last numbers are remembered. */
const MAX_SENDERS = 4_096;

interface Held {
  readonly at: number;
  run(): void;
}

/** Puts what arrives into the order of the log. */
export class CommitOrder {
  #held: Held[] = [];
  /** The last number of each process. */
  readonly #last: Map<string, number> = new Map();

  /** Whether anything is held. */
  get isHolding(): boolean {
    return this.#held.length > 0;
  }

  /**
   * Hands something over, or holds it.
   *
   * @param uid Who sent it.
   * @param number Its place in the log; what has none keeps its place among what its sender sent.
   * @param isComplete Whether nothing is missing.
   */
  take(uid: string, number: number | undefined, isComplete: boolean, run: () => void): void {
    if (number !== undefined) {
      this.#last.delete(uid);
      this.#last.set(uid, number);
      if (this.#last.size > MAX_SENDERS) this.#last.delete(this.#last.keys().next().value!);
    }
    if (isComplete && this.#held.length === 0) return run();
    this.#held.push({ at: number ?? this.#last.get(uid) ?? 0, run });
  }

  /** Nothing is missing any more. */
  release(): void {
    const held = this.#held.sort((a, b) => a.at - b.at);
    this.#held = [];
    for (const { run } of held) run();
  }
}
