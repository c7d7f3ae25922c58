/**
 * Sends an emitter's messages over a connection of postgres.js: one statement at a time, and whatever queued meanwhile
 * in the next one, so that they keep their order even over a pool. A message is never split over two statements.
 */
import { withDeadline } from "./bus/deadline.ts";
import { messageOf, PgAdapterError } from "./errors.ts";
import { createUid, type Notification, type Outgoing, outgoing, packFrames } from "./wire/frame.ts";
import { encodeMessage, type Message } from "./wire/message.ts";
import { MAX_NOTIFICATIONS, notifyParameters, notifyText } from "./wire/statement.ts";

/** The slice of postgres.js that is used. */
export interface Queryable {
  /** Runs a statement. */
  unsafe(text: string, parameters: string[], options?: { prepare?: boolean }): PromiseLike<unknown>;
}

/** About how much one statement carries. */
const STATEMENT_BYTES = 256_000;

interface Entry {
  item: Outgoing;
  resolve(): void;
  reject(error: PgAdapterError): void;
}

/** The messages of an emitter on their way. */
export class Outbox {
  readonly #sql: Queryable;
  readonly #uid: string = createUid();
  #sequence = 0;
  #queue: Entry[] = [];
  #sending: Entry[] = [];
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(sql: Queryable) {
    this.#sql = sql;
  }

  /**
   * Sends a message.
   *
   * @returns A promise that settles when PostgreSQL has accepted it. Its rejection ends no process, also when nobody
   * listens to it.
   */
  send(channel: string, message: Message): Promise<void> {
    const sent = new Promise<void>((resolve, reject) => {
      if (this.#closed) {
        return reject(new PgAdapterError("CLOSED", "Cannot emit as the emitter was closed"));
      }
      this.#queue.push({ item: outgoing(channel, encodeMessage(message)), resolve, reject });
      this.#running ??= this.#run();
    });
    sent.catch(() => {});
    return sent;
  }

  /** Settles when all that was sent before has been accepted or refused. */
  async flush(): Promise<void> {
    await this.#running;
  }

  /** Refuses what comes from now on, and settles like {@linkcode flush}, at the latest after some milliseconds. */
  async close(ms: number): Promise<void> {
    this.#closed = true;
    const late = () =>
      new PgAdapterError("CLOSED", `Cannot emit within ${ms} ms of closing the emitter`);
    try {
      await withDeadline(this.flush(), ms, late);
    } catch (fault) {
      for (const { reject } of [...this.#sending, ...this.#queue.splice(0)]) {
        reject(fault as PgAdapterError);
      }
    }
  }

  async #run(): Promise<void> {
    // What is emitted in one run of the application's code shares a statement.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      let end = 0;
      for (let bytes = 0; end < this.#queue.length && bytes < STATEMENT_BYTES; end++) {
        bytes += this.#queue[end]!.item.bytes;
      }
      const entries = this.#sending = this.#queue.splice(0, end);
      try {
        await this.#notify(
          packFrames(
            entries.map(({ item }) => item),
            () => ({ uid: this.#uid, sequence: ++this.#sequence }),
          ),
        );
        for (const { resolve } of entries) resolve();
      } catch (cause) {
        const error = new PgAdapterError(
          "PUBLISH_FAILED",
          `Cannot emit as PostgreSQL did not take it: ${messageOf(cause)}`,
          { cause },
        );
        for (const { reject } of entries) reject(error);
      }
    }
    this.#sending = [];
    this.#running = undefined;
  }

  async #notify(frames: readonly Notification[]): Promise<void> {
    if (frames.length <= MAX_NOTIFICATIONS) {
      await this.#sql.unsafe(notifyText(frames.length), notifyParameters(frames), {
        prepare: true,
      });
      return;
    }
    // One large message: more than fit a target list, and still one statement, so that it arrives whole or not at all.
    await this.#sql.unsafe(
      "select pg_notify(channel, payload) from unnest($1::text::text[], $2::text::text[]) as frame(channel, payload)",
      [
        arrayLiteral(frames.map(({ channel }) => channel)),
        arrayLiteral(frames.map(({ payload }) => payload)),
      ],
    );
  }
}

/** https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO */
function arrayLiteral(items: readonly string[]): string {
  return `{${items.map((item) => `"${item.replace(/["\\]/g, "\\$&")}"`).join(",")}}`;
}
