/**
 * The other processes that are heard: what they send, in order, and what was missed of it, which is asked for.
 */
import { type Ask, type AskEnd, decodeAsk, decodeAskEnd } from "../wire/ask.ts";
import { type Frame, ownCopy } from "../wire/frame.ts";
import { utf8Length } from "../wire/utf8.ts";
import { type Deferred, deferred } from "./deadline.ts";
import { Sender, type Wait } from "./sender.ts";

/** How many are remembered; the one that was silent for longest is forgotten. */
const MAX_SENDERS = 4_096;

/** How many characters of the frames of one process are held back for what was missed before them. */
const MAX_HELD = 32 * 1024 * 1024;

/** The same of all processes. */
const MAX_HELD_OF_ALL = 4 * MAX_HELD;

/** Milliseconds after which a question is asked once more. */
const ASK_AGAIN_MS = 2_000;

/** The same while its sender says things again, which may be for others. */
const ASK_AGAIN_AT_LAST_MS = 6_000;

/** Milliseconds after which a process that does not answer has no answer. */
const ANSWER_MS = 15_000;

/** The same for one that says other things again meanwhile: an answer may be long. */
const LONG_ANSWER_MS = 60_000;

/** The same for one that has said its last words. */
const LAST_ANSWER_MS = 1_000;

/** The most bytes of the names of channels in one question, which is one payload; with more it is about all. */
const MAX_ASKED_BYTES = 3_000;

/** What is told of processes, and needed. */
export interface ProcessesEvents {
  /** The next frame of a process. */
  deliver(uid: string, frame: Frame, isTrusted: boolean): void;
  /** Whether a process is a member of the cluster, as far as is known. */
  isMember(uid: string): boolean;
  /** A process asks for what it missed of this one. */
  asked(uid: string, ask: Ask): void;
  /** Something was missed of a process: it is to be asked. */
  ask(uid: string, ask: Omit<Ask, "hasRoomChannels">): void;
  /** Messages of a process were missed for good; how many, where that is known. */
  gap(uid: string, missed: number | undefined): void;
  /** A frame came before. */
  duplicate(): void;
  /** Somebody speaks in the name of a process. */
  forged(uid: string): void;
  /** Something that was open is not any more. */
  settled(): void;
}

/** The other processes. */
export class Processes {
  readonly #replayWindow: number;
  readonly #events: ProcessesEvents;
  /** In the order of use. */
  readonly #senders: Map<string, Sender> = new Map();
  #waits = 0;
  #asks = 0;
  #held = 0;
  /** Until when one that is heard for the first time may have sent what was missed: for ever while nothing is heard. */
  #newcomersUntil = -Infinity;
  /** Those who wait for the end of what they opened. */
  readonly #closing: Map<number, Deferred<void>> = new Map();

  /** @param replayWindow For how many milliseconds others remember what they have sent. */
  constructor(replayWindow: number, events: ProcessesEvents) {
    this.#replayWindow = replayWindow;
    this.#events = events;
  }

