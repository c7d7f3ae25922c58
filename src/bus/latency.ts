/**
 * How long what this process sends takes to come back to it, counted by length.
 */

/** The upper bounds of the buckets, in milliseconds: what takes longer than the last one is in none. */
const BOUNDS: readonly number[] = [
  1,
  2.5,
  5,
  10,
  25,
  50,
  100,
  250,
  500,
  1_000,
  2_500,
  5_000,
  10_000,
];

/** How long heartbeats took to come back. */
export interface LatencyStats {
  /** How many came back. */
  count: number;
  /** How long all of them took together, in milliseconds. */
  sum: number;
  /** How long the last one took, in milliseconds; nothing before the first. */
  last: number | undefined;
  /** How many took `upTo` milliseconds or less, for growing `upTo`: each bucket counts what is in those before it. */
  buckets: { upTo: number; count: number }[];
}

/** A histogram. */
export class Latency {
  readonly #counts: number[] = BOUNDS.map(() => 0);
  #count = 0;
  #sum = 0;
  #last: number | undefined;

  /** Something took so many milliseconds. */
  add(milliseconds: number): void {
    this.#count++;
    this.#sum += milliseconds;
    this.#last = milliseconds;
    for (const [i, bound] of BOUNDS.entries()) if (milliseconds <= bound) this.#counts[i]!++;
  }

  /** What it has counted so far. */
  get stats(): LatencyStats {
    return {
      count: this.#count,
      sum: this.#sum,
      last: this.#last,
      buckets: BOUNDS.map((upTo, i) => ({ upTo, count: this.#counts[i]! })),
    };
  }
}
