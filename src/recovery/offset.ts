/**
 * Offsets: the last argument of each event that can be recovered, by which a client says what it has received. It is
 * the number of the packet in the log, and a mark of the namespace, as numbers are those of all namespaces.
 */
import { sha256Hex } from "../wire/sha256.ts";

const OFFSET = /^([0-9a-z]{1,11})\.([0-9a-f]{6})$/;

/** The mark of a namespace, from the name of its channel. */
export function offsetMark(channel: string): string {
  return sha256Hex(channel).slice(0, 6);
}

/** The offset of a packet. */
export function encodeOffset(number: number, mark: string): string {
  return `${number.toString(36)}.${mark}`;
}

/** The number in an offset that a client names; none where it is not one of this namespace. */
export function decodeOffset(offset: string, mark: string): number | undefined {
  const match = OFFSET.exec(offset);
  if (match === null || match[2] !== mark) return undefined;
  const number = Number.parseInt(match[1]!, 36);
  return Number.isSafeInteger(number) ? number : undefined;
}