  /** Whether something is missing of any process. */
  get isWaiting(): boolean {
    for (const sender of this.#senders.values()) if (sender.isWaiting) return true;
    return false;
  }

  /**
   * Takes a frame that came on a channel.
   *
   * @throws MalformedMessage when it is about frames and cannot be read.
   */
  receive(channel: string, frame: Frame): void {
    const { kind, sequence, isRepeat } = frame;
    const sender = this.#senderOf(frame.uid);
    sender.heardAt = performance.now();
    if (isRepeat) {
      // An answer that is on its way is not asked for again at once, nor given up.
      for (const { asked } of sender.waits) {
        if (asked !== undefined) asked.heard = performance.now();
      }
    } else if (kind === "r" || kind === "c") {
      // Whoever goes on talking has not left, whatever was said in its name.
      sender.lastWords = undefined;
    }
    // What is about frames does not wait for frames: two that ask each other would wait for ever.
    if (!sender.hasSeen(sequence)) {
      if (kind === "q") this.#asked(sender, decodeAsk(frame.body));
      else if (kind === "e") this.#answered(sender, sequence, frame.body);
      else if (kind === "b") sender.lastWords = sequence;
    }
    const before = sender.heldLength;
    sender.receive(channel, frame);
    this.#held += sender.heldLength - before;
    if (sender.heldLength <= MAX_HELD && this.#held <= MAX_HELD_OF_ALL) return;
    for (const wait of [...sender.waits]) this.#giveUp(sender, wait);
  }

  /**
   * The listening connection is lost: whatever is sent from now on is missed.
   *
   * @param isAcquainted Whether the others were known at any time: who is not heard of yet is no newcomer otherwise.
   */
  interrupted(isAcquainted: boolean): void {
    if (isAcquainted) this.#newcomersUntil = Infinity;
    const since = performance.now() - this.#replayWindow;
    for (const sender of this.#senders.values()) {
      // One that was gone for a moment may be there again before that is known.
      const isBack = sender.lastWords === undefined && sender.heardAt > since;
      if (isBack || this.#events.isMember(sender.uid)) sender.interrupted();
    }
    this.#settleClosing();
  }

  /**
   * The listening connection is back: asks for what was missed.
   *
   * @param opening What was opened too late to be listened to already: it is for {@linkcode ask}.
   */
  resumed(opening: number | undefined): void {
    if (this.#newcomersUntil === Infinity) {
      this.#newcomersUntil = performance.now() + this.#replayWindow;
    }
    for (const sender of this.#senders.values()) {
      for (const wait of [...sender.waits]) {
        if (wait.isOutage) this.#ask(sender, wait);
        // What was opened before is part of that.
        else if (wait.id !== opening) this.#settle(sender, wait.id);
      }
    }
  }

  /** A process that was gone is there again, and may have sent to channels that nobody listened to. */
  returned(uid: string): void {
    const sender = this.#senders.get(uid);
    if (sender === undefined || sender.isWaiting) return;
    this.#ask(sender, sender.wait(undefined, true));
  }

  /**
   * From here on messages of channels that are to be listened to may be missed.
   *
   * @param id What was opened before, not asked for yet, and is for one more channel now.
   * @returns What to {@linkcode ask} or {@linkcode cancel} with.
   */
  open(id: number = this.#nextWait()): number {
    for (const sender of this.#senders.values()) {
      if (this.#events.isMember(sender.uid)) sender.extend(id);
    }
    return id;
  }

  /**
   * The channels are listened to, or will not be: asks for what was sent to them meanwhile.
   *
   * @returns A promise that settles when all that can be had is there, and never rejects.
   */
  ask(id: number, channels: readonly string[]): Promise<void> {
    // As they travel: a control character, which rooms may have, takes six bytes there.
    const isShort = utf8Length(JSON.stringify(channels)) < MAX_ASKED_BYTES;
    let isAsked = false;
    for (const sender of this.#senders.values()) {
      const wait = sender.waitOf(id);
      if (wait === undefined) continue;
      if (isShort) wait.channels = channels;
      this.#ask(sender, wait);
      isAsked = true;
    }
    if (!isAsked) return Promise.resolve();
    const closing = deferred<void>();
    this.#closing.set(id, closing);
    return closing.promise;
  }

  /** Nothing was missed. */
  cancel(id: number): void {
    for (const sender of this.#senders.values()) this.#settle(sender, id);
  }

  /** Nothing of a channel is heard any more. */
  forget(channel: string): void {
    for (const sender of this.#senders.values()) sender.forget(channel);
  }

  /** A process is gone: it answers no more. */
  gone(uid: string): void {
    const sender = this.#senders.get(uid);
    if (sender === undefined) return;
    const { lastWords } = sender;
    for (const wait of [...sender.waits]) {
      // Who took its leave right after the last thing that was heard of it has said nothing in between.
      const isWhole = lastWords !== undefined && sender.hasAll(wait.after, lastWords);
      this.#giveUp(sender, wait, !isWhole);
    }
  }

  /** What a process says it sent last on a channel, which may be what was missed. */
  check(uid: string, channel: string, sequence: number): void {
    const sender = this.#senders.get(uid);
    const wait = sender?.check(channel, sequence);
    if (wait !== undefined) this.#ask(sender!, wait);
  }

  /**
   * Asks again, and gives up what does not come. Called now and then.
   *
   * @param isAsking Whether questions are sent: as long as they wait for a connection themselves they cannot be answered.
   */
  sweep(isAsking = true): void {
    const now = performance.now();
    for (const sender of this.#senders.values()) {
      const limit = sender.lastWords === undefined ? ANSWER_MS : LAST_ANSWER_MS;
      for (const wait of [...sender.waits]) {
        if (wait.asked === undefined) continue;
        // Later than that its sender remembers nothing of it; and joins are not held up by an outage.
        const isRemembered = wait.isOutage && now - wait.openedAt < this.#replayWindow;
        if (!isAsking && isRemembered && sender.lastWords === undefined) {
          wait.asked = { ...wait.asked, first: now, last: now, heard: now };
          continue;
        }
        const { first, last, heard } = wait.asked;
        if (Math.max(first, heard) < now - limit || first < now - LONG_ANSWER_MS) {
          this.#giveUp(sender, wait);
        } else if (
          Math.max(last, heard) < now - ASK_AGAIN_MS || last < now - ASK_AGAIN_AT_LAST_MS
        ) {
          this.#ask(sender, wait);
        }
      }
    }
    this.#settleClosing();
  }

  #nextWait = (): number => ++this.#waits;

  #asked(sender: Sender, ask: Ask): void {
    this.#events.asked(sender.uid, ask);
    if (ask.channels !== undefined || ask.id <= sender.lastAsk) return;
    // It did not listen, and so did not hear what it was asked; once, or two of them would go on asking each other.
    sender.lastAsk = ask.id;
    this.#askAgain(sender, Infinity);
  }

  #answered(sender: Sender, sequence: number, body: string): void {
    const end = decodeAskEnd(body);
    const { id, back } = end;
    const wait = sender.waitOf(id);
    if (wait === undefined) return;
    if (back !== undefined && back < performance.now() - wait.openedAt) {
      // The question was on its way for so long that something may have been left out that was sent since.
      wait.margin *= 4;
      return this.#ask(sender, wait);
    }
    const { order = 0 } = wait.asked ?? {};
    const missed = missedOf(sender, wait, end);
    if (missed !== 0) this.#events.gap(sender.uid, missed);
    this.#settle(sender, id, sequence);
    // Questions are heard in their order: those before this one were not.
    this.#askAgain(sender, order);
  }

  /** Asks again what was asked before a question. */
  #askAgain(sender: Sender, before: number): void {
    for (const wait of [...sender.waits]) {
      if (wait.asked !== undefined && wait.asked.order < before) this.#ask(sender, wait);
    }
  }

  #ask(sender: Sender, wait: Wait): void {
    const { id, after, channels, isOutage, openedAt, margin } = wait;
    const now = performance.now();
    const { first = now, heard = now } = wait.asked ?? {};
    wait.asked = { first, last: now, order: ++this.#asks, heard };
    this.#events.ask(sender.uid, {
      id,
      after,
      ...channels !== undefined && { channels },
      // What a room was told before it was joined is not for those who join it.
      ...!isOutage && { back: Math.ceil(now - openedAt + margin) },
    });
  }

  #settle(sender: Sender, id: number, until?: number): void {
    const before = sender.heldLength;
    sender.settle(id, until);
    this.#held += sender.heldLength - before;
    if (this.#closing.has(id)) this.#settleClosing();
    this.#events.settled();
  }

  #settleClosing(): void {
    if (this.#closing.size === 0) return;
    const open = new Set<number>();
    for (const sender of this.#senders.values()) for (const { id } of sender.waits) open.add(id);
    for (const [id, closing] of this.#closing) {
      if (open.has(id)) continue;
      this.#closing.delete(id);
      closing.resolve();
    }
  }

  /** No answer will come. */
  #giveUp(sender: Sender, wait: Wait, isKnown: boolean = this.#events.isMember(sender.uid)): void {
    if (wait.isOutage && isKnown) this.#events.gap(sender.uid, undefined);
    this.#settle(sender, wait.id);
  }

  #senderOf(uid: string): Sender {
    const sender = this.#senders.get(uid) ?? this.#meet(ownCopy(uid));
    // Deleting first keeps the map in the order of use.
    this.#senders.delete(uid);
    this.#senders.set(sender.uid, sender);
    if (this.#senders.size > MAX_SENDERS) {
      const [oldest] = this.#senders.values();
      this.#senders.delete(oldest!.uid);
      this.#held -= oldest!.heldLength;
    }
    return sender;
  }

