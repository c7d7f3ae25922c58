/**
 * Sends an emitter's messages: one statement at a time, and whatever queued meanwhile in the next one, so that they keep
 * their order even over a pool. A message is never split over two statements, nor is a batch.
 *
 * In a transaction each message has its own statement, issued at once: when it commits is not up to us.
 */
import { withDeadline } from "../bus/deadline.ts";
import { PgAdapterError, type PgAdapterErrorCode } from "../errors.ts";
import { MAX_PAYLOAD_BYTES, maxBodyBytes, type Outgoing, packFrames } from "../wire/frame.ts";
import { FRAME_NUMBERS, MAX_NUMBER_BYTES } from "../wire/logged.ts";
import { OfficialDelivery } from "../official/delivery.ts";
import type { OfficialNotification } from "../official/message.ts";
import { MAX_NOTIFICATIONS } from "../wire/statement.ts";
import { keptFrames } from "./kept.ts";
import { refusal, unkept } from "./refusal.ts";
import type { EdgeSealer } from "./sealer.ts";
import type { Delivery, KeptNotification } from "./transport.ts";

/** About how much one statement carries. */
const STATEMENT_BYTES = 256_000;

/** While there is no connection the next statement has no better luck. */
const OUTAGES: ReadonlySet<PgAdapterErrorCode> = new Set<PgAdapterErrorCode>([
  "CONNECT_FAILED",
  "AUTHENTICATION_FAILED",
  "STANDBY",
  "NOT_UTF8",
]);

/** What is sent together: a message, or a batch of them. */
interface Entry {
  readonly items: readonly Outgoing[];
  /** What goes with them on the wire of `@socket.io/postgres-adapter`. */
  readonly also: readonly OfficialNotification[];
  readonly bytes: number;
  resolve(): void;
  reject(error: PgAdapterError): void;
}

/** What an outbox needs besides its delivery. */
export interface OutboxOptions {
  /** The sender of its frames. */
  readonly uid: string;
  /** The most bytes that may wait. */
  readonly maxBuffer: number;
  readonly sealer: EdgeSealer | undefined;
  /** Whether what has a key is kept. */
  readonly recovery: boolean;
  /** The table of `@socket.io/postgres-adapter`, where its wire is spoken, too. */
  readonly table?: string | undefined;
}

