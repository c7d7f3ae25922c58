/**
 * Requests to other processes: who has to answer, who has answered, and when it is enough.
 */
import { PgAdapterError } from "../errors.ts";
import { createUid } from "../wire/frame.ts";

/** An answer, or why there is none. */
export type Answer = { ok: true; value: unknown[] } | { ok: false; error: string };

interface Request {
  what: string;
  nsp: string;
  missing: Set<string>;
  expected: number;
  answers: unknown[];
  timer: ReturnType<typeof setTimeout>;
  /** Until when those who are absent are waited for, once it is late. */
  until: number | undefined;
  done(error: PgAdapterError | null, answers: unknown[]): void;
}

/** How often a request that waits for processes that are absent is looked at. */
const ABSENT_MS = 200;

/** The open requests of this process. */
export class Requests {
  readonly #absent: (uids: readonly string[]) => Promise<string[]>;
  readonly #patience: number;
  readonly #open: Map<string, Request> = new Map();
  /** Nobody guesses the ids. */
  readonly #salt: string = createUid().slice(0, 8);
  #count = 0;
  #closed = false;

  /**
   * @param absent Which of these processes do not listen at the moment, as far as can be found out. It never rejects.
   * @param patience Milliseconds after which one that is absent is gone, if it is not back. One that still publishes is
   * neither, and not waited for any longer.
   */
  constructor(absent: (uids: readonly string[]) => Promise<string[]>, patience: number) {
    this.#absent = absent;
    this.#patience = patience;
  }

  /**
   * Opens a request.
   *
   * @param what Its name, for errors.
   * @param uids Who has to answer.
   * @param timeout Milliseconds; those who are absent then are waited for until they are back or count as gone.
   * @param done Called once: with all answers, or with an error and those that came.
   * @returns The id of the request, or nothing when there is nobody to ask, or no way: `done` was called then.
   */
  open(
    what: string,
    nsp: string,
    uids: readonly string[],
    timeout: number,
    done: Request["done"],
  ): string | undefined {
    if (this.#closed) {
      done(closed(what), []);
      return undefined;
    }
    if (uids.length === 0) {
      done(null, []);
      return undefined;
    }
    const id = this.#salt + (++this.#count).toString(36);
    const timer = setTimeout(() => this.#late(id, timeout), timeout);
    this.#open.set(id, {
      what,
      nsp,
      missing: new Set(uids),
      expected: uids.length,
      answers: [],
      timer,
      until: undefined,
      done,
    });
    return id;
  }

  /** A request that could not be sent, which was told, has no answer. */
  unsent(id: string): void {
    const request = this.#open.get(id);
    if (request === undefined) return;
    this.#settle(
      id,
      request,
      new PgAdapterError(
        "REQUEST_FAILED",
        `Cannot complete ${request.what} as it could not be sent: the event "error" says why`,
      ),
    );
  }

  /** Takes an answer; one that nobody waits for is ignored. */
  answer(uid: string, id: string, answer: Answer): void {
    const request = this.#open.get(id);
    if (request === undefined || !request.missing.delete(uid)) return;
    if (answer.ok) {
      for (const value of answer.value) request.answers.push(value);
      return this.#settleIfComplete(id, request);
    }
    this.#settle(
      id,
      request,
      new PgAdapterError(
        "REQUEST_FAILED",
        `Cannot complete ${request.what} as server ${uid} could not answer: ${answer.error}`,
      ),
    );
  }

  /** A process is gone, or has closed a namespace: it owes no answer any more. */
  release(uid: string, nsp?: string): void {
    for (const [id, request] of this.#open) {
      if (nsp !== undefined && nsp !== request.nsp) continue;
      if (request.missing.delete(uid)) this.#settleIfComplete(id, request);
    }
  }

  /** Ends all requests, those that come yet included. */
  close(): void {
    this.#closed = true;
    for (const [id, request] of this.#open) this.#settle(id, request, closed(request.what));
  }

  async #late(id: string, timeout: number): Promise<void> {
    const request = this.#open.get(id);
    if (request === undefined) return;
    const absent = new Set(await this.#absent([...request.missing]));
    if (this.#open.get(id) !== request) return;
    const { what, missing, expected } = request;
    const now = performance.now();
    request.until ??= now + this.#patience;
    // A server that was redeployed or died owes no answer: before long it counts as gone.
    if (now < request.until && [...missing].every((uid) => absent.has(uid))) {
      request.timer = setTimeout(() => this.#late(id, timeout), ABSENT_MS);
      return;
    }
    this.#settle(
      id,
      request,
      new PgAdapterError(
        "REQUEST_TIMEOUT",
        `Cannot complete ${what} as timeout reached: only ${
          expected - missing.size
        } responses received out of ${expected} within ${timeout} ms, missing ${
          [...missing].join(", ")
        }`,
      ),
    );
  }

  #settleIfComplete(id: string, request: Request): void {
    if (request.missing.size === 0) this.#settle(id, request, null);
  }

  #settle(id: string, request: Request, error: PgAdapterError | null): void {
    this.#open.delete(id);
    clearTimeout(request.timer);
    request.done(error, request.answers);
  }
}

function closed(what: string): PgAdapterError {
  return new PgAdapterError("CLOSED", `Cannot complete ${what} as the adapter was closed`);
}
