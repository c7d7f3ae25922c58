/**
 * What benchmarks send.
 *
 * @module
 */

import { Random } from "../../tests/support/random.ts";

const LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ,.-";

/** A text that no compression makes much smaller, the same one for the same length. */
export function text(length: number): string {
  const random = new Random(length);
  return Array.from({ length }, () => LETTERS[random.below(LETTERS.length)]).join("");
}
