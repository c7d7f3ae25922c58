/**
 * What was sent and what was received, and whether that keeps the promise: each message once, in the order of its
 * sender, unchanged, and none lost without a word.
 *
 * @module
 */

/** A message, as its sender or a receiver knows it. */
export interface Entry {
  readonly sender: string;
  /** Counts the messages of the sender. */
  readonly n: number;
  readonly digest: string;
}

/** A message that was sent. */
export interface Sent extends Entry {
  /** Who should receive it; without it everyone. */
  readonly to?: readonly string[];
}

/** What a receiver was told that it missed. */
export interface Gap {
  readonly receiver: string;
  readonly sender: string;
  readonly missed: number;
}

/** Everything that happened, as plain data. */
export interface History {
  readonly sent: readonly Sent[];
  /** By receiver, in the order of arrival. */
  readonly received: Readonly<Record<string, readonly Entry[]>>;
  readonly gaps: readonly Gap[];
}

/** What a history comes to, in deliveries: one message to three receivers is three. */
export interface Findings {
  readonly sent: number;
  readonly expected: number;
  readonly received: number;
  readonly lost: number;
  readonly doubled: number;
  readonly reordered: number;
  readonly altered: number;
  /** Received, though not sent, or not to this receiver. */
  readonly unexpected: number;
  /** The sum of what gaps say. */
  readonly reported: number;
  /** Differences between what a receiver missed of a sender and what it was told. */
  readonly misreported: number;
  /** The first few faults, in words. */
  readonly examples: readonly string[];
}

/** What a history may contain. */
export interface Allowance {
  /**
   * `none`: nothing is lost, and no gap reported. `exact`: what is lost is reported, message for message. `any`: where
   * something is lost there is a report of a gap.
   *
   * @default "none"
   */
  readonly gaps?: "none" | "exact" | "any";
}

const EXAMPLES = 10;

/** Counts the faults of a history. */
export function examine(
  { sent, received, gaps }: History,
  { gaps: allowed = "none" }: Allowance = {},
): Findings {
  const counts = {
    expected: 0,
    received: 0,
    lost: 0,
    doubled: 0,
    reordered: 0,
    altered: 0,
    unexpected: 0,
    reported: 0,
    misreported: 0,
  };
  const examples: string[] = [];
  const fault = (kind: keyof typeof counts, words: string, by = 1) => {
    counts[kind] += by;
    if (examples.length < EXAMPLES) examples.push(`${kind}: ${words}`);
  };
  const senders = new Set(sent.map(({ sender }) => sender));
  for (const [receiver, entries] of Object.entries(received)) {
    const wanted = new Map<string, Map<number, string>>();
    for (const { sender, n, digest, to } of sent) {
      if (to !== undefined && !to.includes(receiver)) continue;
      const ofSender = wanted.get(sender) ?? new Map<number, string>();
      wanted.set(sender, ofSender.set(n, digest));
      counts.expected++;
    }
    const seen = new Map<string, { numbers: Set<number>; highest: number }>();
    for (const { sender, n, digest } of entries) {
      counts.received++;
      const what = `${n} of ${sender} at ${receiver}`;
      const had = seen.get(sender) ?? { numbers: new Set(), highest: -Infinity };
      seen.set(sender, had);
      const original = wanted.get(sender)?.get(n);
      if (original === undefined) fault("unexpected", what);
      else if (had.numbers.has(n)) fault("doubled", what);
      else {
        if (n < had.highest) fault("reordered", `${what} after ${had.highest}`);
        if (digest !== original) fault("altered", what);
        had.highest = Math.max(had.highest, n);
      }
      had.numbers.add(n);
    }
    for (const sender of senders) {
      const numbers = seen.get(sender)?.numbers ?? new Set();
      const missing = [...wanted.get(sender)?.keys() ?? []].filter((n) => !numbers.has(n));
      if (missing.length > 0) {
        fault(
          "lost",
          `${missing.length} of ${sender} at ${receiver}, ${missing[0]} to ${missing.at(-1)}`,
          missing.length,
        );
      }
      const told = gaps.filter((gap) => gap.receiver === receiver && gap.sender === sender);
      const reported = told.reduce((sum, { missed }) => sum + missed, 0);
      counts.reported += reported;
      const isTold = allowed === "any"
        ? missing.length === 0 || told.length > 0
        : reported === missing.length && (told.length > 0) === (missing.length > 0);
      if (!isTold) {
        fault(
          "misreported",
          `${missing.length} of ${sender} missed at ${receiver}, ${reported} told`,
          Math.max(1, Math.abs(reported - missing.length)),
        );
      }
    }
  }
  return { sent: sent.length, ...counts, examples };
}

/**
 * Requires that a history keeps the promise.
 *
 * @returns Its counts.
 * @throws {Error} With the counts and the first few faults.
 */
export function verify(history: History, allowance: Allowance = {}): Findings {
  const found = examine(history, allowance);
  const { lost, doubled, reordered, altered, unexpected, reported, misreported } = found;
  const isLossBad = (allowance.gaps ?? "none") === "none" ? lost + reported > 0 : false;
  if (isLossBad || doubled + reordered + altered + unexpected + misreported > 0) {
    const { examples, ...counts } = found;
    throw new Error(`${JSON.stringify(counts)}\n${examples.join("\n")}`);
  }
  return found;
}

/** The part of a history in which senders are their own receivers: no database has a hand in it. */
export function ownPart({ sent, received }: History): History {
  return {
    sent: sent.filter(({ sender }) => sender in received).map((each) => ({
      ...each,
      to: [each.sender],
    })),
    received: Object.fromEntries(
      Object.entries(received).map(([receiver, entries]) => [
        receiver,
        entries.filter(({ sender }) => sender === receiver),
      ]),
    ),
    gaps: [],
  };
}

/** One history out of those of several processes. */
export function merge(histories: readonly History[]): History {
  return {
    sent: histories.flatMap(({ sent }) => sent),
    received: Object.assign({}, ...histories.map(({ received }) => received)),
    gaps: histories.flatMap(({ gaps }) => gaps),
  };
}
