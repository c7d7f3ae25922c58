/**
 * The heartbeat of a process, and the proof that both of its connections work: a heartbeat that PostgreSQL has taken
 * must come back on the listening connection; one that is silent is asked whether it is still there.
 */

/** How often time limits are looked at, at least. */
const MAX_TICK_MS = 1_000;
/**
 * How many times the limit of the first echo may pass where PostgreSQL takes nothing: what is slow is for the time limits
 * of the statements (the one under way, and the hello's own), but what is refused for good is never taken.
 */
const UNTAKEN = 3;

/** Milliseconds. */
export interface PulseLimits {
  /** Between two heartbeats; also the longest silence of the listening connection that is not looked into. */
  readonly interval: number;
  /** From when PostgreSQL has taken a heartbeat until it must have come back. */
  readonly echo: number;
  /** From when PostgreSQL has taken the first thing on new connections until it must have come back. */
  readonly firstEcho: number;
}

/** What a pulse makes happen. */
export interface PulseEvents {
  /**
   * A heartbeat is due.
   *
   * @returns The number of the last frame that was made before it.
   */
  beat(): number;
  /** A heartbeat came back, so many milliseconds after it was due: sent, committed and heard, with what waited before it. */
  returned(milliseconds: number): void;
  /** Time has passed while others could be heard. */
  tick(): void;
  /** Time has passed: others may have been silent for too long. */
  sweep(): void;
  /** New connections, and nothing comes back. */
  unheard(): void;
  /** Nothing comes back any more. */
  deaf(): void;
  /** The listening connection has been silent for a while. */
  silent(): void;
}

/** The heartbeat. */
export class Pulse {
  readonly #limits: PulseLimits;
  readonly #events: PulseEvents;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #tickDue = 0;
  #beatDue = 0;
  /** By when the first echo must be there, and whether something was taken that must come back. */
  #first: { due: number; isTaken: boolean } = { due: 0, isTaken: false };
  /** When the listening connection was last heard, or asked whether it is there. */
  #lastHeard = 0;
  /** Whether a heartbeat is under way that has not come back. */
  #isExpecting = false;
  /** When that heartbeat was due, and the number of the last frame before it. */
  #beaten: { at: number; after: number } = { at: 0, after: 0 };
  /** The last heartbeat that PostgreSQL has taken and that has not come back. */
  #taken: { sequence: number; at: number } | undefined;
  /** The highest sequence number that came back. */
  #echoed = 0;
  /** When it came back, as far as it mattered. */
  #echoedAt = 0;
  #isHeard = false;
  /** Whether there is no way to send a heartbeat. */
  #isResting = false;

  constructor(limits: PulseLimits, events: PulseEvents) {
    this.#limits = limits;
    this.#events = events;
  }

  /** Both connections are up, and a hello is sent: it counts as a heartbeat. */
  start(): void {
    const now = performance.now();
    this.#lastHeard = now;
    this.#first = this.#firstFrom(now);
    this.#beatDue = now + this.#limits.interval;
    this.#taken = undefined;
    this.#isExpecting = false;
    this.#isHeard = false;
    this.#isResting = false;
    this.#schedule();
  }

  /** Only the listening connection is up: time passes, and that is all. */
  rest(): void {
    this.#isResting = true;
    this.#schedule();
  }

  /** PostgreSQL has taken something that must come back. */
  taken(sequence: number): void {
    if (!this.#isHeard && !this.#first.isTaken) {
      this.#first = { due: performance.now() + this.#limits.firstEcho, isTaken: true };
    }
    if (!this.#isExpecting) return;
    // It may have come back before PostgreSQL said that it had taken it.
    if (sequence > this.#echoed) this.#taken ??= { sequence, at: performance.now() };
    else this.#returned(sequence);
  }

  /** Whether it matters that something comes back. */
  get isWaiting(): boolean {
    return !this.#isHeard || this.#isExpecting;
  }

  /** Something came on the listening connection. */
  heard(): void {
    this.#lastHeard = performance.now();
  }

  /** Something that this process sent came back; true when it is the first since the start. */
  echo(sequence: number): boolean {
    if (sequence > this.#echoed) {
      this.#echoed = sequence;
      if (this.#isExpecting) this.#echoedAt = performance.now();
    }
    if (this.#taken !== undefined && this.#taken.sequence <= this.#echoed) {
      this.#returned(this.#taken.sequence);
    }
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

  #firstFrom(now: number): { due: number; isTaken: boolean } {
    return { due: now + UNTAKEN * this.#limits.firstEcho, isTaken: false };
  }

  #returned(sequence: number): void {
    this.#taken = undefined;
    this.#isExpecting = false;
    const { at, after } = this.#beaten;
    // What was on its way before the heartbeat was due proves the same, and says nothing of how long that took.
    if (sequence > after) this.#events.returned(this.#echoedAt - at);
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    const { interval, echo } = this.#limits;
    const delay = Math.min(MAX_TICK_MS, interval, Math.ceil(echo / 4));
    this.#tickDue = performance.now() + delay;
    this.#timer = setTimeout(() => this.#tick(), delay);
  }

  #tick(): void {
    const now = performance.now();
    // After a pause of this process (a blocked event loop, a suspended machine) what came meanwhile is read first.
    const wasLate = now - this.#tickDue > this.#limits.interval / 2;
    this.#schedule();
    if (wasLate) {
      if (this.#taken !== undefined) this.#taken.at = now;
      return;
    }
    this.#events.tick();
    if (this.#isResting) return;
    if (!this.#isHeard) {
      if (now < this.#first.due) return;
      this.#first = this.#firstFrom(now);
      return this.#events.unheard();
    }
    if (this.#taken !== undefined && now - this.#taken.at > this.#limits.echo) {
      return this.#events.deaf();
    }
    if (now - this.#lastHeard > this.#limits.interval) {
      this.#lastHeard = now;
      this.#events.silent();
    }
    this.#events.sweep();
    if (now < this.#beatDue) return;
    this.#beatDue = now + this.#limits.interval;
    const beaten = { at: performance.now(), after: this.#events.beat() };
    // While one has not come back it is that one which is waited for.
    if (!this.#isExpecting) this.#beaten = beaten;
    this.#isExpecting = true;
  }
}
