/**
 * A link is one connection that is kept: it connects, and whenever the connection is lost connects again, for ever.
 *
 * Its phases:
 * - `idle`: made, not started.
 * - `connecting`: a session is being opened and prepared, on one host after the other. Left for `up` when it is prepared,
 *   for `waiting` when all hosts have failed.
 * - `up`: the session works. Left for `waiting` when it is lost.
 * - `waiting`: until the next attempt, see `backoff.ts`.
 * - `closed`: final; an attempt that is under way undoes itself.
 */
import { PgAdapterError } from "../errors.ts";
import { backoffMs } from "./backoff.ts";
import { Session, type SessionLimits } from "./session.ts";
import type { ConnectionSettings } from "./settings.ts";

/** Where a link stands. */
export type LinkPhase = "idle" | "connecting" | "up" | "waiting" | "closed";

/** What a link tells its owner. */
export interface LinkEvents {
  /** A session is open: LISTEN, probe. A rejection fails the attempt. */
  prepare(session: Session): Promise<void>;
  /** The session is prepared. */
  up(session: Session): void;
  /**
   * A session that was up is lost; the next attempt follows by itself.
   *
   * @param silent Whether the server just stopped answering, instead of closing or refusing: others may have the same to
   * expect.
   */
  down(error: PgAdapterError, silent?: boolean): void;
  /** An attempt failed, with every host that there is; the next one follows by itself. */
  failed(error: PgAdapterError): void;
  notification?(session: Session, channel: string, payload: string): void;
}

/** A session that lives for less is a short one. */
const SHORT_LIFE_MS = 5_000;

/** How many short ones in a row are taken for chance. */
const FREE_LIVES = 5;

/** One connection that is kept. */
export class Link {
  readonly #settings: ConnectionSettings;
  readonly #applicationName: string;
  readonly #limits: SessionLimits;
  readonly #events: LinkEvents;
  #phase: LinkPhase = "idle";
  #session: Session | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #prepares: boolean;
  /** The host that worked last. */
  #first = 0;
  /** What the hosts of this round failed with, in order. */
  #round: PgAdapterError[] = [];
  #failures = 0;
  #failingSince = 0;
  #upSince = 0;
  /** How many sessions in a row did not live for long. */
  #shortLives = 0;
  /** How many sessions worked so far. */
  #sessions = 0;

  constructor(
    settings: ConnectionSettings,
    applicationName: string,
    limits: SessionLimits,
    events: LinkEvents,
  ) {
    this.#settings = settings;
    this.#applicationName = applicationName;
    this.#limits = limits;
    this.#events = events;
    this.#prepares = settings.prepare;
  }

  /** Where the link stands. */
  get phase(): LinkPhase {
    return this.#phase;
  }

  /** The session while the link is up. */
  get session(): Session | undefined {
    return this.#phase === "up" ? this.#session : undefined;
  }

  /** How often it worked again after it was lost. */
  get reconnects(): number {
    return Math.max(0, this.#sessions - 1);
  }

  /** Starts connecting. */
  start(): void {
    if (this.#phase === "idle") this.#attempt();
  }

  /**
   * Asks a session that is up for a sign of life, and gives it up when there is none in time.
   *
   * @returns Whether the link is up and answers.
   */
  async check(ms: number): Promise<boolean> {
    try {
      await this.session?.check(ms);
    } catch (_loss) {
      // It is told as `down`.
    }
    return this.#phase === "up";
  }

  /** Closes the connection and stops connecting. */
  async close(): Promise<void> {
    this.#phase = "closed";
    clearTimeout(this.#retry);
    await this.#session?.end();
  }

  #attempt(): void {
    this.#phase = "connecting";
    const { addresses } = this.#settings;
    const host = (this.#first + this.#round.length) % addresses.length;
    const session: Session = new Session(
      { ...this.#settings, prepare: this.#prepares },
      addresses[host]!,
      this.#applicationName,
      this.#limits,
      {
        notification: (channel, payload) => this.#events.notification?.(session, channel, payload),
        lost: (error, silent) => this.#lost(session, error, silent),
      },
    );
    this.#session = session;
    this.#open(session, host).catch((fault: unknown) => {
      const error = fault instanceof PgAdapterError
        ? fault
        : new PgAdapterError("CONNECT_FAILED", `Cannot prepare a connection: ${String(fault)}`, {
          cause: fault,
        });
      session.lose(error);
      this.#lost(session, error, false);
    });
  }

  async #open(session: Session, host: number): Promise<void> {
    await session.open();
    await this.#events.prepare(session);
    if (this.#session !== session || this.#phase !== "connecting") return;
    this.#upSince = performance.now();
    this.#round = [];
    this.#first = host;
    this.#phase = "up";
    this.#sessions++;
    this.#events.up(session);
  }

  #lost(session: Session, error: PgAdapterError, silent: boolean): void {
    if (this.#session !== session) return;
    this.#prepares &&= session.prepares;
    if (this.#phase === "up") {
      const isShort = performance.now() - this.#upSince < SHORT_LIFE_MS;
      this.#shortLives = isShort ? this.#shortLives + 1 : 0;
      // One that comes up and dies at its first statement, again and again, is a failure like others.
      this.#failures = Math.max(0, this.#shortLives - FREE_LIVES);
      this.#wait();
      return this.#events.down(error, silent);
    }
    if (this.#phase !== "connecting") return;
    this.#round.push(error);
    if (this.#round.length < this.#settings.addresses.length) return this.#attempt();
    const failure = failureOf(this.#round);
    this.#wait();
    this.#events.failed(failure);
  }

  /** Until the next round. */
  #wait(): void {
    this.#phase = "waiting";
    this.#round = [];
    if (this.#failures === 0) this.#failingSince = performance.now();
    const delay = backoffMs(
      this.#failures++,
      performance.now() - this.#failingSince,
      Math.random(),
    );
    this.#retry = setTimeout(() => this.#attempt(), delay);
  }
}

/** What all hosts failed with. Its code is that of a host that answers, if one does: it says more than one that is away. */
function failureOf(errors: readonly PgAdapterError[]): PgAdapterError {
  const [first] = errors;
  if (errors.length === 1) return first!;
  const { code } = errors.find(({ code }) => code !== "CONNECT_FAILED") ?? first!;
  const message = errors.map(({ message }) => message).join("; ");
  return new PgAdapterError(code, message, { cause: new AggregateError(errors, message) });
}
