/**
 * Sends messages, in order, on one connection: one statement at a time, and whatever queued meanwhile in the next one.
 * A statement that was sent when its connection was lost may have been committed or not; it is sent again as it was,
 * and receivers recognise by its sequence numbers what they have.
 *
 * After an outage of the database the others need a moment to be back, and what is sent before is sent to nobody. So
 * what waits is held until the owner releases it; what processes need to find each other goes first.
 */
import { messageOf, PgAdapterError } from "../errors.ts";
import type { Sealer } from "../runtime/sealer.ts";
import { MAX_PAYLOAD_BYTES, type Notification, outgoing, resent } from "../wire/frame.ts";
import { MAX_NUMBER_BYTES, numbered, splitNumber } from "../wire/logged.ts";
import { encodeMessage, maxRecordLength, type Message, MessageType } from "../wire/message.ts";
import { notifyParameters, notifyText } from "../wire/statement.ts";
import { type Loggable, loggedNumbers, logStatement } from "../recovery/log_statement.ts";
import { BatchSize } from "./batch_size.ts";
import { deferred } from "./deadline.ts";
import { Link, type LinkEvents } from "./link.ts";
import { type Delivers, type Packed, Packer } from "./packer.ts";
import { Queue, type Queued } from "./queue.ts";
import { Refusals } from "./refusals.ts";
import { type Remembered, SentFrames } from "./sent_frames.ts";
import type { Rows, Session, SessionLimits } from "./session.ts";
import type { ConnectionSettings } from "./settings.ts";
import { codeOf, QUEUE_FULL, READ_ONLY } from "./sql_state.ts";

/** About how much one statement carries: enough to be efficient, little enough to be quick. */
const STATEMENT_BYTES = 1_000_000;
/** For how long more than `maxBuffer` may wait while the database takes what it is given: a burst is no outage. */
const PATIENCE_MS = 1_000;
/** Stands for the number of a frame that is said again, which has its own in it. */
const REPEAT = 0;

/** What a publisher has done. */
export interface PublisherStats {
  /** Messages that were given to it. */
  messages: number;
  /** Payloads of NOTIFY that PostgreSQL has taken. */
  frames: number;
  /** Bytes of messages that were sent. */
  bytes: number;
  /** Statements that PostgreSQL has taken. */
  statements: number;
  /** Messages that PostgreSQL refused or that `maxBuffer` had no room for. */
  dropped: number;
  /** Frames that were sent again to processes that had missed them. */
  repeated: number;
}

/** The options that a publisher uses. */
export interface PublisherOptions {
  readonly maxPayload: number;
  readonly maxBuffer: number;
  readonly replayWindow: number;
  readonly replayBuffer: number;
}

/** What a publisher tells. */
export type PublisherEvents = Pick<LinkEvents, "up" | "down" | "failed"> & {
  /** The queue of notifications stays full. */
  stuck(): void;
  /** PostgreSQL has taken a frame that was not sent before. */
  confirmed(channel: string, sequence: number): void;
  /** Messages that wait to come back are about to be sent; with the sequence number of the frame that ends them. */
  sending(sequence: number, isLogged: boolean, delivers: Delivers): void;
  /** PostgreSQL has put a frame into the log. */
  logged(sequence: number, number: number): void;
  /** PostgreSQL takes nothing at the moment. */
  refused(): void;
  /** PostgreSQL has refused a frame for good. */
  refusedFrame(sequence: number): void;
  /** A message that waits to come back was dropped. */
  unsent(deliver: NonNullable<Queued["deliver"]>): void;
  error(error: PgAdapterError): void;
};

/** Where a message is kept for recovery, and what is called when it has come back. */
export type Logging = Pick<Queued, "key" | "deliver" | "logged">;

/** What goes before everything that is held. */
type Urgent =
  | Queued
  | { channel: string; kind: "q" | "e" | "b"; body: string }
  | Notification;

