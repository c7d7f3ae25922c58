/**
 * Traces across servers: what a library for tracing needs of the adapter and the emitter. The adapter knows none; the
 * one for OpenTelemetry is an entry point of its own, `@x/socketio-pg/opentelemetry`.
 */
import { Complaints } from "./bus/complaints.ts";
import { messageOf, PgAdapterError } from "./errors.ts";
import type { PgAdapterTrace } from "./trace.ts";
import { MAX_CONTEXT_FIELDS, MAX_CONTEXT_LENGTH, type TraceContext } from "./wire/context.ts";

export type { TraceContext };

/** A message that is about to be sent. */
export type OutgoingTrace = Omit<PgAdapterTrace, "uid"> & {
  /** The channel of PostgreSQL that it is sent on. */
  readonly channel: string;
};

/** A message that came. */
export type IncomingTrace = Omit<PgAdapterTrace, "uid"> & {
  /** The process or emitter that sent it; nothing for a plain message, typed by hand or of SQL. */
  readonly from: string | undefined;
};

/**
 * The option `tracing`: carries the context of a trace from who emits to the servers that deliver it.
 *
 * @example
 * ```ts
 * import { AsyncLocalStorage } from "node:async_hooks";
 * import { type PgAdapterTracing, pgAdapter } from "@x/socketio-pg";
 *
 * const request = new AsyncLocalStorage<string>();
 * const tracing: PgAdapterTracing = {
 *   send: () => ({ "request-id": request.getStore() ?? "" }),
 *   receive: (_message, context, deliver) => request.run(context["request-id"] ?? "", deliver),
 * };
 * const adapter = pgAdapter("postgresql://", { tracing });
 * ```
 */
export interface PgAdapterTracing {
  /**
   * A message is about to be sent to other servers. Called at once, in the async context of who sends it.
   *
   * @param message What is sent.
   * @returns What travels with it: at most 8 fields, and 2,000 characters of names and values. What does not fit
   * beside the fields before it is left out.
   */
  send?(message: OutgoingTrace): TraceContext | undefined;
  /**
   * A message came, and is about to be delivered here.
   *
   * @param message What came.
   * @param context What travelled with it: nothing where its sender has no `tracing`.
   * @param deliver Delivers it; once, and at the latest when this returns.
   */
  receive?(message: IncomingTrace, context: TraceContext, deliver: () => void): void;
}

/** Calls the application's `tracing`, whose faults are no matter for messages. */
export class Tracing {
  readonly #tracing: PgAdapterTracing;
  readonly #complaints: Complaints;

  /** @param report Is told when it throws, of each fault once a minute. */
  constructor(tracing: PgAdapterTracing, report: (error: PgAdapterError) => void) {
    this.#tracing = tracing;
    this.#complaints = new Complaints(report);
  }

  /** What travels with a message. */
  send(message: OutgoingTrace): TraceContext | undefined {
    try {
      const context: unknown = this.#tracing.send?.(message);
      if (context === undefined || context === null) return undefined;
      if (isThenable(context)) {
        this.#catch("send", context);
        throw new Error("it returns a promise, and nothing can wait for that");
      }
      return fitting(context as TraceContext);
    } catch (cause) {
      this.#failed("send", cause);
      return undefined;
    }
  }

  /** Whether it wants to hear of what comes. */
  get isReceiving(): boolean {
    return this.#tracing.receive !== undefined;
  }

  /** Delivers a message, once; throws what `deliver` throws. */
  receive(message: IncomingTrace, context: TraceContext, deliver: () => void): void {
    let isDelivered = false;
    let fault: { readonly cause: unknown } | undefined;
    const once = () => {
      if (isDelivered) return;
      isDelivered = true;
      try {
        deliver();
      } catch (cause) {
        fault = { cause };
        throw cause;
      }
    };
    const isTold = (cause: unknown) => fault !== undefined && fault.cause === cause;
    try {
      const returned: unknown = this.#tracing.receive?.(message, context, once);
      if (isThenable(returned)) this.#catch("receive", returned, isTold);
    } catch (cause) {
      if (!isTold(cause)) this.#failed("receive", cause);
    }
    once();
    if (fault !== undefined) throw fault.cause;
  }

  /** One that is asynchronous, and rejects, ends no process. */
  #catch(
    method: string,
    returned: PromiseLike<unknown>,
    isTold: (cause: unknown) => boolean = () => false,
  ): void {
    returned.then(undefined, (cause) => {
      if (!isTold(cause)) this.#failed(method, cause);
    });
  }

  #failed(method: string, cause: unknown): void {
    const sentence = `The method ${method}() of the option "tracing" threw: ${messageOf(cause)}`;
    this.#complaints.add(new PgAdapterError("HANDLER_FAILED", sentence, { cause }), sentence);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return value !== null && typeof value === "object" &&
    typeof (value as { then?: unknown }).then === "function";
}

/** The fields that may travel: those that fit, the first ones first. */
function fitting(context: TraceContext): TraceContext | undefined {
  const fields: [string, string][] = [];
  let left = MAX_CONTEXT_LENGTH;
  for (const [name, value] of Object.entries(context)) {
    if (fields.length === MAX_CONTEXT_FIELDS) break;
    if (typeof value !== "string" || name.length + value.length > left) continue;
    left -= name.length + value.length;
    fields.push([name, value]);
  }
  return fields.length === 0 ? undefined : Object.fromEntries(fields);
}
