/**
 * Statements that PostgreSQL refuses for a while: the queue of notifications is full, the lock of NOTIFY is held, the
 * server is short of something. They are sent again, with pauses.
 */
import { backoffMs } from "./backoff.ts";
import type { Session } from "./session.ts";
import { codeOf, isPassing, QUEUE_FULL } from "./sql_state.ts";

/** How long it must have gone well before the next refusal is told. */
const QUIET_MS = 10_000;
/** After how many refusals of a queue that is full something more is tried, and then again. */
const STUCK_AFTER = 4;
/** What they lead to. */
export interface RefusalEvents {
  /** The first one since it went well. */
  refused(fault: unknown): void;
  /** The queue of notifications stays full. */
  stuck(): void;
  /** The pause is over. */
  again(): void;
}

/** The refusals of one connection. */
export class Refusals {
  readonly #events: RefusalEvents;
  #count = 0;
  #lastAt = -Infinity;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  constructor(events: RefusalEvents) {
    this.#events = events;
  }

  /** Whether it pauses. */
  get isPausing(): boolean {
    return this.#retry !== undefined;
  }

  /**
   * A statement was refused.
   *
   * @returns Whether that passes: `again` is called after a pause.
   */
  add(session: Session, fault: unknown): boolean {
    const code = codeOf(fault);
    if (!isPassing(code)) return false;
    this.#count++;
    const now = performance.now();
    // What comes and goes is one outage.
    if (now - this.#lastAt > QUIET_MS) this.#events.refused(fault);
    this.#lastAt = now;
    // The answer to a statement may come while the connection is being closed: a timer would keep the process alive.
    if (this.#isClosed) return true;
    if (code === QUEUE_FULL && this.#count % STUCK_AFTER === 0) this.#events.stuck();
    this.#retry = setTimeout(() => {
      // A queue that was full stays so until somebody asks how full it is: only that, and a NOTIFY that succeeds, lets
      // PostgreSQL forget what everybody has read.
      const ready = code === QUEUE_FULL
        ? session.query("select pg_notification_queue_usage()").catch(() => {
          // The statement that is sent again tells what is wrong.
        })
        : Promise.resolve();
      ready.then(() => {
        this.#retry = undefined;
        this.#events.again();
      });
    }, backoffMs(this.#count, 0, Math.random()));
    return true;
  }

  /** A statement was taken. */
  taken(): void {
    this.#count = 0;
  }

  /** Tries nothing any more. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#retry);
  }
}
