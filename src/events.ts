/**
 * What an adapter tells its owner.
 */
import { EventEmitter } from "node:events";
import type { PgAdapterError } from "./errors.ts";

/** The events of `pgAdapter()`, with what their listeners get. */
export interface PgAdapterEvents {
  /** Something went wrong that nobody awaits. Without a listener it is logged, once per code. */
  error: [error: PgAdapterError];
  /** Both connections work, for the first time. */
  ready: [];
  /** A connection was lost; it is being replaced. */
  disconnect: [error: PgAdapterError];
  /** Both connections work again. */
  reconnect: [];
  /**
   * Messages of another server were missed for good: this one was away for longer than that one remembers. How many it
   * says; when it is gone itself nobody knows, nor whether there were any, and the same holds when thousands of frames
   * are not remembered of which some were heard.
   */
  gap: [gap: { uid: string; missed: number | undefined }];
  /** A client came back too late, or with what no session is known for: it got a new one. */
  "session-expired": [session: { nsp: string }];
  /** Another server joined the cluster. */
  "node-up": [uid: string];
  /** Another server left the cluster, or was not heard of for `heartbeatTimeout`. */
  "node-down": [uid: string];
}

/** A listener of one of {@linkcode PgAdapterEvents}. What it throws is logged and goes no further. */
export type PgAdapterListener<E extends keyof PgAdapterEvents> = (
  ...args: PgAdapterEvents[E]
) => void;

/** Hears of every event, before its listeners do. It must not throw. */
export type Observer = <E extends keyof PgAdapterEvents>(
  event: E,
  args: PgAdapterEvents[E],
) => void;

/** A typed event source that never throws at those who emit. */
export class Events {
  readonly #emitter: EventEmitter = new EventEmitter();
  readonly #logged: Set<string> = new Set();
  #observer: Observer | undefined;

  /** Sets who hears of every event. Errors are logged all the same where nobody listens to them. */
  observe(observer: Observer): void {
    this.#observer = observer;
  }

  /** Adds a listener. */
  on<E extends keyof PgAdapterEvents>(event: E, listener: PgAdapterListener<E>): void {
    this.#emitter.on(event, listener as (...args: unknown[]) => void);
  }

  /** Adds a listener for one time. */
  once<E extends keyof PgAdapterEvents>(event: E, listener: PgAdapterListener<E>): void {
    this.#emitter.once(event, listener as (...args: unknown[]) => void);
  }

  /** Removes a listener. */
  off<E extends keyof PgAdapterEvents>(event: E, listener: PgAdapterListener<E>): void {
    this.#emitter.off(event, listener as (...args: unknown[]) => void);
  }

  /** Tells all listeners of an event, each whatever another one does. */
  emit<E extends keyof PgAdapterEvents>(event: E, ...args: PgAdapterEvents[E]): void {
    this.#observer?.(event, args);
    const listeners = this.#emitter.rawListeners(event) as ((...args: unknown[]) => unknown)[];
    if (event === "error" && listeners.length === 0) return this.#log(args[0] as PgAdapterError);
    for (const listener of listeners) {
      try {
        listener.apply(undefined, args);
      } catch (fault) {
        // deno-lint-ignore no-console
        console.error(`A listener of "${event}" of pgAdapter() threw:`, fault);
      }
    }
  }

  /** Nothing is swallowed, and a fault that repeats does not flood the log. */
  #log(error: PgAdapterError): void {
    if (this.#logged.has(error.code)) return;
    this.#logged.add(error.code);
    // deno-lint-ignore no-console
    console.error(
      `${error.name} ${error.code}: ${error.message} (logged once per code: listen to "error" of pgAdapter() to hear all)`,
    );
  }
}
