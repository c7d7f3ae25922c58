/**
 * What another process sends, put in order. PostgreSQL delivers what a process sends on one connection in its order, to
 * whoever listens. What is missed is what was sent while this process did not listen: while it had lost its connection,
 * or before LISTEN of a channel took effect. In both cases it asks for what it missed, and meanwhile holds back what
 * comes after that.
 *
 * A sender counts its frames over all channels, and each says which one preceded it on its channel. So a frame whose
 * number is the next one is handed over whatever else is open; one that names a predecessor which never came shows that
 * something was missed. Frames whose numbers do not fit each other are not all sent by the process that they name: it is
 * asked then, too, and what it does not know of is passed over.
 */
import type { Frame } from "../wire/frame.ts";

/** What may have been missed: everything after a sequence number. */
export interface Wait {
  readonly id: number;
  /** Up to which sequence number nothing is missing. */
  after: number;
  /** The channels that are concerned; all where there are none. */
  channels: readonly string[] | undefined;
  /** Whether it is known that something was missed, or likely. */
  readonly isOutage: boolean;
  /** Since when, as `performance.now()` says it. */
  readonly openedAt: number;
  /** For how many milliseconds a question may be on its way, where what was sent before `openedAt` does not matter. */
  margin: number;
  /**
   * When it was asked for, the first time and the last; after how many other questions; and when its sender last said
   * something again.
   */
  asked: { first: number; last: number; order: number; heard: number } | undefined;
}

/** What a sender tells. */
export interface SenderEvents {
  /**
   * The next frame in order.
   *
   * @param isTrusted Whether it follows the one before it on its channel as only the sender itself could know.
   */
  deliver(frame: Frame, isTrusted: boolean): void;
  /** A frame shows that something was missed: a wait is begun, and is to be asked for. */
  missed(wait: Wait): void;
  /** A frame was said before. */
  duplicate(): void;
  /** A frame that was missed came when it was too late to hand it over in order. */
  late(): void;
  /** A frame that the process it names cannot have sent, or before which one came that it cannot have sent. */
  forged(): void;
}

interface Held {
  frame: Frame;
  isTrusted: boolean;
}

/** How much may be open at once because of what somebody sends in the name of others. */
const MAX_WAITS = 16;

/** For how many milliseconds a question is on its way, mostly less. */
const MARGIN_MS = 250;

/** What a held frame takes of memory besides its characters. */
const HELD_FRAME_LENGTH = 250;

/** How many of the last sequence numbers are known one by one: more than a statement holds, which may be sent again. */
const RECENT = 512;

/** One process that sends. */
export class Sender {
  readonly uid: string;
  readonly #events: SenderEvents;
  /** The highest sequence number that was handed over. */
  #top = 0;
  /** After which one all that were handed over followed each other without a hole. */
  #wholeAfter = 0;
  /** The last ones that were handed over. */
  #recent: number[] = [];
  /** The highest sequence number that came. */
  #received = 0;
  /** The last sequence number by channel. */
  readonly #last: Map<string, number> = new Map();
  readonly #held: Map<number, Held> = new Map();
  #heldLength = 0;
  readonly #waits: Map<number, Wait> = new Map();
  /** Up to here what was missed is known to be lost. */
  #givenUp = 0;
  #isDelivering = false;
  /** The number of its last words, when it has said them; they may be held. */
  lastWords: number | undefined;
  /** The last question that it began, by its id. */
  lastAsk = 0;
  /** When it was last heard, as `performance.now()` says it. */
  heardAt = -Infinity;
  #nextWait: () => number;

  /** @param nextWait Makes the id of a wait. */
  constructor(uid: string, events: SenderEvents, nextWait: () => number) {
    this.uid = uid;
    this.#events = events;
    this.#nextWait = nextWait;
  }

  /** What is open. */
  get waits(): Iterable<Wait> {
    return this.#waits.values();
  }

  /** Whether anything is open. */
  get isWaiting(): boolean {
    return this.#waits.size > 0;
  }