/** The messages of an emitter on their way. */
export class Outbox {
  /** Gives frames to the delivery. */
  readonly #give: (
    items: readonly KeptNotification[],
    entries: readonly Entry[],
  ) => PromiseLike<unknown>;
  readonly #isTransaction: boolean;
  readonly #refusal: (cause: unknown) => PgAdapterError;
  readonly #uid: string;
  readonly #maxBuffer: number;
  readonly #maxBody: number;
  readonly #sealer: EdgeSealer | undefined;
  #sequence = 0;
  #queue: Entry[] = [];
  /** What is before it in the queue was taken out. */
  #head = 0;
  /** What was given to the delivery. */
  readonly #sending: Set<Entry> = new Set();
  /** Bytes of all that is not settled. */
  #bytes = 0;
  #isRunning = false;
  #isClosed = false;
  /** What was sent last: entries settle in order. */
  #last: Promise<void> = Promise.resolve();
  /** Seals of a transaction's messages, which are issued in order. */
  #sealed: Promise<unknown> = Promise.resolve();

  /** @throws PgAdapterError `INVALID_OPTION` where the delivery cannot keep what is to be kept. */
  constructor(delivery: Delivery, { uid, maxBuffer, sealer, recovery, table }: OutboxOptions) {
    if (recovery && delivery.keep === undefined) {
      throw new PgAdapterError(
        "INVALID_OPTION",
        'Cannot create emitter as "recovery" must be false for a target that has send() and no keep(): current value is true',
      );
    }
    const official = table === undefined ? undefined : new OfficialDelivery(delivery, table);
    this.#give = (items, entries) =>
      recovery
        ? delivery.keep!(items)
        : official?.send(items, entries.flatMap(({ also }) => also)) ?? delivery.send(items);
    this.#isTransaction = delivery.isTransaction === true;
    this.#refusal = recovery ? unkept : refusal;
    this.#uid = uid;
    this.#maxBuffer = maxBuffer;
    this.#sealer = sealer;
    this.#maxBody = maxBodyBytes(sealer?.maxFrameBytes ?? MAX_PAYLOAD_BYTES) -
      (recovery ? MAX_NUMBER_BYTES : 0);
  }

  /**
   * Sends messages, all of them or none.
   *
   * @returns A promise that settles when PostgreSQL has accepted them. Its rejection ends no process, also when nobody
   * listens to it.
   */
  send(
    items: readonly Outgoing[],
    also: readonly OfficialNotification[] = [],
  ): Promise<void> {
    let isTaken = false;
    const sent = new Promise<void>((resolve, reject) => {
      if (this.#isClosed) {
        return reject(new PgAdapterError("CLOSED", "Cannot emit as the emitter was closed"));
      }
      const bytes = [...items, ...also].reduce((sum, item) => sum + item.bytes, 0);
      if (this.#bytes > 0 && this.#bytes + bytes > this.#maxBuffer) {
        return reject(
          new PgAdapterError(
            "BUFFER_FULL",
            `Cannot emit as ${this.#bytes} bytes wait for PostgreSQL to take them, and "maxBuffer" is ${this.#maxBuffer}: await some of what is emitted, or raise it`,
          ),
        );
      }
      isTaken = true;
      this.#bytes += bytes;
      const entry: Entry = { items, also, bytes, resolve, reject };
      if (this.#isTransaction) return this.#issue(entry);
      this.#queue.push(entry);
      if (this.#isRunning) return;
      this.#isRunning = true;
      // What is emitted in one run of the application's code shares a statement. Its faults are those of its entries.
      queueMicrotask(() => void this.#run());
    });
    const settled = sent.catch(() => {});
    if (isTaken) this.#last = settled;
    return sent;
  }

  /** Settles when all that was sent before has been accepted or refused. */
  flush(): Promise<void> {
    return this.#last;
  }

  /** Refuses what comes from now on, and settles like {@linkcode flush}, at the latest after some milliseconds. */
  async close(ms: number): Promise<void> {
    this.#isClosed = true;
    const late = () =>
      new PgAdapterError("CLOSED", `Cannot emit within ${ms} ms of closing the emitter`);
    try {
      await withDeadline(this.flush(), ms, late);
    } catch (fault) {
      this.#reject([...this.#sending, ...this.#takeAll()], fault as PgAdapterError);
    }
  }

  async #run(): Promise<void> {
    for (let entries = this.#take(); entries.length > 0; entries = this.#take()) {
      await this.#deliver(entries, async () => {
        const frames = this.#pack(entries);
        await this.#give(
          this.#sealer === undefined ? frames : await this.#sealer.sealAll(frames),
          entries,
        );
      });
    }
    this.#isRunning = false;
  }

  /** Sends what is emitted in a transaction: without a seal, before this returns. */
  #issue(entry: Entry): void {
    const sealer = this.#sealer;
    void this.#deliver([entry], async () => {
      const frames = this.#pack([entry]);
      if (sealer === undefined) return await this.#give(frames, [entry]);
      const before = this.#sealed;
      const sealed = sealer.sealAll(frames);
      const issued = Promise.all([sealed, before]).then(([items]) => ({
        running: this.#give(items, [entry]),
      }));
      this.#sealed = issued.catch(() => {});
      await (await issued).running;
    });
  }

  async #deliver(entries: readonly Entry[], send: () => Promise<unknown>): Promise<void> {
    for (const entry of entries) this.#sending.add(entry);
    try {
      await send();
      for (const entry of entries) {
        this.#settled(entry);
        entry.resolve();
      }
    } catch (cause) {
      const error = cause instanceof PgAdapterError ? cause : this.#refusal(cause);
      this.#reject(entries, error);
      if (OUTAGES.has(error.code)) this.#reject(this.#takeAll(), error);
    }
  }

  #reject(entries: readonly Entry[], error: PgAdapterError): void {
    for (const entry of entries) {
      this.#settled(entry);
      entry.reject(error);
    }
  }

  #settled(entry: Entry): void {
    if (this.#sending.delete(entry)) this.#bytes -= entry.bytes;
  }

  #pack(entries: readonly Entry[]): KeptNotification[] {
    const frames = packFrames(
      entries.flatMap(({ items }) => items),
      () => ({ uid: this.#uid, sequence: ++this.#sequence }),
      this.#maxBody,
    );
    return keptFrames(frames, this.#uid);
  }

  /** The next entries, about as many as one statement carries well. */
  #take(): Entry[] {
    const taken: Entry[] = [];
    const frames = new FrameCount(this.#maxBody);
    for (let bytes = 0; this.#head < this.#queue.length && bytes < STATEMENT_BYTES; this.#head++) {
      const entry = this.#queue[this.#head]!;
      frames.add(entry.items);
      frames.count += entry.also.length;
      if (taken.length > 0 && frames.count > MAX_NOTIFICATIONS) break;
      taken.push(entry);
      bytes += entry.bytes;
    }
    // Doing so each time would make a long queue slow.
    if (this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    return taken;
  }

  #takeAll(): Entry[] {
    const all = this.#queue.slice(this.#head);
    this.#queue = [];
    this.#head = 0;
    for (const entry of all) this.#sending.add(entry);
    return all;
  }
}

/** Counts the frames that messages make. */
class FrameCount {
  readonly #maxBody: number;
  #channel = "";
  #key: string | undefined;
  /** Bytes of the frame that is not full. */
  #body = Infinity;
  /** How many messages it has. */
  #messages = 0;
  count = 0;

  constructor(maxBody: number) {
    this.#maxBody = maxBody;
  }

  add(items: readonly Outgoing[]): void {
    for (const { channel, bytes, key } of items) {
      const isFull = this.#body + bytes > this.#maxBody ||
        key !== undefined && this.#messages >= FRAME_NUMBERS;
      if (channel === this.#channel && key === this.#key && !isFull) {
        this.#body += bytes;
        this.#messages++;
        continue;
      }
      this.count += Math.ceil(bytes / this.#maxBody);
      this.#channel = channel;
      this.#key = key;
      this.#body = bytes;
      this.#messages = 1;
    }
  }
}
