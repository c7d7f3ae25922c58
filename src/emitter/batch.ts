/**
 * Collects what is emitted in a batch, to be sent together.
 */
import type { Outgoing } from "../wire/frame.ts";
import { PgAdapterError } from "../errors.ts";
import type { OfficialNotification } from "../official/message.ts";
import type { Sink } from "./operator.ts";

/** The messages of a batch. */
export class Collector implements Sink {
  readonly #maxBuffer: number;
  readonly #items: Outgoing[] = [];
  readonly #also: OfficialNotification[] = [];
  #bytes = 0;
  #fault: PgAdapterError | undefined;
  #isOver = false;

  /** @param maxBuffer The most bytes that it takes. */
  constructor(maxBuffer: number) {
    this.#maxBuffer = maxBuffer;
  }

  /**
   * Adds a message. The promise settles at once, so that it can be awaited in the batch, which is not sent before it is
   * complete.
   */
  send(
    items: readonly Outgoing[],
    also: readonly OfficialNotification[] = [],
  ): Promise<void> {
    const bytes = [...items, ...also].reduce((sum, item) => sum + item.bytes, 0);
    if (this.#isOver) {
      return this.refuse(new PgAdapterError("CLOSED", "Cannot emit as the batch is complete"));
    }
    // One message is always taken.
    if (this.#bytes > 0 && this.#bytes + bytes > this.#maxBuffer) {
      return this.refuse(
        new PgAdapterError(
          "BUFFER_FULL",
          `Cannot emit as the batch would have ${
            this.#bytes + bytes
          } bytes, and "maxBuffer" is ${this.#maxBuffer}`,
        ),
      );
    }
    this.#bytes += bytes;
    this.#items.push(...items);
    this.#also.push(...also);
    return Promise.resolve();
  }

  /** Refuses a message, and with it the batch. */
  refuse(error: PgAdapterError): Promise<void> {
    if (!this.#isOver) this.#fault ??= error;
    const refused = Promise.reject(error);
    refused.catch(() => {});
    return refused;
  }

  /**
   * Ends the batch.
   *
   * @returns What is to be sent.
   * @throws PgAdapterError of the first message that was refused: half a batch is not sent.
   */
  complete(): { items: readonly Outgoing[]; also: readonly OfficialNotification[] } {
    this.#isOver = true;
    if (this.#fault !== undefined) throw this.#fault;
    return { items: this.#items, also: this.#also };
  }

  /** Ends the batch, which is not sent. */
  abandon(): void {
    this.#isOver = true;
  }
}
