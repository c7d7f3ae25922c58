/**
 * Who sent what, who got what, and whether that keeps the promise, while it goes on.
 *
 * A receiver gets what a sender sends in its order. So with each message that everyone gets it is known of all that was
 * sent before: what has not come by then does not come any more. Up to there the history of each pair is examined by
 * the rules of `tests/support/history.ts`, and let go.
 *
 * @module
 */

import { examine, type Findings } from "../../tests/support/history.ts";
import { isForAll, type Report } from "./protocol.ts";

/** Milliseconds around the time at which a process becomes ready, or joins a room, that are not judged. */
const SLACK_MS = 100;

/** How many of the last numbers of each pair are known one by one, to tell what comes again from what comes late. */
const RECENT = 20_000;

/** How many of the messages that are missing are told one by one. */
const EXAMPLES = 5;

/** Counts of the whole run, in deliveries where it is about receiving. */
export interface Totals {
  sent: number;
  delivered: number;
  lost: number;
  doubled: number;
  reordered: number;
  altered: number;
  unexpected: number;
  /** Gaps that were reported: how many, and how many messages they name. */
  gaps: number;
  reported: number;
  /** Losses that a gap was reported for. */
  told: number;
  /** Losses without a word of what processes said that were killed, or closed in the middle of a fault. */
  orphaned: number;
}

/** A promise that was broken. */
export type OnBroken = (words: string, uids: readonly string[]) => void;

interface Sent {
  readonly at: number;
  readonly target: string;
}

interface Received extends Sent {
  readonly n: number;
  readonly isIntact: boolean;
  readonly receivedAt: number;
}

/** A stay in a room. */
interface Stay {
  readonly called: number;
  joined: number | undefined;
  left: number | undefined;
}

interface Process {
  readonly uid: string;
  readonly name: string;
  readonly readyAt: number;
  /** Everything that it is known to have sent and that not everybody was examined for. */
  readonly sent: Map<number, Sent>;
  /** The number of the last message that it told of. */
  last: number;
  readonly stays: Map<string, Stay[]>;
  readonly from: Map<string, Pair>;
  end: { at: number; isGraceful: boolean } | undefined;
}

/** What a process got of another one. */
interface Pair {
  /** Up to here it has been examined. */
  examined: number;
  entries: Received[];
  /** The last message among them that everyone gets. */
  latest: Received | undefined;
  /** When the last one came. */
  lastAt: number;
  gaps: number[];
  readonly recent: Set<number>;
}

/** The ledger. */
export class Ledger {
  readonly totals: Totals = {
    sent: 0,
    delivered: 0,
    lost: 0,
    doubled: 0,
    reordered: 0,
    altered: 0,
    unexpected: 0,
    gaps: 0,
    reported: 0,
    told: 0,
    orphaned: 0,
  };
  readonly #processes: Map<string, Process> = new Map();
  readonly #isBroken: OnBroken;
  readonly #arrived: (receiver: string, sender: string, sentAt: number, at: number) => void;

  /** @param arrived Called for each message that everyone gets. */
  constructor(
    isBroken: OnBroken,
    arrived: (receiver: string, sender: string, sentAt: number, at: number) => void,
  ) {
    this.#isBroken = isBroken;
    this.#arrived = arrived;
  }

