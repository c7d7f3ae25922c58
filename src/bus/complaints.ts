/**
 * What arrives and is no message of ours: each is counted, and the first of its kind is told. Anybody may send a
 * million of them.
 */
import { messageOf, PgAdapterError } from "../errors.ts";

/** Milliseconds for which a kind is not told again. */
const QUIET_MS = 60_000;

/** How many kinds are told apart. */
const MAX_KINDS = 100;

/** What is wrong with what arrives. */
export class Complaints {
  readonly #tell: (error: PgAdapterError) => void;
  /** When each kind was told. */
  readonly #told: Map<string, number> = new Map();
  /** How many there were. */
  count = 0;

  constructor(tell: (error: PgAdapterError) => void) {
    this.#tell = tell;
  }

  /** Something cannot be read. */
  malformed(fault: unknown, what: string): void {
    this.add(
      new PgAdapterError("MALFORMED_MESSAGE", `${messageOf(fault)}: ${what}`, { cause: fault }),
      messageOf(fault),
    );
  }

  /** @param reason What makes its kind: the values in it do not. */
  add(error: PgAdapterError, reason: string): void {
    this.count++;
    const kind = error.code + reason.replace(/"(?:[^"\\]|\\.)*"|\d+/g, "");
    const now = performance.now();
    for (const [known, at] of this.#told) {
      if (now - at >= QUIET_MS) this.#told.delete(known);
    }
    if (this.#told.has(kind) || this.#told.size >= MAX_KINDS) return;
    this.#told.set(kind, now);
    this.#tell(error);
  }
}
