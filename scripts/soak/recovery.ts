/**
 * How long it takes after a fault until everybody hears everybody again.
 *
 * @module
 */

/** Milliseconds after which what is not back is stuck, and not slow. */
const STUCK_MS = 60_000;

/** What is known of one kind of fault. */
export interface KindFigures {
  count: number;
  /** The longest time to recover, in milliseconds; none while nothing was measured. */
  worst: number | undefined;
  /** How often there was nothing to measure, as the next fault came before. */
  unmeasured: number;
}

interface Watch {
  readonly kind: string;
  readonly endedAt: number;
  /** Pairs that have not heard each other since. */
  readonly pending: Set<string>;
  worst: number;
  isDisturbed: boolean;
}

/** Watches over the recovery from faults. */
export class Recovery {
  readonly kinds: Map<string, KindFigures> = new Map();
  readonly #watches: Set<Watch> = new Set();

  /** Whether everybody hears everybody, as far as is known. */
  get isComplete(): boolean {
    return this.#watches.size === 0;
  }

  /** A fault begins: what waits for one of these processes is not its own fault any more. */
  began(kind: string, uids: readonly string[]): void {
    this.#of(kind).count++;
    this.#disturb(uids);
  }

  /**
   * A fault is over.
   *
   * @param pairs Receivers and senders that are to hear of each other.
   */
  ended(kind: string, pairs: readonly (readonly [receiver: string, sender: string])[]): void {
    const pending = new Set(pairs.map(([receiver, sender]) => keyOf(receiver, sender)));
    if (pending.size === 0) return void this.#of(kind).unmeasured++;
    this.#watches.add({ kind, endedAt: Date.now(), pending, worst: 0, isDisturbed: false });
  }

  /** A message came that was sent at a time. */
  arrived(receiver: string, sender: string, sentAt: number, at: number): void {
    for (const watch of this.#watches) {
      if (sentAt < watch.endedAt || !watch.pending.delete(keyOf(receiver, sender))) continue;
      watch.worst = Math.max(watch.worst, at - watch.endedAt);
      if (watch.pending.size === 0) this.#close(watch);
    }
  }

  /** Takes out what has waited for too long. */
  stuck(): { kind: string; pairs: [receiver: string, sender: string][] }[] {
    const before = Date.now() - STUCK_MS;
    const all = [...this.#watches].filter(({ endedAt }) => endedAt < before);
    for (const watch of all) this.#watches.delete(watch);
    return all.map(({ kind, pending }) => ({
      kind,
      pairs: [...pending].map((key) => key.split(" ") as [string, string]),
    }));
  }

  /** A process is gone, or has a fault now: it is not waited for. */
  #disturb(uids: readonly string[]): void {
    for (const watch of this.#watches) {
      for (const key of watch.pending) {
        if (!key.split(" ").some((uid) => uids.includes(uid))) continue;
        watch.pending.delete(key);
        watch.isDisturbed = true;
      }
      if (watch.pending.size === 0) this.#close(watch);
    }
  }

  #close(watch: Watch): void {
    this.#watches.delete(watch);
    const figures = this.#of(watch.kind);
    if (watch.isDisturbed) figures.unmeasured++;
    else figures.worst = Math.max(figures.worst ?? 0, watch.worst);
  }

  #of(kind: string): KindFigures {
    const known = this.kinds.get(kind) ?? { count: 0, worst: undefined, unmeasured: 0 };
    this.kinds.set(kind, known);
    return known;
  }
}

function keyOf(receiver: string, sender: string): string {
  return `${receiver} ${sender}`;
}
