/**
 * The heartbeat of a process: it says that the process is alive, and its own echo that both connections work.
 */

/** How often time limits are looked at, at least. */
const MAX_TICK_MS = 1_000;

/** Milliseconds. */
export interface PulseLimits {
  /** Between two heartbeats. */
  readonly interval: number;
  /** Without an echo, after which the listening connection counts as deaf. */
  readonly timeout: number;
  /** For the first echo on new connections. */
  readonly firstEcho: number;
}

/** What a pulse makes happen. */
export interface PulseEvents {
  /** A heartbeat is due. */
  beat(): void;
  /** Time has passed: others may have been silent for too long. */
  tick(): void;
  /** New connections, and nothing comes back. */
  unheard(): void;
  /** Nothing comes back any more. */
  deaf(): void;
}

/** The heartbeat. */
export class Pulse {
  readonly #limits: PulseLimits;
  readonly #events: PulseEvents;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #tickDue = 0;
  #beatDue = 0;
  #lastEcho = 0;
  #isHeard = false;

  constructor(limits: PulseLimits, events: PulseEvents) {
    this.#limits = limits;
    this.#events = events;
  }

  /** Both connections are up, and a hello is sent: it counts as a heartbeat. */
  start(): void {
    this.#lastEcho = performance.now();
    this.#beatDue = this.#lastEcho + this.#limits.interval;
    this.#isHeard = false;
    this.#schedule();
  }

  /** Something that this process sent came back; true when it is the first since the start. */
  echo(): boolean {
    this.#lastEcho = performance.now();
    const isFirst = !this.#isHeard;
    this.#isHeard = true;
    return isFirst;
  }

  /** Whether anything has come back since the start. */
  get isHeard(): boolean {
    return this.#isHeard;
  }

  /** A connection is down, or the process leaves. */
  stop(): void {
    clearTimeout(this.#timer);
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    const { interval, timeout } = this.#limits;
    const delay = Math.min(MAX_TICK_MS, interval, Math.ceil(timeout / 10));
    this.#tickDue = performance.now() + delay;
    this.#timer = setTimeout(() => this.#tick(), delay);
  }

  #tick(): void {
    const now = performance.now();
    // After a pause of this process (a blocked event loop, a suspended machine) what came meanwhile is read first.
    const wasLate = now - this.#tickDue > this.#limits.interval / 2;
    this.#schedule();
    if (wasLate) return;
    const silence = now - this.#lastEcho;
    if (!this.#isHeard) {
      if (silence < this.#limits.firstEcho) return;
      this.#lastEcho = now;
      return this.#events.unheard();
    }
    if (silence > this.#limits.timeout) return this.#events.deaf();
    this.#events.tick();
    if (now < this.#beatDue) return;
    this.#beatDue = now + this.#limits.interval;
    this.#events.beat();
  }
}
