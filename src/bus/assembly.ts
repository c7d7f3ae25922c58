/**
 * Puts records together that came in chunks. Those of a record come one after the other, as they are sent in one go by
 * one sender.
 */
import type { FrameHead } from "../wire/frame.ts";

/** The record of one sender that has not come whole yet. */
export class Assembly {
  #pieces: string[] = [];
  #length = 0;
  #count = 0;
  #next = 0;
  #since = 0;

  /** How many characters it has. */
  get length(): number {
    return this.#length;
  }

  /** When its last chunk came; nothing when none is open. */
  get since(): number | undefined {
    return this.#pieces.length === 0 ? undefined : this.#since;
  }

  /** Whether this chunk is the next one of the record that is open. */
  continues({ index, count }: NonNullable<FrameHead["chunk"]>, sequence: number): boolean {
    return this.#pieces.length > 0 && sequence === this.#next && index === this.#pieces.length &&
      count === this.#count;
  }

  /**
   * Adds a chunk that continues the record, or begins one.
   *
   * @returns The record, with its last chunk.
   */
  add(count: number, sequence: number, piece: string): string | undefined {
    this.#pieces.push(piece);
    this.#length += piece.length;
    this.#count = count;
    this.#next = sequence + 1;
    this.#since = performance.now();
    if (this.#pieces.length < count) return undefined;
    const record = this.#pieces.join("");
    this.clear();
    return record;
  }

  /** Gives the record up. */
  clear(): void {
    this.#pieces = [];
    this.#length = 0;
  }
}
