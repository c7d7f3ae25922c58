/** How much is done at once: the rest waits for its turn, in the order in which it came. */

/** Turns. */
export class Turns {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  /** @param count How many there are at once. */
  constructor(count: number) {
    this.#free = count;
  }

  /** Does something when it is its turn. */
  async take<T>(run: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await run();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}
