/**
 * Sends messages, in order, on one connection: one statement at a time, and whatever queued meanwhile in the next one.
 * A statement that was sent when its connection was lost may have been committed or not; it is sent again as it was,
 * and receivers recognise by its sequence numbers what they have.
 */
import { messageOf, PgAdapterError } from "../errors.ts";
import { type Notification, type Outgoing, outgoing, packFrames } from "../wire/frame.ts";
import { encodeMessage, maxRecordLength, type Message } from "../wire/message.ts";
import { MAX_NOTIFICATIONS, notifyParameters, notifyText } from "../wire/statement.ts";
import { backoffMs } from "./backoff.ts";
import { deferred } from "./deadline.ts";
import { Link, type LinkEvents } from "./link.ts";
import type { SessionLimits } from "./session.ts";
import type { ConnectionSettings } from "./settings.ts";

/** About how much one statement carries: enough to be efficient, little enough to be quick. */
const STATEMENT_BYTES = 1_000_000;
/** How many channels' last sequence numbers are remembered. */
const MAX_REMEMBERED_CHANNELS = 65_536;

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
}

/** What a publisher tells. */
export type PublisherEvents = Pick<LinkEvents, "up" | "down" | "failed"> & {
  error(error: PgAdapterError): void;
};

/** The connection that only publishes. */
export class Publisher {
  readonly #uid: string;
  readonly #maxRecord: number;
  readonly #maxBuffer: number;
  readonly #events: PublisherEvents;
  readonly #link: Link;
  readonly #previous: Map<string, number> = new Map();
  readonly #flushes: { until: number; resolve: () => void }[] = [];
  /** What waits, in order, from `#head` on. */
  #queue: Outgoing[] = [];
  #head = 0;
  #queuedBytes = 0;
  /** How many messages have left the queue so far. */
  #taken = 0;
  /** Frames that have their sequence numbers and are not known to be committed. */
  #unconfirmed: Notification[] = [];
  #sequence = 0;
  #busy = false;
  #scheduled = false;
  #overflowed = false;
  #refusals = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  /** What it has done so far. */
  readonly stats: PublisherStats = { messages: 0, frames: 0, bytes: 0, statements: 0, dropped: 0 };

