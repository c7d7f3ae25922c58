/**
 * Where a process stands, and who is told of it.
 *
 * - `idle`: nothing uses it yet.
 * - `connecting`: until both connections work and the others are known, for the first time.
 * - `ready`: both connections work.
 * - `disconnected`: one of them does not, after they did; it is being replaced.
 * - `closed`: final.
 */
import { PgAdapterError } from "../errors.ts";
import type { Events } from "../events.ts";
import { type Deferred, deferred, withDeadline } from "./deadline.ts";

/** Where a process stands: `idle` until it is used, `connecting` until it has worked once, then `ready` or `disconnected`. */
export type BusPhase = "idle" | "connecting" | "ready" | "disconnected" | "closed";

/** Where a process stands. */
export class Readiness {
  readonly #events: Events;
  #phase: BusPhase = "idle";
  /** What those who await `ready()` wait for: the next time that it works, or fails. */
  #attempt: Deferred<void> | undefined;
  /** Settles when the others are known for the first time, or never will be. */
  readonly #acquainted: Deferred<void> = deferred();
  #isAcquainted = false;
  /** Settles when it works again. */
  #reconnected: Deferred<void> | undefined;
  /** The codes of failures that were told; until it works again they are not told again. */
  readonly #told: Set<string> = new Set();

  constructor(events: Events) {
    this.#events = events;
  }

  /** Where it stands. */
  get phase(): BusPhase {
    return this.#phase;
  }

  /** Whether the others were known at any time. */
  get isAcquainted(): boolean {
    return this.#isAcquainted;
  }

  /** Leaves `idle`; false when it had been left before. */
  start(): boolean {
    if (this.#phase !== "idle") return false;
    this.#phase = "connecting";
    return true;
  }

  /** Settles when it works: at once if it does; rejects when an attempt to connect fails before that. */
  ready(): Promise<void> {
    if (this.#phase === "ready") return Promise.resolve();
    this.#attempt ??= deferred();
    if (this.#phase === "closed") this.#attempt.reject(closed());
    // Who does not await it hears of the failure through `error`; it must not end the process.
    this.#attempt.promise.catch(() => {});
    return this.#attempt.promise;
  }

  /**
   * Settles when the others are known for the first time, or it is closed.
   *
   * @throws PgAdapterError `REQUEST_TIMEOUT` when that takes too long.
   */
  acquainted(timeout: number): Promise<void> {
    return withDeadline(
      this.#acquainted.promise,
      timeout,
      () =>
        new PgAdapterError(
          "REQUEST_TIMEOUT",
          `Cannot ask other servers as there is no connection to the database, and was none within ${timeout} ms`,
        ),
    );
  }

  /**
   * Settles when it works again, or is closed.
   *
   * @throws PgAdapterError `DISCONNECTED` when that takes too long.
   */
  async reconnected(timeout: number): Promise<void> {
    this.#reconnected ??= deferred();
    await withDeadline(
      this.#reconnected.promise,
      timeout,
      () =>
        new PgAdapterError(
          "DISCONNECTED",
          `Cannot ask other servers as the connection to the database is lost, and was not back within ${timeout} ms`,
        ),
    );
  }

  /** It works. */
  reached(): void {
    if (this.#phase === "ready" || this.#phase === "closed") return;
    this.#phase = "ready";
    this.#told.clear();
    this.#attempt?.resolve();
    this.#attempt = undefined;
    this.#acquainted.resolve();
    this.#reconnected?.resolve();
    this.#reconnected = undefined;
    if (this.#isAcquainted) return this.#events.emit("reconnect");
    this.#isAcquainted = true;
    this.#events.emit("ready");
  }

  /** A connection was lost. */
  lost(error: PgAdapterError): void {
    // The loss of the other one is part of the same outage.
    if (this.#phase === "disconnected") return;
    if (this.#phase !== "ready") return this.failed(error);
    this.#phase = "disconnected";
    this.#events.emit("disconnect", error);
  }

  /** An attempt failed. An outage is told once, and again only when its reason changes. */
  failed(error: PgAdapterError): void {
    if (this.#phase === "closed") return;
    const attempt = this.#attempt;
    this.#attempt = undefined;
    attempt?.reject(error);
    if (this.#told.has(error.code)) return;
    this.#told.add(error.code);
    this.#events.emit("error", error);
  }

  /** It is closed, for good. */
  close(): void {
    this.#phase = "closed";
    this.#attempt?.reject(closed());
    this.#acquainted.resolve();
    this.#reconnected?.resolve();
  }
}

function closed(): PgAdapterError {
  return new PgAdapterError("CLOSED", "Cannot get ready as the adapter was closed");
}
