/**
 * What is said of several measurements.
 *
 * @module
 */

/** The one in the middle. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The one that so much of them is below. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

/** Lowest and highest. */
export function spread(values: readonly number[]): string {
  return `${count(Math.min(...values))} to ${count(Math.max(...values))}`;
}

/** A number for people. */
export function count(value: number): string {
  const digits = value < 10 ? 2 : value < 100 ? 1 : 0;
  return value.toLocaleString("en", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}
