/** Chance that can be repeated: each case has a seed of its own, which a failure tells. */
import process from "node:process";
import { Random } from "../support/random.ts";
import { test } from "../support/test.ts";

export { Random };

/** How many cases all fuzzers together run, unless `FUZZ_CASES` says otherwise. */
const CASES = 100_000;

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