  constructor(
    uid: string,
    settings: ConnectionSettings,
    limits: SessionLimits,
    maxPayload: number,
    maxBuffer: number,
    events: PublisherEvents,
  ) {
    this.#uid = uid;
    this.#maxRecord = maxRecordLength(maxPayload);
    this.#maxBuffer = maxBuffer;
    this.#events = events;
    this.#link = new Link(settings, `socketio-pg:publish:${uid}`, limits, {
      prepare: () => Promise.resolve(),
      up: (session) => {
        this.#overflowed = false;
        events.up(session);
        this.#schedule();
      },
      down: events.down,
      failed: events.failed,
    });
  }

  /** Starts connecting. */
  start(): void {
    this.#link.start();
  }

  /** Whether it is connected. */
  get isUp(): boolean {
    return this.#link.phase === "up";
  }

  /** Whether PostgreSQL refuses to take anything at the moment. */
  get isStuck(): boolean {
    return this.#retry !== undefined;
  }

  /** What waits to be sent. */
  get queued(): { messages: number; bytes: number } {
    return { messages: this.#queue.length - this.#head, bytes: this.#queuedBytes };
  }

  /** Queues a message. Never throws, never waits. */
  publish(channel: string, message: Message): void {
    if (this.#closed) return;
    let item: Outgoing;
    try {
      item = outgoing(channel, encodeMessage(message));
    } catch (cause) {
      // Packets are encoded by now; rooms can be anything.
      return this.#events.error(
        new PgAdapterError(
          "NOT_ENCODABLE",
          `Cannot encode a message for other servers: ${messageOf(cause)}`,
          { cause },
        ),
      );
    }
    if (item.bytes > this.#maxRecord) {
      return this.#events.error(
        new PgAdapterError(
          "PAYLOAD_TOO_LARGE",
          `Cannot send a message of ${item.bytes} bytes, its rooms included, as "maxPayload" allows ${this.#maxRecord}`,
        ),
      );
    }
    this.#queue.push(item);
    this.#queuedBytes += item.bytes;
    this.stats.messages++;
    if (!this.isUp || this.isStuck) this.#shrink();
    this.#schedule();
  }

  /** Settles when all that was published before is committed. */
  flush(): Promise<void> {
    if (this.isIdle) return Promise.resolve();
    const { promise, resolve } = deferred<void>();
    this.#flushes.push({ until: this.#taken + this.#queue.length - this.#head, resolve });
    return promise;
  }

  /** Closes the connection; what is still queued is lost. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    await this.#link.close();
    this.#queue = [];
    this.#head = 0;
    this.#settleFlushes(Infinity);
  }

  /** Whether all that was published is committed. */
  get isIdle(): boolean {
    return this.#head === this.#queue.length && this.#unconfirmed.length === 0;
  }

  /** Those who wait for messages up to this one, which is committed or dropped. */
  #settleFlushes(until: number): void {
    while (this.#flushes.length > 0 && this.#flushes[0]!.until <= until) {
      this.#flushes.shift()!.resolve();
    }
  }

  /** At the end of the current run of the application's code, so that a burst shares statements. */
  #schedule(): void {
    if (this.#scheduled || this.#busy || this.#retry !== undefined) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      // Its own faults are handled inside.
      if (!this.#busy) this.#pump().catch((fault: unknown) => this.#refused(fault));
    });
  }

  async #pump(): Promise<void> {
    this.#busy = true;
    try {
      while (!this.#closed && !this.isIdle) {
        const { session } = this.#link;
        if (session === undefined) return;
        if (this.#unconfirmed.length === 0) this.#unconfirmed = this.#pack();
        const batch = this.#unconfirmed.slice(0, statementSize(this.#unconfirmed.length));
        try {
          await session.query(notifyText(batch.length), notifyParameters(batch));
          this.stats.statements++;
          this.stats.frames += batch.length;
        } catch (fault) {
          // The next session sends it again.
          if (fault instanceof PgAdapterError) return;
          if (this.#retryLater(fault)) return;
          this.#refused(fault);
        }
        this.#refusals = 0;
        this.#unconfirmed.splice(0, batch.length);
        if (this.#unconfirmed.length === 0) this.#settleFlushes(this.#taken);
      }
    } finally {
      this.#busy = false;
    }
  }

  /** Takes about a statement's worth from the queue and gives it sequence numbers. */
  #pack(): Notification[] {
    let end = this.#head;
    for (let bytes = 0; end < this.#queue.length && bytes < STATEMENT_BYTES; end++) {
      bytes += this.#queue[end]!.bytes;
    }
    const items = this.#queue.slice(this.#head, end);
    this.#head = end;
    this.#taken += items.length;
    this.#compact();
    for (const { bytes } of items) {
      this.#queuedBytes -= bytes;
      this.stats.bytes += bytes;
    }
    return packFrames(items, (channel) => {
      const previous = this.#previous.get(channel) ?? 0;
      const sequence = ++this.#sequence;
      // Deleting first keeps the map in the order of use, so that its first key is the one to forget.
      this.#previous.delete(channel);
      this.#previous.set(channel, sequence);
      if (this.#previous.size > MAX_REMEMBERED_CHANNELS) {
        this.#previous.delete(this.#previous.keys().next().value!);
      }
      return { uid: this.#uid, sequence, previous };
    });
  }

  /** Lets go of what has left the queue. Doing so each time would make a long queue slow. */
  #compact(): void {
    if (this.#head * 2 <= this.#queue.length) return;
    this.#queue = this.#queue.slice(this.#head);
    this.#head = 0;
  }

  /** While the database is away the oldest messages go when there are more than fit the buffer. */
  #shrink(): void {
    while (this.#queuedBytes > this.#maxBuffer && this.#head < this.#queue.length - 1) {
      this.#queuedBytes -= this.#queue[this.#head++]!.bytes;
      this.#taken++;
      this.stats.dropped++;
      if (this.#overflowed) continue;
      this.#overflowed = true;
      this.#events.error(
        new PgAdapterError(
          "BUFFER_FULL",
          `Cannot keep more than ${this.#maxBuffer} bytes for when the database is back: the oldest messages are dropped; raise "maxBuffer" to keep more`,
        ),
      );
    }
    this.#compact();
  }

  /** Conditions that pass: the queue of notifications is full, the lock of NOTIFY is held, the server is short of something. */
  #retryLater(fault: unknown): boolean {
    const code = sqlState(fault);
    if (!/^(40|53|54|55|57|25)/.test(code)) return false;
    if (this.#refusals++ === 0) this.#refused(fault, "it is sent again");
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#schedule();
    }, backoffMs(this.#refusals, 0, Math.random()));
    return true;
  }

  #refused(fault: unknown, consequence = "it is dropped"): void {
    if (consequence === "it is dropped") this.stats.dropped++;
    this.#events.error(
      new PgAdapterError(
        "PUBLISH_FAILED",
        `Cannot publish as PostgreSQL refused a statement: ${messageOf(fault)} (${
          sqlState(fault)
        }); ${consequence}`,
        { cause: fault },
      ),
    );
  }
}

/** How many of the frames the next statement takes: few different sizes, as each is prepared once. */
function statementSize(frames: number): number {
  if (frames >= MAX_NOTIFICATIONS) return MAX_NOTIFICATIONS;
  if (frames <= 16) return frames;
  return 2 ** Math.floor(Math.log2(frames));
}

function sqlState(fault: unknown): string {
  return fault !== null && typeof fault === "object" && "code" in fault ? String(fault.code) : "";
}
