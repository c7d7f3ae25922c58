/**
 * A quantile of some numbers, by the nearest rank.
 *
 * @param q From 0 to 1: 0.5 is the median.
 * @returns One of them; `NaN` where there is none.
 */
export function quantile(numbers: readonly number[], q: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? NaN;
}
