/**
 * The nonces of what came in the last minutes: what comes again is refused. Memory is bounded, and nothing comes twice
 * even so: when there are too many, the oldest are forgotten, and what is as old as they are is refused from then on.
 * So much traffic makes the time that a payload may take shorter, and never lets a copy pass.
 */
import { Buffer } from "node:buffer";

/** Some megabytes. */
const MAX_NONCES = 100_000;

/** Remembers nonces. */
export class Nonces {
  readonly #max: number;
  readonly #windowMs: number;
  /** By the second in which their seals were made. */
  readonly #seconds: Map<number, Set<string>> = new Map();
  #size = 0;
  /** The last second that was forgotten. */
  #forgotten = -Infinity;

  /** @param windowMs How old a seal may be: until then its nonce is remembered. */
  constructor(windowMs: number, max: number = MAX_NONCES) {
    this.#windowMs = windowMs;
    this.#max = max;
  }

  /** How many are remembered. */
  get size(): number {
    return this.#size;
  }

  /**
   * Remembers a nonce, of a seal that is valid and fresh: whoever does not know the secret cannot fill the memory.
   *
   * @returns `"known"` when it came before, `"forgotten"` when nobody can tell any more.
   */
  add(nonce: string, time: number, now: number): "new" | "known" | "forgotten" {
    const second = Math.floor(time / 1000);
    if (second <= this.#forgotten) return "forgotten";
    // A copy: a part of a text would keep the whole payload in memory.
    const bytes = Buffer.from(nonce, "base64").toString("latin1");
    let nonces = this.#seconds.get(second);
    if (nonces?.has(bytes)) return "known";
    if (nonces === undefined) {
      const oldest = Math.floor((now - this.#windowMs) / 1000);
      for (const each of this.#seconds.keys()) if (each < oldest) this.#forget(each);
      this.#seconds.set(second, nonces = new Set());
    }
    nonces.add(bytes);
    this.#size++;
    while (this.#size > this.#max) this.#forget(Math.min(...this.#seconds.keys()));
    return "new";
  }

  #forget(second: number): void {
    this.#size -= this.#seconds.get(second)!.size;
    this.#seconds.delete(second);
    this.#forgotten = Math.max(this.#forgotten, second);
  }
}
