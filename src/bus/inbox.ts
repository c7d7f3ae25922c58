/**
 * What arrives: payloads in, messages out, in the order of their sender, each once. What was missed is asked for.
 */
import { type Ask, decodeAsk, decodeAskEnd } from "../wire/ask.ts";
import {
  decodeFrame,
  type Frame,
  isFrameOf,
  MAX_PAYLOAD_BYTES,
  sequenceOf,
  WIRE_VERSION,
} from "../wire/frame.ts";
import {
  decodeMessages,
  excerpt,
  MalformedMessage,
  maxRecordLength,
  type Message,
} from "../wire/message.ts";
import { decodePlain } from "../wire/plain.ts";
import { PgAdapterError } from "../errors.ts";
import type { Sealer } from "../runtime/sealer.ts";
import { isSealed, Refused } from "../wire/seal.ts";
import { Assembly } from "./assembly.ts";
import { Complaints } from "./complaints.ts";
import { type Deferred, deferred } from "./deadline.ts";
import type { Place } from "./places.ts";
import { Sender, type Wait } from "./sender.ts";

/** How many senders are remembered, emitters included; the one that was silent for longest is forgotten. */
const MAX_SENDERS = 4_096;

/** Milliseconds after which a record whose next chunk does not come is given up: of an emitter. */
const EMITTERS_ASSEMBLY_MS = 10_000;

/** The same for a process, which goes on after an outage of the database. */
const ASSEMBLY_MS = 300_000;

/** How many records of the largest size may be put together at once. */
const MAX_RECORDS_ASSEMBLING = 4;

/** How many characters of frames are held back for what was missed before them. */
const MAX_HELD = 64 * 1024 * 1024;

/** Milliseconds after which a question is asked once more. */
const ASK_AGAIN_MS = 2_000;

/** Milliseconds after which a process that does not answer has no answer. */
const ANSWER_MS = 15_000;

/** The same for one that has said its last words. */
const LAST_ANSWER_MS = 1_000;

/** The most characters of the names of channels in one question; with more it is about all. */
const MAX_ASKED_LENGTH = 2_000;

/** What an inbox has seen. */
export interface InboxStats {
  /** Messages of others. */
  messages: number;
  /** Payloads of NOTIFY of other adapters and emitters. */
  frames: number;
  /** Their length, in characters. */
  characters: number;
  /** Frames that had been received before. */
  duplicates: number;
  /** Frames that had been missed, and came when they were asked for. */
  repaired: number;
  /** Messages that were missed and could not be had any more, as far as they are known. */
  missed: number;
  /** Records in chunks that did not come whole. */
  incomplete: number;
  /** Payloads and messages that are none of ours, those without a valid seal included. */
  malformed: number;
  /** Payloads without a valid seal, where there is a `secret`. */
  refused: number;
}

/** What an inbox tells and needs. */
export interface InboxEvents {
  /**
   * @param uid The sender's; none for a plain message.
   * @throws MalformedMessage when the message is refused.
   */
  message(uid: string | undefined, message: Message): void;
  /** Whether it matters that one of our own frames comes back. */
  isEchoWanted(): boolean;
  /** One of our own frames came back. */
  echo(sequence: number): void;
  /** A process was heard of. */
  heard(uid: string): void;
  /** Whether a process is a member of the cluster, as far as is known. */
  isMember(uid: string): boolean;
  /** A process has said its last words. */
  left(uid: string): void;
  /** A process asks for what it missed of this one. */
  asked(uid: string, ask: Ask): void;
  /** Something was missed of a process: it is to be asked. */
  ask(uid: string, ask: Omit<Ask, "hasRoomChannels">): void;
  /** Messages of a process were missed for good; how many, where that is known. */
  gap(uid: string, missed: number | undefined): void;
  error(error: PgAdapterError): void;
}

/** The options that an inbox uses. */
export interface InboxOptions {
  readonly maxPayload: number;
  readonly replayWindow: number;
}

/** Who is heard. */
interface Heard {
  readonly uid: string;
  /** The record that has not come whole yet. */
  readonly assembly: Assembly;
}

