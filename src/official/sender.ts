/**
 * Sends messages on the other wire, in order: whatever was emitted while a statement ran goes with the next one. What
 * was in a statement whose connection was lost is not sent again: nobody there would recognise it.
 */
import { codeOf, isPassing } from "../bus/sql_state.ts";
import type { Rows } from "../bus/session.ts";
import { messageOf, PgAdapterError } from "../errors.ts";
import { MAX_NOTIFICATIONS } from "../wire/statement.ts";
import type { OfficialNotification } from "./message.ts";
import {
  AT_ONCE,
  isUnavailable,
  MISSING,
  notifyOfficial,
  type OfficialStatement,
  tableText,
} from "./statement.ts";

/** About how much one statement carries. */
const STATEMENT_BYTES = 1_000_000;

/** How often, and after how many milliseconds, a statement runs again that was refused for something that passes. */
const ATTEMPTS = 20;
const PAUSE_MS = 100;

/** What a sender has done. */
export interface SenderStats {
  /** Messages that PostgreSQL has taken. */
  sent: number;
  /** Messages that it has not, or of which nobody knows. */
  dropped: number;
}

/** What a sender sends by. */
export interface SenderConnection {
  readonly isUp: boolean;
  run(statement: OfficialStatement): Promise<Rows>;
}

/** What is sent on the other wire. */
export class Sender {
  readonly #connection: SenderConnection;
  readonly #table: string;
  readonly #maxBuffer: number;
  readonly #error: (error: PgAdapterError) => void;
  #queue: OfficialNotification[] = [];
  #bytes = 0;
  #isRunning = false;
  #isScheduled = false;
  #hasOverflowed = false;
  #idle: (() => void)[] = [];

  /** What it has done so far. */
  readonly stats: SenderStats = { sent: 0, dropped: 0 };

  /** @param maxBuffer The most bytes that wait. */
  constructor(
    connection: SenderConnection,
    table: string,
    maxBuffer: number,
    error: (error: PgAdapterError) => void,
  ) {
    this.#connection = connection;
    this.#table = table;
    this.#maxBuffer = maxBuffer;
    this.#error = error;
  }

  /** Queues a message. Never throws, never waits. */
  send(item: OfficialNotification): void {
    this.#queue.push(item);
    this.#bytes += item.bytes;
    this.#bound();
    this.#schedule();
  }

  /** The connection is there. */
  resume(): void {
    this.#hasOverflowed = false;
    this.#schedule();
  }

  /** Settles when all that was queued was taken or dropped; never, where there is no connection. */
  flush(): Promise<void> {
    if (this.#queue.length === 0 && !this.#isRunning) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #schedule(): void {
    if (this.#isRunning || this.#isScheduled || !this.#connection.isUp) return;
    this.#isScheduled = true;
    // What is emitted in one run of the application's code shares a statement.
    queueMicrotask(() => {
      this.#isScheduled = false;
      if (!this.#isRunning) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#queue.length > 0 && this.#connection.isUp) {
      const items = this.#take();
      try {
        await this.#notify(items);
        this.stats.sent += items.length;
      } catch (fault) {
        this.stats.dropped += items.length;
        // The loss of the connection is told by itself.
        if (!(fault instanceof PgAdapterError)) this.#error(refusal(fault, items.length));
      }
    }
    this.#isRunning = false;
    if (this.#queue.length > 0) return;
    for (const resolve of this.#idle) resolve();
    this.#idle = [];
  }

  /** What lies in the table goes by itself, so that no other message is refused with it. */
  #take(): OfficialNotification[] {
    let [count, bytes] = [0, 0];
    for (const item of this.#queue) {
      const isAlone = item.attachment !== undefined;
      if (count > 0 && (isAlone || count >= MAX_NOTIFICATIONS || bytes >= STATEMENT_BYTES)) break;
      count++;
      bytes += item.bytes;
      if (isAlone) break;
    }
    const items = this.#queue.splice(0, count);
    for (const item of items) this.#bytes -= item.bytes;
    return items;
  }

  async #notify(items: readonly OfficialNotification[]): Promise<void> {
    const statement = notifyOfficial(items, this.#table);
    let hasMade = false;
    for (let attempt = 1;; attempt++) {
      try {
        await this.#connection.run(statement);
        return;
      } catch (fault) {
        if (fault instanceof PgAdapterError) throw fault;
        const code = codeOf(fault);
        if (MISSING.includes(code) && !hasMade) {
          hasMade = true;
          await this.#makeTable();
        } else if (isPassing(code) && attempt < ATTEMPTS) {
          await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
        } else throw fault;
      }
    }
  }

  async #makeTable(): Promise<void> {
    try {
      await this.#connection.run({ text: tableText(this.#table), parameters: [] });
    } catch (fault) {
      // Others may have made it at the same time.
      if (fault instanceof PgAdapterError || !AT_ONCE.includes(codeOf(fault))) throw fault;
    }
  }

  #bound(): void {
    let dropped = 0;
    while (this.#bytes > this.#maxBuffer && this.#queue.length > 1) {
      this.#bytes -= this.#queue.shift()!.bytes;
      dropped++;
    }
    if (dropped === 0) return;
    this.stats.dropped += dropped;
    if (this.#hasOverflowed) return;
    this.#hasOverflowed = true;
    this.#error(
      new PgAdapterError(
        "BUFFER_FULL",
        `Dropped messages to servers of @socket.io/postgres-adapter as more than ${this.#maxBuffer} bytes of them wait, which is "maxBuffer"`,
      ),
    );
  }
}

/** PostgreSQL did not take messages. */
function refusal(cause: unknown, count: number): PgAdapterError {
  const code = codeOf(cause);
  const what = count === 1 ? "a message" : `${count} messages`;
  const start =
    `Cannot send ${what} to servers of @socket.io/postgres-adapter as PostgreSQL refused it`;
  return isUnavailable(cause)
    ? new PgAdapterError(
      "ATTACHMENTS_UNAVAILABLE",
      `${start}: ${
        messageOf(cause)
      } (${code}); make the table of their documentation, which needs INSERT, SELECT and DELETE for this role`,
      { cause },
    )
    : new PgAdapterError("PUBLISH_FAILED", `${start}: ${messageOf(cause)}`, { cause });
}
