/**
 * Broadcasts of this process that wait for acknowledgements of clients of other servers. Nobody says when the last one
 * has come, so each waits until its time is up.
 */

import { createUid } from "../wire/frame.ts";

/** Who is told of the answers. */
export interface AcknowledgementCallbacks {
  /** A server has sent the packet to so many clients. */
  clientCount(count: number): void;
  /** A client has answered. */
  ack(answer: unknown): void;
}

interface Waiting extends AcknowledgementCallbacks {
  timer: ReturnType<typeof setTimeout>;
}

/** The broadcasts that wait. */
export class Acknowledgements {
  readonly #waiting: Map<string, Waiting> = new Map();
  readonly #forgetting: Set<ReturnType<typeof setTimeout>> = new Set();
  /** Nobody guesses the ids. */
  readonly #salt: string = createUid().slice(0, 8);
  #count = 0;

  /**
   * Waits for answers.
   *
   * @param timeout Milliseconds.
   * @returns The id that answers carry.
   */
  open(callbacks: AcknowledgementCallbacks, timeout: number): string {
    const id = this.#salt + (++this.#count).toString(36);
    const timer = setTimeout(() => this.#waiting.delete(id), timeout);
    this.#waiting.set(id, { ...callbacks, timer });
    return id;
  }

  /** Takes the count of clients of a server; one that nobody waits for is ignored. */
  clientCount(id: string, count: number): void {
    this.#waiting.get(id)?.clientCount(count);
  }

  /** Takes the answer of a client; one that nobody waits for is ignored. */
  ack(id: string, answer: unknown): void {
    this.#waiting.get(id)?.ack(answer);
  }

  /** Forgets, after a time limit, what was kept for clients that may never answer. */
  forgetLater(forget: () => void, timeout: number): void {
    const timer = setTimeout(() => {
      this.#forgetting.delete(timer);
      forget();
    }, timeout);
    this.#forgetting.add(timer);
  }

  /** Stops waiting. */
  close(): void {
    for (const timer of this.#forgetting) clearTimeout(timer);
    for (const { timer } of this.#waiting.values()) clearTimeout(timer);
    this.#waiting.clear();
  }
}
