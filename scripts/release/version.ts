/**
 * Versions, as in `1.2.3` or `1.2.3-rc.1`.
 *
 * @module
 */

const VERSION = /^(\d+)\.(\d+)\.(\d+)(?:-([0-9a-z.]+))?$/;

/**
 * Requires a version that comes after another one.
 *
 * @throws {Error} When it is none, or does not.
 */
export function requireLater(version: string, current: string): void {
  const [next, last] = [version, current].map((each) => VERSION.exec(each));
  if (next == null) throw new Error(`Cannot release "${version}" as a version is like 1.2.3`);
  for (const i of [1, 2, 3]) {
    const difference = Number(next[i]) - Number(last?.[i]);
    if (difference > 0) return;
    if (difference < 0) throw new Error(`Cannot release ${version} as it comes before ${current}`);
  }
  // A version comes after what led to it.
  if (last?.[4] !== undefined && (next[4] === undefined || next[4] > last[4])) return;
  throw new Error(`Cannot release ${version} as it does not come after ${current}`);
}
