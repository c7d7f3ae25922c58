/**
 * What a run of the soak came to, in lines.
 *
 * @module
 */

import type { Memory, Soak } from "./soak.ts";

/** Memory is judged from this age of a process on, in seconds: before, it still warms up. */
const WARM_S = 60;
/** A slope over less than so many seconds says nothing. */
const SLOPE_S = 300;
/** A process tells enough about its memory when it was watched for so many seconds. */
const JUDGED_S = 1_200;
/** More than this, in MB in ten minutes, is a leak. */
const MAX_SLOPE = 5;

/** One line for each kind of fault, and the sums. */
export function summary({ recovery, ledger, counts, repaired, duplicates, memories }: Soak) {
  const lines: string[] = ["", "fault                              count   worst time to recover"];
  for (const [name, { count, worst, unmeasured }] of [...recovery.kinds].sort()) {
    const recovered = worst === undefined ? "not measured" : `${Math.round(worst)} ms`;
    const rest = unmeasured > 0 ? ` (${unmeasured} not measured)` : "";
    lines.push(`${name.padEnd(34)} ${`${count}`.padStart(5)}   ${recovered}${rest}`);
  }
  const {
    sent,
    delivered,
    lost,
    told,
    orphaned,
    doubled,
    reordered,
    altered,
    unexpected,
    gaps,
    reported,
  } = ledger.totals;
  lines.push(
    "",
    `sent ${sent}, delivered ${delivered}, repaired frames ${repaired}, duplicates removed ${duplicates}`,
    `lost ${lost}, doubled ${doubled}, reordered ${reordered}, altered ${altered}, unexpected ${unexpected}`,
    `gaps reported ${gaps} with ${reported} messages; ${told} messages missed and told of`,
    `${orphaned} messages of processes that were killed, or closed during a fault, missed without a word`,
    `sessions were counted ${counts} times`,
    "",
  );
  for (const memory of memories.values()) {
    const { points, name } = memory;
    const last = points.at(-1);
    if (last === undefined || points.length < 3) continue;
    const slope = slopeOf(memory);
    lines.push(
      `${name.padEnd(18)} RSS ${megabytes(last.rss)} MB, heap ${megabytes(last.heap)} MB` +
        (slope === undefined ? "" : `, RSS slope ${slope.toFixed(1)} MB/10 min`),
    );
  }
  return lines;
}

/** What grew more than it should. */
export function leaks({ memories }: Soak): string[] {
  return [...memories.values()].flatMap((memory) => {
    const { points, name } = memory;
    const watched = (points.at(-1)?.at ?? 0) - (points[0]?.at ?? 0);
    const slope = slopeOf(memory) ?? 0;
    return watched < JUDGED_S || slope <= MAX_SLOPE
      ? []
      : [`the memory of ${name} grows by ${slope.toFixed(1)} MB in ten minutes`];
  });
}

/** By least squares, in MB in ten minutes; nothing while the process is young. */
function slopeOf({ points }: Memory): number | undefined {
  const first = points[0]?.at ?? 0;
  const last = points.at(-1)?.at ?? 0;
  // The first third of a run is warm-up, too, as heaps grow to their working size.
  const from = first + Math.max(WARM_S, (last - first) / 3);
  const judged = points.filter(({ at }) => at >= from);
  if (judged.length < 3 || last - first < SLOPE_S) return undefined;
  const mean = (values: number[]) => values.reduce((sum, each) => sum + each, 0) / values.length;
  const [x, y] = [mean(judged.map(({ at }) => at)), mean(judged.map(({ rss }) => rss))];
  const [above, below] = judged.reduce(
    ([above, below], { at, rss }) => [above + (at - x) * (rss - y), below + (at - x) ** 2],
    [0, 0],
  );
  return below === 0 ? undefined : above / below * 600 / 1e6;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0);
}
