/**
 * What an emitter hands its messages to.
 */
import type { Notification } from "../wire/frame.ts";
import type { Statement } from "./statement.ts";

export type { Notification };

/** A notification that may also be kept for clients that are away. */
export interface KeptNotification extends Notification {
  /** Under what it is kept. What has none is only sent. */
  key?: string;
  /** Which frame of which sender it is, where it is kept. */
  origin?: string;
}

/**
 * Brings notifications to PostgreSQL: `pg_notify(channel, payload)` for each. One of your own is as good as those of
 * this package.
 *
 * @example
 * ```ts
 * import { Emitter, type Transport } from "@x/socketio-pg/emitter";
 *
 * const transport: Transport = {
 *   async send(items) {
 *     for (const { channel, payload } of items) console.log(channel, payload.length);
 *   },
 * };
 * await new Emitter(transport).emit("hello");
 * ```
 */
export interface Transport {
  /**
   * Sends notifications, all of them in one transaction and in this order. It is not called again before it has settled.
   *
   * @param items At least one.
   * @returns What settles when all are committed, or rejects when none is.
   */
  send(items: readonly Notification[]): PromiseLike<unknown>;
  /**
   * Keeps notifications, and sends them: `socketio.recovery_send(items)` with all of them as JSON. Called in place of
   * `send()` where the emitter has the option `recovery`, which it is needed for.
   *
   * @param items At least one.
   * @returns What settles when all are committed, or rejects when none is.
   */
  keep?(items: readonly KeptNotification[]): PromiseLike<unknown>;
  /**
   * Runs a statement, which sends notifications and puts what is binary or large into the table of
   * `@socket.io/postgres-adapter`. Called in place of `send()` where the emitter has `wire: "official"` and something of
   * that kind is to be sent.
   *
   * @param statement Its text has `$1`, `$2`… for the parameters, which are all text.
   * @returns What settles when it is committed, or rejects when it is not.
   */
  run?(statement: Statement): PromiseLike<unknown>;
}

/** What an outbox sends with. */
export interface Delivery {
  /**
   * Whether it is a transaction of somebody: that ends without waiting for us, so statements are issued the moment
   * something is emitted, one behind the other.
   */
  readonly isTransaction?: boolean;
  /** Sends notifications. */
  send(items: readonly Notification[]): PromiseLike<unknown>;
  /** Keeps and sends them, where it can. */
  keep?(items: readonly KeptNotification[]): PromiseLike<unknown>;
  /** Runs a statement, where it can. */
  run?(statement: Statement): PromiseLike<unknown>;
  /** Ends what was opened for it. */
  close?(): Promise<void>;
}
