/** How long to wait before the next attempt. */
const FIRST_MS = 50;
const CAP_MS = 1_000;
const LATE_CAP_MS = 2_000;
const LATE_AFTER_MS = 60_000;

/**
 * Exponential with jitter and a cap: 50 ms, 100 ms … 1 s, and 2 s once it has lasted for a minute, each between half of
 * it and all of it, so that a hundred processes that lost one database do not come back at once.
 *
 * @param failures How many attempts have failed in a row.
 * @param sinceMs For how long, in milliseconds.
 * @param random Between 0 and 1.
 */
export function backoffMs(failures: number, sinceMs: number, random: number): number {
  const cap = sinceMs < LATE_AFTER_MS ? CAP_MS : LATE_CAP_MS;
  return Math.min(cap, FIRST_MS * 2 ** Math.min(failures, 10)) * (0.5 + random / 2);
}