/** The connection that only publishes. */
export class Publisher {
  readonly #sealer: Sealer | undefined;
  readonly #packer: Packer;
  readonly #maxRecord: number;
  readonly #maxBuffer: number;
  readonly #statementTimeout: number;
  readonly #events: PublisherEvents;
  readonly #link: Link;
  readonly #sent: SentFrames;
  readonly #flushes: { until: number; resolve: () => void }[] = [];
  readonly #queue: Queue = new Queue();
  #urgent: Urgent[] = [];
  /** Frames that have their sequence numbers and are not known to be committed. */
  #unconfirmed: Packed[] = [];
  /** How many of them are in a statement that was sent. */
  #underWay = 0;
  readonly #refusals: Refusals;
  readonly #batchSize: BatchSize = new BatchSize();
  #isHeld = false;
  #isBusy = false;
  #isScheduled = false;
  #hasOverflowed = false;
  /** Since when more than `maxBuffer` waits. */
  #fullSince: number | undefined;
  #isClosed = false;
  /** Makes a new connection ready for the log, where there is one; settles with the last number in it. */
  #log: ((session: Session) => Promise<number>) | undefined;
  /** The last number in the log that is known. */
  #lastNumber: number | undefined;
  readonly #uid: string;

  /** What it has done so far. */
  readonly stats: PublisherStats = {
    messages: 0,
    frames: 0,
    bytes: 0,
    statements: 0,
    dropped: 0,
    repeated: 0,
  };

