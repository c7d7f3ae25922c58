/**
 * Emits to the clients of a cluster of Socket.IO servers from any other process, over PostgreSQL. It needs no package
 * of Socket.IO, and runs at the edge, too.
 *
 * @example
 * ```ts
 * import { Emitter } from "@x/socketio-pg/emitter";
 *
 * await using emitter = new Emitter("postgresql://");
 * await emitter.to("news").emit("headline", { text: "It works" });
 * ```
 *
 * @module
 */
import { Collector } from "./emitter/batch.ts";
import {
  type EventParams,
  type EventsMap,
  NamespaceOperator,
  type Sender,
} from "./emitter/operator.ts";
import { type EmitterOptions, resolveEmitterOptions } from "./emitter/options.ts";
import { Outbox } from "./emitter/outbox.ts";
import type { Queryable } from "./emitter/postgres_js.ts";
import type { Statement } from "./emitter/statement.ts";
import type { OfficialWireOptions } from "./official/options.ts";
import { EdgeSealer } from "./emitter/sealer.ts";
import { deliveryOf } from "./emitter/target.ts";
import type { Delivery, KeptNotification, Notification, Transport } from "./emitter/transport.ts";
import { PgAdapterError, type PgAdapterErrorCode } from "./errors.ts";
import { OfficialEncoder } from "./official/encoder.ts";
import { type OutgoingTrace, type PgAdapterTracing, Tracing } from "./tracing.ts";
import { createUid } from "./wire/frame.ts";

export { BroadcastOperator } from "./emitter/operator.ts";
export { fromPg, type PgQueryable } from "./emitter/from_pg.ts";
export { fromRpc, type RpcOptions } from "./emitter/from_rpc.ts";
export { fromTag } from "./emitter/from_tag.ts";
export { NamespaceOperator, PgAdapterError };
export type { IncomingTrace, TraceContext } from "./tracing.ts";
export type { PgAdapterTrace, PgAdapterVerb } from "./trace.ts";
export type {
  EmitterOptions,
  EventParams,
  EventsMap,
  KeptNotification,
  Notification,
  OfficialWireOptions,
  OutgoingTrace,
  PgAdapterErrorCode,
  PgAdapterTracing,
  Queryable,
  Statement,
  Transport,
};

/**
 * Emits to the clients of a cluster from a process that is no Socket.IO server.
 *
 * @typeParam Events The events that clients listen to.
 * @typeParam ServerEvents The events that servers listen to, of `serverSideEmit()`.
 *
 * @example
 * ```ts
 * import postgres from "postgres";
 * import { Emitter } from "@x/socketio-pg/emitter";
 *
 * const sql = postgres("postgresql://");
 * const emitter = new Emitter<{ tick: (at: number) => void }>(sql);
 * await emitter.of("/clock").volatile.emit("tick", Date.now());
 * await sql.begin(async (tx) => {
 *   await tx`insert into ticks values (now())`;
 *   await new Emitter(tx).emit("saved");
 * });
 * await emitter.close();
 * await sql.end();
 * ```
 */
export class Emitter<Events extends object = EventsMap, ServerEvents extends object = EventsMap>
  extends NamespaceOperator<Events, ServerEvents> {
  readonly #outbox: Outbox;
  readonly #delivery: Delivery;
  readonly #options: ReturnType<typeof resolveEmitterOptions>;
  readonly #sender: Sender;
  #closing: Promise<void> | undefined;

  /**
   * Makes an emitter; it connects when something is emitted.
   *
   * @param target A connection string, for a connection of the emitter's own; an instance of postgres.js, which the
   * emitter uses and does not close; a transaction of one, with which everything that is emitted is sent or not; or a
   * transport: one of `fromPg()`, `fromTag()`, `fromRpc()`, or any object with `send(items)`.
   * @param options See {@linkcode EmitterOptions}.
   * @throws PgAdapterError `INVALID_URI` or `INVALID_OPTION`.
   */
  constructor(target: string | URL | Queryable | Transport, options: EmitterOptions = {}) {
    const resolved = resolveEmitterOptions(options);
    const { prefix, maxPayload, maxBuffer, secret, encrypt, recovery, tracing } = resolved;
    const delivery = deliveryOf(target, resolved);
    const uid = createUid();
    const sealer = secret === undefined ? undefined : new EdgeSealer(secret, encrypt, uid);
    const official = resolved.official && new OfficialEncoder(uid, resolved.official);
    const table = resolved.official?.tableName;
    const outbox = new Outbox(delivery, { uid, maxBuffer, sealer, recovery, table });
    const sender: Sender = {
      sink: outbox,
      prefix,
      maxPayload,
      recovery,
      official,
      // deno-lint-ignore no-console -- what is emitted is sent all the same, and nobody else would hear of it
      tracing: tracing && new Tracing(tracing, (error) => console.error(error)),
    };
    super(sender);
    this.#outbox = outbox;
    this.#sender = sender;
    this.#delivery = delivery;
    this.#options = resolved;
  }

  /**
   * Sends what is emitted meanwhile together: in one statement, in order, all or nothing. When the callback throws, or
   * one of its messages cannot be sent, none is.
   *
   * @param fill Emits; the promises that it gets settle before anything is sent, so it may await them.
   * @returns What the callback returns, once PostgreSQL has accepted all of it.
   *
   * @example
   * ```ts
   * import { Emitter } from "@x/socketio-pg/emitter";
   *
   * await using emitter = new Emitter("postgresql://");
   * await emitter.batch((batch) => {
   *   batch.to("a").socketsJoin("b");
   *   batch.to("b").emit("welcome");
   * });
   * ```
   */
  batch<Result>(
    fill: (batch: NamespaceOperator<Events, ServerEvents>) => Result | Promise<Result>,
  ): Promise<Result> {
    const sent = this.#batch(fill);
    // As with all verbs: it ends no process when nobody listens.
    sent.catch(() => {});
    return sent;
  }

  /** Settles when all that was emitted before has been accepted or refused; it never rejects. */
  flush(): Promise<void> {
    return this.#outbox.flush();
  }

  /**
   * Refuses what is emitted from now on, waits for what was emitted before for up to `closeTimeout`, and ends the
   * connection if it is the emitter's own. It never rejects; twice is once.
   */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  /** The same as `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #batch<Result>(
    fill: (batch: NamespaceOperator<Events, ServerEvents>) => Result | Promise<Result>,
  ): Promise<Result> {
    const sink = new Collector(this.#options.maxBuffer);
    let result: Result;
    try {
      result = await fill(new NamespaceOperator({ ...this.#sender, sink }));
    } catch (fault) {
      sink.abandon();
      throw fault;
    }
    const { items, also } = sink.complete();
    if (items.length > 0) await this.#outbox.send(items, also);
    return result;
  }

  async #close(): Promise<void> {
    await this.#outbox.close(this.#options.closeTimeout);
    await this.#delivery.close?.();
  }
}