  /** Whether everything after a sequence number up to another one has come. */
  hasAll(after: number, until: number): boolean {
    const isMeant = (number: number) => after < number && number <= until;
    // Of what followed without a hole the numbers need not be known one by one.
    let known = Math.max(0, Math.min(until, this.#top) - Math.max(after, this.#wholeAfter));
    for (const number of this.#recent) if (isMeant(number) && number <= this.#wholeAfter) known++;
    for (const number of this.#held.keys()) if (isMeant(number)) known++;
    return known >= until - after;
  }

  /** About how many characters are held back. */
  get heldLength(): number {
    return this.#heldLength;
  }

  /** Whether a frame came before, of late. */
  hasSeen(sequence: number): boolean {
    return this.#held.has(sequence) || this.#recent.includes(sequence);
  }

  /**
   * Whether a frame came at any time, as its number tells. Only for counting: whoever speaks in the name of the sender
   * makes long runs as well, and what it sends itself is no duplicate because of them.
   */
  hasCome(sequence: number): boolean {
    return this.hasSeen(sequence) || this.#wholeAfter < sequence && sequence <= this.#top;
  }

  /** Takes a frame that came on a channel. */
  receive(channel: string, frame: Frame): void {
    const { sequence } = frame;
    if (frame.isRepeat) return this.#receiveRepeat(frame);
    if (this.#held.has(sequence)) return this.#events.duplicate();
    if (sequence <= this.#top || sequence < this.#received) {
      // One that is sent again and was missed the first time was sent before its channel was listened to.
      if (frame.isResent || this.hasSeen(sequence)) return this.#events.duplicate();
      // What comes from a sender comes in its order: either this or what claimed to be later was not sent by it.
      this.#doubt(sequence - 1);
      return this.#hold({ frame, isTrusted: false });
    }
    const isFirst = this.#received === 0 && !this.isWaiting;
    const before = this.#last.get(channel);
    const { previous = 0 } = frame;
    if (!isFirst && previous > (before ?? this.#received) && previous > this.#givenUp) {
      if (!this.#isCovered(before === undefined)) {
        this.#events.missed(this.wait(undefined, true, before));
      }
    } else if (previous !== 0 && before !== undefined && previous < before) {
      // One of both was not sent by it.
      this.#doubt(this.#received);
    }
    // Its number is the first that counts: what it sent before was not for this process.
    if (isFirst) this.#top = this.#wholeAfter = sequence - 1;
    this.#last.set(channel, sequence);
    this.#received = Math.max(this.#received, sequence);
    const held = { frame, isTrusted: before !== undefined && previous === before };
    if (this.#isDelivering || !this.#isNext(sequence)) this.#hold(held);
    else this.#deliver(held);
    this.#follow();
    // What was handed over may have settled what was open.
    if (!this.isWaiting && this.#held.size > 0) this.#drain();
  }

  /**
   * From here on something may be missed.
   *
   * @param channels The channels that are concerned, if not all.
   * @param isOutage Whether something was missed, or likely.
   * @param after Up to where nothing is; everything that came, unless said otherwise.
   */
  wait(
    channels: readonly string[] | undefined,
    isOutage: boolean,
    after: number = this.#isDelivering ? this.#top : this.#received,
    id: number = this.#nextWait(),
  ): Wait {
    const wait: Wait = {
      id,
      after,
      channels,
      isOutage,
      openedAt: performance.now(),
      margin: MARGIN_MS,
      asked: undefined,
    };
    this.#waits.set(id, wait);
    return wait;
  }

  /**
   * More channels are concerned by what is open already. What is handed over at the moment may be from before that was
   * opened, and what its sender sent next to one of them is missing, too.
   */
  extend(id: number): void {
    const wait = this.#waits.get(id);
    if (wait === undefined) this.wait(undefined, false, undefined, id);
    else if (this.#isDelivering) wait.after = Math.min(wait.after, this.#top);
  }

  /** The connection was lost: whatever was open is part of that now. */
  interrupted(): void {
    let after = Math.min(this.#received, this.#openAfter);
    // What followed without a hole has come, whatever was open.
    for (const sequence of this.#recent) if (sequence === after + 1) after = sequence;
    this.#waits.clear();
    this.wait(undefined, true, after);
  }

  /** What is open under this id, if it is. */
  waitOf(id: number): Wait | undefined {
    return this.#waits.get(id);
  }

  /**
   * All that could be repeated has been, or will not be.
   *
   * @param until The sequence number up to which its sender says so, if it does.
   */
  settle(id: number, until?: number): void {
    const wait = this.#waits.get(id);
    if (wait === undefined) return;
    this.#waits.delete(id);
    this.#givenUp = until ?? Math.max(this.#givenUp, this.#received);
    if (until !== undefined) this.#forgetAfter(until);
    this.#drain();
  }

  /** Nothing of a channel is heard any more. */
  forget(channel: string): void {
    this.#last.delete(channel);
  }

  /**
   * Something was sent on a channel, and everything that was sent before this was known has come.
   *
   * @returns A wait, when it did not come and nothing is open.
   */
  check(channel: string, sequence: number): Wait | undefined {
    const last = this.#last.get(channel);
    if (this.isWaiting || last === undefined || last >= sequence) return undefined;
    return sequence > this.#givenUp ? this.wait(undefined, true, last) : undefined;
  }

  #receiveRepeat(frame: Frame): void {
    // Said to others, who had missed it.
    if (!this.isWaiting) return;
    const { sequence } = frame;
    if (this.#held.has(sequence)) {
      // What its sender says again is what it has sent.
      this.#drop(sequence);
      return this.#hold({ frame, isTrusted: false });
    }
    if (sequence <= this.#top) {
      if (this.#isKnown(sequence)) this.#events.duplicate();
      // What came after it has been handed over; what is older than all that is open was missed by others.
      else if (sequence > this.#openAfter) this.#events.late();
      return;
    }
    this.#hold({ frame, isTrusted: false });
    this.#follow();
  }

  /** Up to where nothing is missing that is open. */
  get #openAfter(): number {
    let after = Infinity;
    for (const wait of this.#waits.values()) after = Math.min(after, wait.after);
    return after;
  }

  /** Whether something that is missing on a channel will come. */
  #isCovered(isNewChannel: boolean): boolean {
    for (const { isOutage } of this.#waits.values()) if (isOutage || isNewChannel) return true;
    return false;
  }

  /** Whether a frame may be handed over before what is open is settled. */
  #isNext(sequence: number): boolean {
    if (sequence === this.#top + 1) return true;
    for (const { after } of this.#waits.values()) if (sequence > after) return false;
    return true;
  }

  #hold(held: Held): void {
    this.#held.set(held.frame.sequence, held);
    this.#heldLength += held.frame.body.length + HELD_FRAME_LENGTH;
  }

  #drop(sequence: number): Held {
    const held = this.#held.get(sequence)!;
    this.#held.delete(sequence);
    this.#heldLength -= held.frame.body.length + HELD_FRAME_LENGTH;
    return held;
  }

  /** Hands over what is held and is the next in number. */
  #follow(): void {
    if (this.#isDelivering) return;
    while (this.#held.has(this.#top + 1)) this.#deliver(this.#drop(this.#top + 1));
  }

  /** Hands over what is held and may be, now that less is open. */
  #drain(): void {
    if (this.#isDelivering) return;
    for (const sequence of [...this.#held.keys()].sort((a, b) => a - b)) {
      if (!this.#isNext(sequence)) return;
      const held = this.#drop(sequence);
      // It came out of its order, and its sender knows nothing of it.
      if (sequence > this.#top) this.#deliver(held);
    }
  }

  #deliver({ frame, isTrusted }: Held): void {
    if (frame.sequence !== this.#top + 1) this.#wholeAfter = frame.sequence - 1;
    this.#top = frame.sequence;
    this.#recent.push(frame.sequence);
    if (this.#recent.length >= 2 * RECENT) this.#recent = this.#recent.slice(-RECENT);
    this.#isDelivering = true;
    try {
      this.#events.deliver(frame, isTrusted);
    } finally {
      this.#isDelivering = false;
    }
  }

  /** Whether a frame has been handed over, is held, or is too old to know. */
  #isKnown(sequence: number): boolean {
    if (this.#held.has(sequence)) return true;
    const recent = this.#recent.slice(-RECENT);
    return sequence <= (recent[0] ?? this.#top) || recent.includes(sequence);
  }

  /** Somebody speaks in the name of this sender, which can tell what it has sent. */
  #doubt(after: number): void {
    this.#events.forged();
    if (this.#waits.size >= MAX_WAITS) return;
    for (const wait of this.#waits.values()) if (wait.isOutage && wait.after <= after) return;
    this.#events.missed(this.wait(undefined, true, after));
  }

  /** What came before the end of an answer and claims to be later was not sent by this sender. */
  #forgetAfter(sequence: number): void {
    for (const number of this.#held.keys()) {
      if (number <= sequence) continue;
      this.#events.forged();
      this.#drop(number);
    }
    for (const [channel, last] of this.#last) if (last > sequence) this.#last.delete(channel);
    this.#received = Math.min(this.#received, sequence);
    if (this.#top <= sequence) return;
    this.#events.forged();
    this.#recent = this.#recent.filter((number) => number <= sequence);
    // Where so much was forged that nothing else is remembered, what is held and its own comes next.
    let before = sequence;
    for (const number of this.#held.keys()) before = Math.min(before, number - 1);
    this.#top = this.#recent.at(-1) ?? before;
    this.#wholeAfter = Math.min(this.#wholeAfter, this.#top);
  }
}