  constructor(
    uid: string,
    settings: ConnectionSettings,
    limits: SessionLimits,
    options: PublisherOptions,
    sealer: Sealer | undefined,
    events: PublisherEvents,
  ) {
    this.#uid = uid;
    this.#sealer = sealer;
    this.#packer = new Packer(uid, sealer?.maxFrameBytes ?? MAX_PAYLOAD_BYTES);
    this.#maxRecord = maxRecordLength(options.maxPayload);
    this.#maxBuffer = options.maxBuffer;
    this.#statementTimeout = limits.statement;
    this.#sent = new SentFrames(options.replayWindow, options.replayBuffer);
    this.#events = events;
    this.#refusals = new Refusals({
      refused: (fault) => this.#refused(fault, "it is sent again"),
      stuck: events.stuck,
      again: () => this.#schedule(),
    });
    this.#link = new Link(settings, `socketio-pg:publish:${uid}`, limits, {
      prepare: async (session) => {
        const last = await this.#log?.(session);
        this.#lastNumber ??= last;
      },
      up: (session) => {
        this.#hasOverflowed = false;
        events.up(session);
        this.#schedule();
      },
      down: (error, silent) => {
        this.#isHeld = true;
        this.#resend();
        events.down(error, silent);
      },
      failed: events.failed,
    });
  }

  /** Starts connecting. */
  start(): void {
    this.#link.start();
  }

  /**
   * From now on what has a key is kept in the log of connection state recovery.
   *
   * @param log Makes a connection ready for that, and settles with the last number in the log.
   */
  keepLog(log: (session: Session) => Promise<number>): void {
    this.#log = log;
    this.#packer.reserve(MAX_NUMBER_BYTES);
    this.#link.session?.lose(
      new PgAdapterError("CONNECTION_LOST", "Replaced the publishing connection for recovery"),
    );
  }

  /**
   * Runs a statement beside what is published.
   *
   * @throws PgAdapterError `DISCONNECTED` while there is no connection; what {@linkcode Session.query} throws.
   */
  async query(text: string, parameters: (string | null)[]): Promise<Rows> {
    const { session } = this.#link;
    if (session === undefined) {
      throw new PgAdapterError("DISCONNECTED", "Cannot ask PostgreSQL as the connection is lost");
    }
    return await session.query(text, parameters);
  }

  /** Whether it is connected. */
  get isUp(): boolean {
    return this.#link.phase === "up";
  }

  /** How often it was connected again after the connection was lost. */
  get reconnects(): number {
    return this.#link.reconnects;
  }

  /** Whether PostgreSQL refuses to take anything at the moment. */
  get isStuck(): boolean {
    return this.#refusals.isPausing;
  }

  /** Whether what is said again goes out at once: it is connected, and has said what it had to say again. */
  get takesRepeats(): boolean {
    return this.isUp && !this.isStuck && this.#urgent.length === 0 &&
      !this.#unconfirmed.some(isRepeat);
  }

  /** The number of the last frame that was made. */
  get lastSequence(): number {
    return this.#packer.sequence;
  }

  /** What waits to be sent. */
  get queued(): { messages: number; bytes: number } {
    return { messages: this.#queue.length, bytes: this.#queue.bytes };
  }

  /** Whether all that was published is committed. */
  get isIdle(): boolean {
    return this.#queue.length === 0 && this.#urgent.length === 0 && this.#unconfirmed.length === 0;
  }

  /** Whether something was under way when the connection was lost: it may be committed, and is sent again. */
  isUnclear(): boolean {
    return this.#unconfirmed.some(({ after }) => after !== undefined);
  }

  /** Whether what waits is held, after an outage. */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** After an outage, what waited is sent from now on. */
  release(): void {
    this.#isHeld = false;
    this.#schedule();
  }

  /**
   * Queues a message. Never throws, never waits.
   *
   * @returns Whether it is queued.
   */
  publish(channel: string, message: Message, logging?: Logging): boolean {
    if (this.#isClosed) return false;
    const item = this.#encode(channel, message);
    if (item === undefined) return false;
    Object.assign(item, logging);
    this.stats.messages++;
    // What processes have to say of themselves is not held, so that they find each other; and what they are now comes
    // before what they were, as questions for frames do.
    const isUrgent = item.messages === 0 && (this.#isHeld || message.type === MessageType.STATE);
    if (isUrgent) this.#urgent.push(item);
    else this.#queue.push(item);
    this.#bound();
    this.#schedule();
    return true;
  }

  /** Queues a frame about frames. */
  control(channel: string, kind: "q" | "e" | "b", body: string): void {
    if (this.#isClosed) return;
    this.#urgent.push({ channel, kind, body });
    this.#schedule();
  }

  /** Queues frames that were sent before, as they should be said again. */
  repeat(frames: readonly Notification[]): void {
    if (this.#isClosed) return;
    // There may be more than a function takes arguments.
    for (const frame of frames) this.#urgent.push(frame);
    this.stats.repeated += frames.length;
    this.#schedule();
  }

  /**
   * What was sent after a sequence number on channels that are wanted, as far as it is remembered.
   *
   * @param since From when on, as `performance.now()` says it.
   * @param isMissed Whether one that is not remembered counts as lost.
   */
  sentAfter(
    sequence: number,
    isWanted: (channel: string) => boolean,
    since?: number,
    isMissed?: (sequence: number, channel: string) => boolean,
  ): Remembered {
    const { frames, lost } = this.#sent.after(sequence, isWanted, since, isMissed);
    // It may have been committed, and missed, without our knowing yet.
    const open = this.#unconfirmed.filter((frame) =>
      frame.isKept && frame.sequence > sequence && isWanted(frame.channel)
    );
    return { frames: [...frames, ...open], lost };
  }

  /** Whether somebody waits for an answer about what was sent: nothing gets too old meanwhile. */
  set isAsked(isAsked: boolean) {
    this.#sent.isAsked = isAsked;
  }

  /** Settles when all that was published before is committed. */
  flush(): Promise<void> {
    if (this.isIdle || this.#isClosed) return Promise.resolve();
    const { promise, resolve } = deferred<void>();
    this.#flushes.push({ until: this.#queue.end, resolve });
    return promise;
  }

  /** Lets go of what need not be remembered any more. Called now and then. */
  sweep(): void {
    this.#sent.sweep();
    this.#bound();
  }

  /** Closes the connection; what is still queued is lost. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#refusals.close();
    await this.#link.close();
    this.#queue.clear();
    this.#urgent = [];
    this.#settleFlushes(Infinity);
  }

  #encode(channel: string, message: Message): Queued | undefined {
    let item: Queued;
    try {
      item = {
        ...outgoing(channel, encodeMessage(message)),
        isVolatile: message.flags?.volatile === true,
        messages: message.nsp === undefined ? 0 : 1,
      };
    } catch (cause) {
      // Packets are encoded by now; rooms can be anything.
      this.#events.error(
        new PgAdapterError(
          "NOT_ENCODABLE",
          `Cannot encode a message for other servers: ${messageOf(cause)}`,
          { cause },
        ),
      );
      return undefined;
    }
    if (item.bytes <= this.#maxRecord) return item;
    this.#events.error(
      new PgAdapterError(
        "PAYLOAD_TOO_LARGE",
        `Cannot send a message of ${item.bytes} bytes, its rooms included, as "maxPayload" allows ${this.#maxRecord}`,
      ),
    );
    return undefined;
  }

  /** Those who wait for messages up to this position, all of which are committed or dropped. */
  #settleFlushes(until: number): void {
    while (this.#flushes.length > 0 && this.#flushes[0]!.until <= until) {
      this.#flushes.shift()!.resolve();
    }
  }

  /** At the end of the current run of the application's code, so that a burst shares statements. */
  #schedule(): void {
    if (this.#isScheduled || this.#isBusy || this.isStuck) return;
    this.#isScheduled = true;
    queueMicrotask(() => {
      this.#isScheduled = false;
      // Its own faults are handled inside.
      if (!this.#isBusy) this.#pump().catch((fault: unknown) => this.#refused(fault));
    });
  }

  async #pump(): Promise<void> {
    this.#isBusy = true;
    try {
      while (!this.#isClosed) {
        const { session } = this.#link;
        if (session === undefined) return;
        if (this.#unconfirmed.length === 0) this.#unconfirmed = this.#pack();
        if (this.#unconfirmed.length === 0) return;
        const size = this.#batchSize.of(this.#unconfirmed.length);
        const batch = this.#unconfirmed.slice(0, size);
        this.#underWay = size;
        const isTaken = await this.#send(session, batch);
        if (isTaken === undefined) return;
        if (!isTaken) { for (const { sequence } of batch) this.#events.refusedFrame(sequence); }
        for (const frame of isTaken ? batch : []) {
          if (frame.isKept) this.#sent.add(frame);
          if (!isRepeat(frame)) this.#events.confirmed(frame.channel, frame.sequence);
        }
        this.#refusals.taken();
        this.#underWay = 0;
        this.#unconfirmed.splice(0, batch.length);
        if (this.#unconfirmed.length === 0 && this.#urgent.length === 0) {
          this.#settleFlushes(this.#queue.passed);
        }
      }
    } finally {
      this.#isBusy = false;
    }
  }

  /** Whether PostgreSQL took the frames, or refused them for good; nothing when they are to be sent again. */
  async #send(session: Session, batch: readonly Packed[]): Promise<boolean | undefined> {
    const start = performance.now();
    try {
      await this.#notify(session, batch);
      this.stats.statements++;
      this.stats.frames += batch.length;
      this.#batchSize.taken();
      return true;
    } catch (fault) {
      const isSlow = performance.now() - start >= this.#statementTimeout;
      // On a slow line, or where the queue has little room, smaller portions get through.
      if (isSlow || codeOf(fault) === QUEUE_FULL) this.#batchSize.tooLarge(batch.length);
      // The next session sends it again.
      if (fault instanceof PgAdapterError) return undefined;
      if (codeOf(fault) === READ_ONLY) {
        session.lose(
          new PgAdapterError(
            "STANDBY",
            `Lost the publishing connection as its server became a standby: ${messageOf(fault)}`,
            { cause: fault },
          ),
        );
        return undefined;
      }
      if (this.#refusals.add(session, fault)) {
        this.#events.refused();
        return undefined;
      }
      this.#refused(fault);
      this.stats.dropped += batch.reduce((sum, { messages }) => sum + messages, 0);
      return false;
    }
  }

  /** A seal holds the time, so it is made when a frame is sent, each time. */
  #sealed(frames: readonly Packed[]): readonly Loggable[] {
    const sealer = this.#sealer;
    if (sealer === undefined) return frames;
    return frames.map(({ channel, payload, ...rest }) => {
      // What the log has put before a frame is outside of the seal.
      const { number, frame } = splitNumber(payload);
      const sealed = sealer.seal(channel, frame);
      return {
        ...rest,
        channel,
        payload: number === undefined ? sealed : numbered(number, sealed),
      };
    });
  }

  async #notify(session: Session, batch: readonly Packed[]): Promise<void> {
    const count = batch.length;
    const sealed = this.#sealed(batch);
    // What processes have to say of themselves is not kept, and waits for nobody.
    if (sealed.every(({ key }) => key === undefined)) {
      await session.query(notifyText(count), notifyParameters(sealed));
      return;
    }
    const { text, parameters } = logStatement(this.#uid, sealed);
    const [row = {}] = await session.query(text, parameters);
    loggedNumbers(row, count).forEach((number, i) => {
      if (number === undefined) return;
      const frame = batch[i]!;
      // What others ask for again has its number.
      frame.payload = numbered(number, frame.payload);
      this.#lastNumber = Math.max(this.#lastNumber ?? 0, number);
      this.#events.logged(frame.sequence, number);
    });
  }

  /** What was under way may have been committed or not. */
  #resend(): void {
    for (const frame of this.#unconfirmed.slice(0, this.#underWay)) {
      frame.payload = resent(frame.payload);
      if (frame.key !== undefined && this.#lastNumber !== undefined) {
        frame.after ??= this.#lastNumber;
      }
    }
    this.#underWay = 0;
  }

  /** Takes about a statement's worth from what waits and gives it sequence numbers. */
  #pack(): Packed[] {
    const frames = this.#urgent.splice(0).flatMap((item): Packed[] => {
      if ("payload" in item) {
        return [{ ...item, sequence: REPEAT, bytes: 0, messages: 0, isKept: false }];
      }
      if ("kind" in item) return [this.#packer.control(item.channel, item.kind, item.body)];
      return this.#messages([item]);
    });
    if (frames.length > 0 || this.#isHeld) return frames;
    const items = this.#queue.take(STATEMENT_BYTES);
    for (const { bytes } of items) this.stats.bytes += bytes;
    return this.#messages(items);
  }

  #messages(items: readonly Queued[]): Packed[] {
    return this.#packer.messages(items).map(({ delivers = [], ...frame }) => {
      const { sequence, key } = frame;
      if (delivers.length > 0) this.#events.sending(sequence, key !== undefined, delivers);
      return frame;
    });
  }

  /** Memory is bounded while the database is away, refuses everything, or takes less than is sent. */
  #bound(): void {
    if (this.#queue.bytes <= this.#maxBuffer) {
      this.#fullSince = undefined;
      return;
    }
    const now = performance.now();
    this.#fullSince ??= now;
    const isMoving = this.isUp && !this.isStuck && !this.#isHeld;
    if (isMoving && now - this.#fullSince < PATIENCE_MS) return;
    const items = this.#queue.shrink(this.#maxBuffer);
    const dropped = items.reduce((sum, { messages }) => sum + messages, 0);
    this.stats.dropped += dropped;
    for (const { deliver } of items) if (deliver !== undefined) this.#events.unsent(deliver);
    if (dropped === 0 || this.#hasOverflowed) return;
    this.#hasOverflowed = true;
    this.#events.error(
      new PgAdapterError(
        "BUFFER_FULL",
        `Cannot keep more than ${this.#maxBuffer} bytes for when the database takes them: volatile messages and then the oldest are dropped; raise "maxBuffer" to keep more`,
      ),
    );
  }

  #refused(fault: unknown, consequence = "it is dropped"): void {
    this.#events.error(
      new PgAdapterError(
        "PUBLISH_FAILED",
        `Cannot publish as PostgreSQL refused a statement: ${messageOf(fault)} (${
          codeOf(fault)
        }); ${consequence}`,
        { cause: fault },
      ),
    );
  }
}

function isRepeat({ sequence }: Packed): boolean {
  return sequence === REPEAT;
}