  #meet(uid: string): Sender {
    const sender: Sender = new Sender(uid, {
      deliver: (frame, isTrusted) =>
        this.#events.deliver(uid, frame, isTrusted && this.#events.isMember(uid)),
      missed: (wait) => this.#ask(sender, wait),
      duplicate: () => this.#events.duplicate(),
      late: () => this.#events.gap(uid, 1),
      forged: () => this.#events.forged(uid),
    }, this.#nextWait);
    // Who came while nothing was heard has said things already.
    if (performance.now() < this.#newcomersUntil) {
      const wait = sender.wait(undefined, true, 0);
      if (this.#newcomersUntil !== Infinity) this.#ask(sender, wait);
    }
    return sender;
  }
}

/**
 * How many messages of a sender are missed for good, as it says. What came before the question was heard is not remembered
 * either, and is not missed; nobody can say of how much of what is not named that is true, if of any.
 */
function missedOf(sender: Sender, { after }: Wait, { older, lost }: AskEnd): number | undefined {
  let missed = 0;
  for (const { sequence, messages } of lost) if (!sender.hasCome(sequence)) missed += messages;
  if (older === undefined || sender.hasAll(after, older.sequence)) return missed;
  return sender.hasCome(older.sequence) ? undefined : missed + older.messages;
}
