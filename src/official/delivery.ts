/**
 * Brings what an emitter says on both wires to PostgreSQL, all of it or nothing.
 */
import { codeOf } from "../bus/sql_state.ts";
import type { Delivery } from "../emitter/transport.ts";
import { messageOf, PgAdapterError } from "../errors.ts";
import type { Notification } from "../wire/frame.ts";
import type { OfficialNotification } from "./message.ts";
import {
  AT_ONCE,
  isUnavailable,
  MAX_ATTACHMENTS,
  MISSING,
  notifyOfficial,
  tableText,
} from "./statement.ts";

/** How an emitter sends on both wires. */
export class OfficialDelivery {
  readonly #delivery: Delivery;
  readonly #table: string;

  /** @param table What is binary or large lies there. */
  constructor(delivery: Delivery, table: string) {
    this.#delivery = delivery;
    this.#table = table;
  }

  /** Sends notifications. The statement is issued before this returns. */
  send(
    ours: readonly Notification[],
    theirs: readonly OfficialNotification[],
  ): PromiseLike<unknown> {
    const attachments = theirs.filter(({ attachment }) => attachment !== undefined).length;
    if (attachments === 0) {
      return this.#delivery.send([
        ...ours,
        ...theirs.map(({ channel, payload }) => ({ channel, payload })),
      ]);
    }
    if (this.#delivery.run === undefined) {
      throw new PgAdapterError(
        "ATTACHMENTS_UNAVAILABLE",
        `Cannot emit to servers of @socket.io/postgres-adapter what is binary or large as that goes into table ${this.#table}, and the transport has no run()`,
      );
    }
    if (attachments > MAX_ATTACHMENTS) {
      throw new PgAdapterError(
        "PAYLOAD_TOO_LARGE",
        `Cannot emit to servers of @socket.io/postgres-adapter as ${attachments} messages of a batch are binary or large, more than ${MAX_ATTACHMENTS}`,
      );
    }
    return this.#run(notifyOfficial([...ours, ...theirs], this.#table));
  }

  /** The table is made where it is not there; not in a transaction, which is over then. */
  async #run(statement: { text: string; parameters: string[] }): Promise<void> {
    const run = (each: typeof statement) => this.#delivery.run!({ ...each, isCommon: false });
    try {
      try {
        await run(statement);
      } catch (fault) {
        if (!MISSING.includes(codeOf(fault)) || this.#delivery.isTransaction === true) throw fault;
        try {
          await run({ text: tableText(this.#table), parameters: [] });
        } catch (second) {
          // Others may have made it at the same time.
          if (!AT_ONCE.includes(codeOf(second))) throw fault;
        }
        await run(statement);
      }
    } catch (cause) {
      if (!isUnavailable(cause)) throw cause;
      throw new PgAdapterError(
        "ATTACHMENTS_UNAVAILABLE",
        `Cannot emit to servers of @socket.io/postgres-adapter what is binary or large as table ${this.#table} is not there or may not be used: ${
          messageOf(cause)
        }`,
        { cause },
      );
    }
  }
}