/** A process that is heard. */
interface Process extends Heard {
  readonly sender: Sender;
}

/** Reads what arrives. */
export class Inbox {
  readonly #uid: string;
  readonly #sealer: Sealer | undefined;
  readonly #maxRecordLength: number;
  readonly #replayWindow: number;
  readonly #events: InboxEvents;
  readonly #complaints: Complaints;
  /** Processes by their uid, in the order of use. */
  readonly #senders: Map<string, Process> = new Map();
  /** Emitters, which have no order over all that they send: several connections of a pool may share one. */
  readonly #emitters: Map<string, Heard> = new Map();
  /** How many characters of unfinished records there are. */
  #assembling = 0;
  #waits = 0;
  /** Until when a process that is heard for the first time may have sent what was missed: for ever while deaf. */
  #newcomersUntil = -Infinity;
  /** Those who wait for the end of what they opened. */
  readonly #closing: Map<number, Deferred<void>> = new Map();
  readonly #stats: Omit<InboxStats, "malformed"> = {
    messages: 0,
    frames: 0,
    characters: 0,
    duplicates: 0,
    repaired: 0,
    missed: 0,
    incomplete: 0,
    refused: 0,
  };

  constructor(
    uid: string,
    options: InboxOptions,
    sealer: Sealer | undefined,
    events: InboxEvents,
  ) {
    this.#uid = uid;
    this.#sealer = sealer;
    this.#maxRecordLength = maxRecordLength(options.maxPayload);
    this.#replayWindow = options.replayWindow;
    this.#events = events;
    this.#complaints = new Complaints((error) => events.error(error));
  }

  /** What it has seen so far. */
  get stats(): InboxStats {
    return { ...this.#stats, malformed: this.#complaints.count };
  }

  /**
   * Takes a payload. Never throws.
   *
   * @param channel The channel it came on.
   * @param place What the channel stands for, when plain messages are welcome there.
   */
  receive(channel: string, payload: string, place?: Place): void {
    const isOwn = isFrameOf(this.#uid, payload);
    // Nobody looks at the own frames but for the first, and heartbeats.
    if (isOwn && !this.#events.isEchoWanted()) return;
    try {
      const opened = this.#sealer === undefined ? payload : this.#sealer.open(channel, payload);
      if (isOwn) return this.#events.echo(sequenceOf(opened));
      this.#receiveOpened(channel, opened, place);
    } catch (fault) {
      if (fault instanceof Refused) this.#unsigned(fault);
      else this.#complaints.malformed(fault, excerpt(payload));
    }
  }

  /** The listening connection is lost: whatever is sent from now on is missed. */
  interrupted(): void {
    this.#newcomersUntil = Infinity;
    for (const { sender } of this.#senders.values()) {
      if (this.#events.isMember(sender.uid)) sender.interrupted();
    }
    this.#settleClosing();
  }

  /** The listening connection is back: asks for what was missed. */
  resumed(): void {
    if (this.#newcomersUntil === Infinity) {
      this.#newcomersUntil = performance.now() + this.#replayWindow;
    }
    for (const { sender } of this.#senders.values()) {
      for (const wait of [...sender.waits]) {
        if (wait.isOutage) this.#ask(sender, wait);
        // What was opened meanwhile is part of that.
        else this.#settle(sender, wait.id);
      }
    }
  }

  /** A process that was gone is there again, and may have sent to channels that nobody listened to. */
  returned(uid: string): void {
    const known = this.#senders.get(uid);
    if (known === undefined || known.sender.isWaiting) return;
    this.#ask(known.sender, known.sender.wait(undefined, true));
  }

  /**
   * From here on messages of channels that are to be listened to may be missed.
   *
   * @returns What to {@linkcode ask} or {@linkcode cancel} with.
   */
  open(): number {
    const id = this.#nextWait();
    for (const { sender } of this.#senders.values()) {
      if (this.#events.isMember(sender.uid)) sender.wait(undefined, false, undefined, id);
    }
    return id;
  }

  /**
   * The channels are listened to, or will not be: asks for what was sent to them meanwhile.
   *
   * @returns A promise that settles when all that can be had is there, and never rejects.
   */
  ask(id: number, channels: readonly string[]): Promise<void> {
    const isShort = channels.reduce((sum, { length }) => sum + length, 0) < MAX_ASKED_LENGTH;
    let isAsked = false;
    for (const { sender } of this.#senders.values()) {
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
    for (const { sender } of this.#senders.values()) this.#settle(sender, id);
  }

  /** Nothing of a channel is heard any more. */
  forget(channel: string): void {
    for (const { sender } of this.#senders.values()) sender.forget(channel);
  }

  /** A process is gone: it answers no more. */
  gone(uid: string): void {
    const sender = this.#senders.get(uid)?.sender;
    for (const wait of [...sender?.waits ?? []]) this.#giveUpWait(sender!, wait, true);
  }

  /** What a process says it sent last on a channel, which may be what was missed. */
  check(uid: string, channel: string, sequence: number): void {
    const sender = this.#senders.get(uid)?.sender;
    const wait = sender?.check(channel, sequence);
    if (wait !== undefined) this.#ask(sender!, wait);
  }

  /** Gives up what does not come. Called now and then. */
  sweep(): void {
    const now = performance.now();
    for (const { assembly } of this.#emitters.values()) {
      if (isOver(assembly, now - EMITTERS_ASSEMBLY_MS)) this.#giveUp(assembly);
    }
    for (const { sender, assembly } of this.#senders.values()) {
      if (isOver(assembly, now - ASSEMBLY_MS)) this.#giveUp(assembly, sender.uid);
      const limit = sender.isLeaving ? LAST_ANSWER_MS : ANSWER_MS;
      for (const wait of [...sender.waits]) {
        if (wait.asked === undefined) continue;
        if (wait.asked.first < now - limit) this.#giveUpWait(sender, wait);
        else if (wait.asked.last < now - ASK_AGAIN_MS) this.#ask(sender, wait);
      }
    }
    this.#settleClosing();
  }

  #nextWait = (): number => ++this.#waits;

  #ask(sender: Sender, wait: Wait): void {
    const { id, after, channels } = wait;
    const now = performance.now();
    wait.asked = { first: wait.asked?.first ?? now, last: now };
    this.#events.ask(sender.uid, { id, after, ...channels !== undefined && { channels } });
  }

  #settle(sender: Sender, id: number, until?: number): void {
    sender.settle(id, until);
    if (this.#closing.has(id)) this.#settleClosing();
  }

  #settleClosing(): void {
    if (this.#closing.size === 0) return;
    const open = new Set<number>();
    for (const { sender } of this.#senders.values()) {
      for (const { id } of sender.waits) open.add(id);
    }
    for (const [id, closing] of this.#closing) {
      if (open.has(id)) continue;
      this.#closing.delete(id);
      closing.resolve();
    }
  }

  /** No answer will come. */
  #giveUpWait(
    sender: Sender,
    wait: Wait,
    isKnown: boolean = this.#events.isMember(sender.uid),
  ): void {
    if (wait.isOutage && isKnown) this.#events.gap(sender.uid, undefined);
    this.#settle(sender, wait.id);
  }

  #receiveOpened(channel: string, payload: string, place: Place | undefined): void {
    if (payload.startsWith("{")) {
      if (place === undefined) {
        throw new MalformedMessage("Cannot read a plain message as its channel has no namespace");
      }
      const message = decodePlain(payload, place);
      return this.#deliver(undefined, () => message);
    }
    if (!payload.startsWith(WIRE_VERSION)) return this.#strange(payload);
    this.#stats.frames++;
    this.#stats.characters += payload.length;
    if (this.#sealer === undefined && isSealed(payload)) {
      throw new MalformedMessage('Cannot read a sealed payload as this process has no "secret"');
    }
    this.#receiveFrame(channel, decodeFrame(payload));
  }

  #receiveFrame(channel: string, frame: Frame): void {
    const { uid, kind, sequence } = frame;
    this.#events.heard(uid);
    if (kind === "p") return;
    if (frame.previous === undefined) {
      if (kind !== "r" && kind !== "c") {
        throw new MalformedMessage(`Cannot read a frame of kind "${kind}" without its predecessor`);
      }
      const { assembly } = used(this.#emitters, uid, emitter, this.#forget);
      return this.#deliverFrame(assembly, frame, uid, false);
    }
    const { sender } = used(this.#senders, uid, this.#meet, this.#forget);
    if (kind !== "b") sender.isLeaving = false;
    // An answer that is on its way is not asked for again.
    if (frame.isRepeat) {
      for (const { asked } of sender.waits) if (asked) asked.last = performance.now();
    }
    // What is about frames does not wait for frames: two that ask each other would wait for ever.
    if (!sender.hasSeen(sequence)) {
      if (kind === "q") this.#events.asked(uid, decodeAsk(frame.body));
      else if (kind === "e") this.#answered(sender, sequence, frame.body);
      else if (kind === "b") sender.isLeaving = true;
    }
    sender.receive(channel, frame);
    if (sender.heldLength > 0) this.#boundHeld();
  }

  #answered(sender: Sender, sequence: number, body: string): void {
    const { id, lost } = decodeAskEnd(body);
    if (sender.waitOf(id) === undefined) return;
    if (lost > 0) this.#missed(sender.uid, lost);
    this.#settle(sender, id, sequence);
  }

  #missed(uid: string, count: number): void {
    this.#stats.missed += count;
    this.#events.gap(uid, count);
  }

  /** The next frame in order. */
  #deliverFrame(assembly: Assembly, frame: Frame, uid: string, isTrusted: boolean): void {
    const { kind, chunk, body } = frame;
    const sender = frame.previous === undefined ? undefined : uid;
    if (frame.isRepeat) this.#stats.repaired++;
    if (kind === "b") return this.#events.left(uid);
    let records: string | undefined = body;
    if (chunk !== undefined) records = this.#assemble(assembly, frame, chunk);
    else if (kind !== "r") return;
    else if (assembly.since !== undefined) this.#giveUp(assembly, sender);
    if (records === undefined) return;
    try {
      for (const decode of decodeMessages(records)) {
        this.#deliver(uid, () => {
          const message = decode();
          // Who knows the secret is one of us.
          if (isTrusted || this.#sealer !== undefined) message.trusted = true;
          return message;
        });
      }
    } catch (fault) {
      this.#complaints.malformed(fault, excerpt(records));
    }
  }

  /** One message that is refused does not take its neighbours with it. */
  #deliver(uid: string | undefined, decode: () => Message): void {
    let what = "a record";
    try {
      const message = decode();
      what = `type ${message.type}`;
      this.#stats.messages++;
      this.#events.message(uid, message);
    } catch (fault) {
      this.#complaints.malformed(fault, what);
    }
  }

  #assemble(
    assembly: Assembly,
    { uid, sequence, previous, body }: Frame,
    chunk: NonNullable<Frame["chunk"]>,
  ): string | undefined {
    const { index, count } = chunk;
    if (count > this.#maxRecordLength / (MAX_PAYLOAD_BYTES / 4)) {
      this.#complaints.malformed(
        new MalformedMessage(
          `Cannot put a record together as it has ${count} chunks, more than maxPayload allows`,
        ),
        `sender ${uid}`,
      );
      return undefined;
    }
    // What was begun is not finished, or (who starts to listen in the middle of a record) never began here.
    if (!assembly.continues(chunk, sequence)) {
      if (assembly.since !== undefined) {
        this.#giveUp(assembly, previous === undefined ? undefined : uid);
      }
      if (index > 0 || count === 0) {
        this.#stats.incomplete++;
        return undefined;
      }
    }
    const before = assembly.length;
    const record = assembly.add(count, sequence, body);
    this.#assembling += assembly.length - before;
    this.#boundAssembling();
    return record;
  }

  /**
   * A record will not come whole.
   *
   * @param sender The process that sent it, where it was one that has an order.
   */
  #giveUp(assembly: Assembly, sender?: string): void {
    this.#stats.incomplete++;
    this.#assembling -= assembly.length;
    assembly.clear();
    // Who begins to listen in the middle of a record did not miss it; this one had begun here.
    if (sender !== undefined && this.#events.isMember(sender)) this.#missed(sender, 1);
  }

  /** Records that are begun take memory: past the bound those of whom was silent for longest go. */
  #boundAssembling(): void {
    if (this.#assembling <= MAX_RECORDS_ASSEMBLING * this.#maxRecordLength) return;
    for (const { assembly } of this.#emitters.values()) {
      if (assembly.since !== undefined) return this.#giveUp(assembly);
    }
    for (const { sender, assembly } of this.#senders.values()) {
      if (assembly.since !== undefined) return this.#giveUp(assembly, sender.uid);
    }
  }

  /** Frames that are held back take memory, too: past the bound what was missed before them is given up. */
  #boundHeld(): void {
    let sum = 0;
    let most: Sender | undefined;
    for (const { sender } of this.#senders.values()) {
      sum += sender.heldLength;
      if (sender.heldLength > (most?.heldLength ?? 0)) most = sender;
    }
    if (sum <= MAX_HELD || most === undefined) return;
    for (const wait of [...most.waits]) this.#giveUpWait(most, wait);
  }

  readonly #meet = (uid: string): Process => {
    const assembly = new Assembly();
    const sender: Sender = new Sender(uid, {
      deliver: (frame, isTrusted) =>
        this.#deliverFrame(assembly, frame, uid, isTrusted && this.#events.isMember(uid)),
      missed: (wait) => this.#ask(sender, wait),
      duplicate: () => this.#stats.duplicates++,
      late: () => this.#missed(uid, 1),
      forged: () =>
        this.#complaints.malformed(
          new MalformedMessage("Cannot take a frame as its sender did not send it in its place"),
          `sender ${uid}`,
        ),
    }, this.#nextWait);
    // Who came while nothing was heard has said things already.
    if (performance.now() < this.#newcomersUntil) {
      const wait = sender.wait(undefined, true, 0);
      if (this.#newcomersUntil !== Infinity) this.#ask(sender, wait);
    }
    return { uid, sender, assembly };
  };

  readonly #forget = ({ assembly }: Heard): void => {
    this.#assembling -= assembly.length;
  };

  #unsigned(fault: Refused): void {
    const { message, fault: reason } = fault;
    this.#stats.refused++;
    this.#complaints.add(
      new PgAdapterError("UNSIGNED", `${message} (${reason})`, { cause: fault }),
      reason,
    );
  }

  #strange(payload: string): void {
    if (/^[0-9a-zA-Z][a-zA-Z][0-9a-f]{16}/.test(payload)) {
      const reason = `Cannot read a frame of version "${
        payload[0]
      }" as this process speaks version "${WIRE_VERSION}"`;
      return this.#complaints.add(
        new PgAdapterError(
          "WIRE_VERSION",
          `${reason}: run one version of the package in the whole cluster`,
        ),
        reason,
      );
    }
    this.#complaints.malformed(
      new MalformedMessage("Cannot read a payload as it is neither JSON nor a frame"),
      excerpt(payload),
    );
  }
}

function isOver({ since }: Assembly, before: number): boolean {
  return since !== undefined && since < before;
}

function emitter(uid: string): Heard {
  return { uid, assembly: new Assembly() };
}

/** What is kept of whom is heard, made where there is none; past the bound whoever was silent for longest is forgotten. */
function used<T extends Heard>(
  all: Map<string, T>,
  uid: string,
  make: (uid: string) => T,
  forget: (forgotten: T) => void,
): T {
  // A slice of a payload would keep all of it.
  const known = all.get(uid) ?? make([...uid].join(""));
  // Deleting first keeps the map in the order of use.
  all.delete(uid);
  all.set(known.uid, known);
  if (all.size > MAX_SENDERS) {
    const [oldest, forgotten] = all.entries().next().value!;
    all.delete(oldest);
    forget(forgotten);
  }
  return known;
}
