/**
 * Clients that are cut off at random moments, under full traffic: what each of them receives is the log, as far as it is
 * for it, without a gap, a double or a swap. So any two have what they share in one order.
 *
 * `RECOVERY_SEED` repeats a run; `RECOVERY_MINUTES` goes on with others, for so long.
 */
import process from "node:process";
import { Random } from "../support/random.ts";
import { type Scope, test } from "../support/test.ts";
import { Away, type RandomFigures, runRandom } from "./random.ts";

const RUN_MS = 10_000;
/** How many runs, one after another, may say nothing as the machine was too busy. */
const MAX_AWAY = 3;

for (const hasFaults of [false, true]) {
  const where = hasFaults ? ", and servers lose PostgreSQL" : "";
  const minutes = Number(process.env["RECOVERY_MINUTES"] ?? 0) / 2;
  test(`clients that are cut off all the time receive the log${where}`, async () => {
    const given = process.env["RECOVERY_SEED"];
    const first = Number(given ?? crypto.getRandomValues(new Uint32Array(1))[0]);
    const end = performance.now() + minutes * 60_000;
    const sum: Partial<RandomFigures> = {};
    let runs = 0, away = 0;
    do {
      const seed = (first + runs++) >>> 0;
      try {
        const figures = await alone((scope) =>
          runRandom(scope, new Random(seed), RUN_MS, hasFaults)
        );
        for (const [name, count] of Object.entries(figures)) {
          sum[name as keyof RandomFigures] = (sum[name as keyof RandomFigures] ?? 0) + count;
        }
        away = 0;
      } catch (cause) {
        if (cause instanceof Away && ++away < MAX_AWAY) continue;
        throw new Error(
          `RECOVERY_SEED=${seed} repeats it: ${(cause as Error).message} (before: ${
            JSON.stringify({ runs, ...sum })
          })`,
          { cause },
        );
      }
    } while (away > 0 || performance.now() < end);
    if (minutes > 0) console.log(JSON.stringify({ hasFaults, runs, ...sum }));
  }, { deadline: minutes * 60_000 + 120_000 });
}

/** Runs something that cleans up behind itself, all of it; what went wrong first is what is told. */
async function alone<T>(body: (scope: Scope) => Promise<T>): Promise<T> {
  const undos: (() => unknown)[] = [];
  const faults: unknown[] = [];
  const tryTo = async <R>(act: () => R): Promise<Awaited<R> | undefined> => {
    try {
      return await act();
    } catch (fault) {
      faults.push(fault);
    }
  };
  const result = await tryTo(() => body({ after: (each) => undos.push(each) }));
  for (const each of undos.reverse()) await tryTo(each);
  if (faults.length > 0) throw faults[0];
  return result as T;
}