  /** Takes what a server tells. */
  report(uid: string, name: string, report: Report): void {
    if (report.ready !== undefined) {
      this.#processes.set(uid, {
        uid,
        name,
        readyAt: report.ready.at,
        sent: new Map(),
        last: -1,
        stays: new Map(),
        from: new Map(),
        end: undefined,
      });
    }
    const process = this.#processes.get(uid);
    if (process === undefined) return;
    for (const [n, at, target] of report.sent ?? []) {
      process.sent.set(n, { at, target });
      process.last = n;
      this.totals.sent++;
    }
    for (const [target, what, at] of report.rooms ?? []) this.#stay(process, target, what, at);
    for (const [event, detail] of report.told ?? []) {
      if (event === "gap") this.#gap(process, detail as { uid: string; missed?: number });
    }
    for (const [sender, n, at, target, receivedAt, isIntact] of report.received ?? []) {
      this.#receive(process, sender, { n, at, target, receivedAt, isIntact });
    }
  }

  /** A process has ended; what it said is examined once the others had time to get it. */
  ended(uid: string, isGraceful: boolean): void {
    const process = this.#processes.get(uid);
    if (process !== undefined) process.end = { at: Date.now(), isGraceful };
  }

  /** Whether a receiver has got everything that a sender told of. */
  isComplete(receiver: string, sender: string): boolean {
    const pair = this.#processes.get(receiver)?.from.get(sender);
    const last = this.#processes.get(sender)?.last ?? -1;
    return last < 0 || (pair?.entries.at(-1)?.n ?? pair?.examined ?? -1) >= last;
  }

  /** When a receiver last got something of a sender. */
  lastAt(receiver: string, sender: string): number | undefined {
    const at = this.#processes.get(receiver)?.from.get(sender)?.lastAt;
    return at === 0 ? undefined : at;
  }

  /**
   * Examines what can be judged by now.
   *
   * @param settledBefore Of processes that ended before this time (`Date.now()`) nothing more comes.
   */
  check(settledBefore: number): void {
    for (const receiver of this.#processes.values()) {
      for (const sender of this.#processes.values()) {
        const pair = pairOf(receiver, sender.uid);
        if (pair.latest !== undefined) this.#examine(receiver, sender, pair, pair.latest);
        const isOver = sender.end !== undefined && sender.end.at < settledBefore;
        if (isOver && receiver.end === undefined) this.#examineTail(receiver, sender, pair);
      }
    }
    for (const process of this.#processes.values()) {
      if (process.end !== undefined && process.end.at < settledBefore) {
        this.#processes.delete(process.uid);
        for (const { from } of this.#processes.values()) from.delete(process.uid);
      } else this.#forget(process);
    }
  }

  #stay({ stays }: Process, target: string, what: string, at: number): void {
    const all = stays.get(target) ?? [];
    stays.set(target, all);
    const last = all.at(-1);
    if (what === "called") all.push({ called: at, joined: undefined, left: undefined });
    else if (last !== undefined && what === "joined") last.joined = at;
    else if (last !== undefined) last.left = at;
    // Longer ago than anything that may still come.
    while (all.length > 1_000) all.shift();
  }

  #gap(receiver: Process, { uid, missed }: { uid: string; missed?: number }): void {
    pairOf(receiver, uid).gaps.push(missed ?? 0);
    this.totals.gaps++;
    this.totals.reported += missed ?? 0;
  }

  #receive(receiver: Process, uid: string, entry: Received): void {
    this.totals.delivered++;
    const pair = pairOf(receiver, uid);
    const { n, target } = entry;
    pair.lastAt = entry.receivedAt;
    if (n <= pair.examined) {
      const kind = pair.recent.has(n) ? "doubled" : "reordered";
      this.#count(kind);
      const words = `${kind}: ${n} of ${
        this.#name(uid)
      } at ${receiver.name}, ${pair.examined} came before`;
      return this.#isBroken(words, [receiver.uid, uid]);
    }
    pair.entries.push(entry);
    if (isForAll(target)) {
      if (n > (pair.latest?.n ?? -1)) pair.latest = entry;
      this.#arrived(receiver.uid, uid, entry.at, entry.receivedAt);
    }
  }

  /** Everything up to a message that has come. */
  #examine(receiver: Process, sender: Process, pair: Pair, latest: Received): void {
    // What was sent is told with a delay, too.
    if (latest.n > sender.last && sender.end === undefined) return;
    const entries = pair.entries.filter(({ n }) => n <= latest.n);
    pair.entries = pair.entries.filter(({ n }) => n > latest.n);
    pair.latest = undefined;
    this.#judge(receiver, sender, pair, entries, latest.n, latest.receivedAt);
  }

  /** What an ended process said last, of which nothing more comes. */
  #examineTail(receiver: Process, sender: Process, pair: Pair): void {
    const isGraceful = sender.end?.isGraceful ?? false;
    let last = sender.last;
    if (!isGraceful) {
      // What it had not published goes with it: nobody else has it either.
      last = -1;
      for (const other of this.#processes.values()) {
        if (other === sender || other.end !== undefined) continue;
        const had = other.from.get(sender.uid);
        last = Math.max(last, had?.examined ?? -1, ...(had?.entries ?? []).map(({ n }) => n));
      }
    }
    const { entries } = pair;
    last = Math.max(last, ...entries.map(({ n }) => n));
    if (last <= pair.examined) return;
    pair.entries = [];
    pair.latest = undefined;
    this.#judge(receiver, sender, pair, entries, last, Date.now());
  }

  #judge(
    receiver: Process,
    sender: Process,
    pair: Pair,
    entries: readonly Received[],
    last: number,
    at: number,
  ): void {
    if (sender.end !== undefined) {
      // A process that was killed may have said what it had no time to tell of.
      for (const { n, at, target } of entries) {
        if (n > sender.last && !sender.sent.has(n)) sender.sent.set(n, { at, target });
      }
    }
    const had = new Set(entries.map(({ n }) => n));
    const sent = [];
    for (let n = pair.examined + 1; n <= last; n++) {
      const message = sender.sent.get(n);
      if (message === undefined) continue;
      const isExpected = had.has(n) || mustGet(receiver, message, at);
      if (isExpected) sent.push({ sender: sender.uid, n, digest: "intact" });
    }
    const received = entries.map(({ n, isIntact }) => ({
      sender: sender.uid,
      n,
      digest: isIntact ? "intact" : "altered",
    }));
    const gaps = pair.gaps.map((missed) => ({
      receiver: receiver.uid,
      sender: sender.uid,
      missed,
    }));
    const found = examine({ sent, received: { [receiver.uid]: received }, gaps }, { gaps: "any" });
    pair.examined = last;
    for (const n of had) pair.recent.add(n);
    for (const n of pair.recent) {
      if (pair.recent.size <= RECENT) break;
      pair.recent.delete(n);
    }
    const missing = sent.filter(({ n }) => !had.has(n)).map(({ n }) => n);
    this.#note(found, receiver, sender, pair, missing);
  }

  #note(
    found: Findings,
    receiver: Process,
    sender: Process,
    pair: Pair,
    missing: readonly number[],
  ): void {
    const { lost, doubled, reordered, altered, unexpected } = found;
    const isTold = lost > 0 && pair.gaps.length > 0;
    // What is promised is promised of processes that live.
    const isOrphaned = sender.end !== undefined && !sender.end.isGraceful;
    if (isTold) {
      this.totals.told += lost;
      pair.gaps = [];
    } else if (isOrphaned) this.totals.orphaned += lost;
    else this.totals.lost += lost;
    this.totals.doubled += doubled;
    this.totals.reordered += reordered;
    this.totals.altered += altered;
    this.totals.unexpected += unexpected;
    if (doubled + reordered + altered + unexpected + (isTold || isOrphaned ? 0 : lost) === 0) {
      return;
    }
    const lines = missing.slice(0, EXAMPLES).map((n) => {
      const { at = 0, target } = sender.sent.get(n) ?? {};
      return `${n} to "${target}", ${Date.now() - at} ms ago`;
    });
    const state = sender.end === undefined ? "" : sender.end.isGraceful ? ", closed" : ", killed";
    this.#isBroken(
      `${sender.name} (${sender.uid}${state}) at ${receiver.name} (${receiver.uid}): ${
        found.examples.filter((words) => !words.startsWith("misreported")).join("; ")
      }${lines.length > 0 ? ` (${lines.join("; ")})` : ""}`,
      [receiver.uid, sender.uid],
    );
  }

  #count(kind: "doubled" | "reordered"): void {
    this.totals[kind]++;
  }

  /** Lets go of what everybody was examined for. */
  #forget(sender: Process): void {
    let until = sender.last;
    for (const receiver of this.#processes.values()) {
      if (receiver.end === undefined) {
        until = Math.min(until, pairOf(receiver, sender.uid).examined);
      }
    }
    for (const n of sender.sent.keys()) {
      if (n > until) return;
      sender.sent.delete(n);
    }
  }

  #name(uid: string): string {
    return `${this.#processes.get(uid)?.name ?? "a former server"} (${uid})`;
  }
}

/** Whether a message had to come by a time. */
function mustGet(receiver: Process, { at: sentAt, target }: Sent, at: number): boolean {
  if (sentAt < receiver.readyAt + SLACK_MS) return false;
  if (isForAll(target)) return true;
  return (receiver.stays.get(target) ?? []).some(({ joined, left }) =>
    joined !== undefined && joined + SLACK_MS <= sentAt && (left === undefined || left > at)
  );
}

function pairOf(receiver: Process, uid: string): Pair {
  const known = receiver.from.get(uid);
  if (known !== undefined) return known;
  const pair: Pair = {
    examined: -1,
    entries: [],
    latest: undefined,
    lastAt: 0,
    gaps: [],
    recent: new Set(),
  };
  receiver.from.set(uid, pair);
  return pair;
}
