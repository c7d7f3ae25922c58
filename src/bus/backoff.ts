/** How long to wait before the next attempt. */
const FIRST_MS = 50;
const CAP_MS = 950;
const LATE_CAP_MS = 2_000;
const LATE_AFTER_MS = 60_000;

/**
 * Exponential with jitter and a cap: 50 ms, 100 ms … 950 ms, and 2 s once it has lasted for a minute, each times 0.6 to
 * 1.4, so that a hundred processes that lost one database do not come back at once. That makes at most 20 attempts in the
 * first 10 s and 40 in 30 s, and at most 1.33 s until it is noticed that the server is back.
 *
 * @param failures How many attempts have failed in a row.
 * @param sinceMs For how long, in milliseconds.
 * @param random Between 0 and 1.
 */
export function backoffMs(failures: number, sinceMs: number, random: number): number {
  const cap = sinceMs < LATE_AFTER_MS ? CAP_MS : LATE_CAP_MS;
  return Math.min(cap, FIRST_MS * 2 ** Math.min(failures, 10)) * (0.6 + random * 0.8);
}
