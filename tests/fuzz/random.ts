/** Chance that can be repeated: each case has a seed of its own, which a failure tells. */
import process from "node:process";
import { test } from "../support/test.ts";

/** How many cases all fuzzers together run, unless `FUZZ_CASES` says otherwise. */
const CASES = 100_000;

/** Numbers that look random, the same ones for the same seed (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A number from 0 to 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number below `limit`. */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  /** Whether something of this probability happens. */
  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** One of a list. */
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
}

/**
 * A test of many cases. `FUZZ_SEED` chooses them and `FUZZ_CASES` how many there are; a failure says which seed brings
 * its case alone.
 *
 * @param share Which part of all cases this fuzzer runs.
 * @param run One case.
 */
export function fuzz(name: string, share: number, run: (random: Random) => void): void {
  const given = process.env["FUZZ_CASES"];
  const total = given === undefined ? CASES : Number(given);
  const cases = Math.max(1, Math.round(total * share));
  test(`${name}, ${cases} cases`, () => {
    const seed = Number(process.env["FUZZ_SEED"] ?? crypto.getRandomValues(new Uint32Array(1))[0]);
    const start = performance.now();
    for (let at = 0; at < cases; at++) {
      try {
        run(new Random(seed + at));
      } catch (cause) {
        throw new Error(
          `case ${at} failed, FUZZ_SEED=${(seed + at) >>> 0} FUZZ_CASES=1 repeats it: ${cause}`,
          { cause },
        );
      }
    }
    const micros = (performance.now() - start) * 1_000 / cases;
    if (given !== undefined) console.log(`${name}: ${cases} cases of ${micros.toFixed(1)} µs`);
    // Far above what it takes: so that a case that takes exponentially long shows, and a busy machine does not.
    if (cases >= 1_000 && micros > 1_000) throw new Error(`a case takes ${micros} µs`);
  }, { deadline: 30_000 + cases });
}

/** The names of what every object inherits: a test that compares them before and after sees what was added. */
export function inherited(): string[] {
  return [Object.prototype, Array.prototype, String.prototype, Function.prototype]
    .flatMap((prototype) => Reflect.ownKeys(prototype).map(String));
}
