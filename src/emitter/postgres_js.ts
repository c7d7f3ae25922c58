/**
 * Sends by an instance of postgres.js that belongs to the application, or by a transaction of one.
 */
import { PgAdapterError } from "../errors.ts";
import type { Notification } from "../wire/frame.ts";
import { keepStatementOf } from "./kept.ts";
import { type Statement, statementOf } from "./statement.ts";
import type { Delivery, KeptNotification } from "./transport.ts";

/** The slice of postgres.js that is used: an instance, or what `sql.begin()` gives to its callback. */
export interface Queryable {
  /** Runs a statement. */
  unsafe(text: string, parameters: string[], options?: { prepare?: boolean }): PromiseLike<unknown>;
}

/** An instance, also a pool: one statement at a time keeps the order. */
export class InstanceDelivery implements Delivery {
  readonly #sql: Queryable;

  constructor(sql: Queryable) {
    this.#sql = sql;
  }

  /** Sends notifications. */
  send(items: readonly Notification[]): PromiseLike<unknown> {
    return this.run(statementOf(items));
  }

  /** Keeps and sends notifications. */
  keep(items: readonly KeptNotification[]): PromiseLike<unknown> {
    return this.run(keepStatementOf(items));
  }

  /** Runs a statement. */
  run({ text, parameters, isCommon }: Statement): PromiseLike<unknown> {
    return this.#sql.unsafe(text, parameters, { prepare: isCommon });
  }
}

/**
 * A setting that PostgreSQL forgets at the end of a transaction. The driver would run a statement that comes after that,
 * on a connection that others use by now, so each one asks whether it is in time.
 */
const SETTING = "socketio_pg.transactions";

/** Adds to it. Without parameters it is one message, and what follows need not wait for an answer. */
function marking(mark: string): string {
  return `select set_config('${SETTING}', concat(current_setting('${SETTING}', true), '${mark}'), true)`;
}

/** Whether what is given is a transaction: only these have savepoints. */
export function isTransaction(sql: Queryable): boolean {
  return "savepoint" in sql && typeof sql.savepoint === "function";
}

/** How long a statement may take before it is asked whether its transaction has ended. */
const PROBE_MS = 50;

/** A transaction: what is sent takes effect if it commits. */
export class TransactionDelivery implements Delivery {
  readonly isTransaction = true;
  readonly #sql: Queryable;
  readonly #mark: string = `,${crypto.randomUUID()}`;

  constructor(sql: Queryable) {
    this.#sql = sql;
    // Started at once. That it failed ends the transaction, and everything that is sent.
    sql.unsafe(marking(this.#mark), []).then(undefined, () => {});
  }

  /** Sends notifications. The statement is issued before this returns. */
  send(items: readonly Notification[]): PromiseLike<unknown> {
    return this.run(statementOf(items));
  }

  /** Keeps and sends notifications. The statement is issued before this returns. */
  keep(items: readonly KeptNotification[]): PromiseLike<unknown> {
    return this.run(keepStatementOf(items));
  }

  /** Runs a statement. It is issued before this returns. */
  run({ text, parameters, isCommon }: Statement): PromiseLike<unknown> {
    const last = `$${parameters.length + 1}::text`;
    const sent = this.#sql.unsafe(
      `${text} where position(${last} in current_setting('${SETTING}', true)) > 0`,
      [...parameters, this.#mark],
      { prepare: isCommon },
    ).then((rows) => {
      if (!Array.isArray(rows) || rows.length === 0) throw ended();
    });
    return this.#unlessEnded(sent);
  }

  /**
   * What is issued while its transaction commits the driver keeps for ever. When a later statement overtakes it, that has
   * happened.
   */
  #unlessEnded(sent: PromiseLike<void>): Promise<void> {
    let timer: ReturnType<typeof setTimeout>;
    const settled = new Promise<void>((resolve, reject) => {
      const probe = (ms: number) => {
        timer = setTimeout(() => {
          // It may be kept for ever, too.
          probe(ms * 2);
          // Where both answers came together, or both failed, that of the statement counts: it needs some turns more.
          const overtakes = () => void setTimeout(() => reject(ended()), 0);
          this.#sql.unsafe("select 1", []).then(overtakes, overtakes);
        }, ms);
      };
      probe(PROBE_MS);
      sent.then(resolve, reject);
    });
    return settled.finally(() => clearTimeout(timer));
  }
}

function ended(): PgAdapterError {
  return new PgAdapterError(
    "CLOSED",
    "Cannot emit as the transaction has ended: await what is emitted in it before it does",
  );
}
