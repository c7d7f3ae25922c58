/**
 * A link is one connection that is kept: it connects, and whenever the connection is lost connects again, for ever.
 *
 * Its phases:
 * - `idle`: made, not started.
 * - `connecting`: a session is being opened and prepared. Left for `up` when it is prepared, for `waiting` when not.
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
  /** A session that was up is lost; the next attempt follows by itself. */
  down(error: PgAdapterError): void;
  /** An attempt failed, with every host that there is; the next one follows by itself. */
  failed(error: PgAdapterError): void;
  notification?(session: Session, channel: string, payload: string): void;
}

/** One connection that is kept. */
export class Link {
  readonly #settings: ConnectionSettings;
  readonly #applicationName: string;
  readonly #limits: SessionLimits;
  readonly #events: LinkEvents;
  #phase: LinkPhase = "idle";
  #session: Session | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #attempts = 0;
  #failures = 0;
  #failingSince = 0;

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
  }

  /** Where the link stands. */
  get phase(): LinkPhase {
    return this.#phase;
  }

  /** The session while the link is up. */
  get session(): Session | undefined {
    return this.#phase === "up" ? this.#session : undefined;
  }

  /** Starts connecting. */
  start(): void {
    if (this.#phase === "idle") this.#attempt();
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
    const address = addresses[this.#attempts++ % addresses.length]!;
    const session: Session = new Session(
      this.#settings,
      address,
      this.#applicationName,
      this.#limits,
      {
        notification: (channel, payload) => this.#events.notification?.(session, channel, payload),
        lost: (error) => this.#lost(session, error),
      },
    );
    this.#session = session;
    this.#open(session).catch((fault: unknown) => {
      const error = fault instanceof PgAdapterError
        ? fault
        : new PgAdapterError("CONNECT_FAILED", `Cannot prepare a connection: ${String(fault)}`, {
          cause: fault,
        });
      session.lose(error);
      this.#lost(session, error);
    });
  }

  async #open(session: Session): Promise<void> {
    await session.open();
    await this.#events.prepare(session);
    if (this.#session !== session || this.#phase !== "connecting") return;
    this.#failures = 0;
    this.#phase = "up";
    this.#events.up(session);
  }

  #lost(session: Session, error: PgAdapterError): void {
    if (this.#session !== session || (this.#phase !== "connecting" && this.#phase !== "up")) return;
    const wasUp = this.#phase === "up";
    this.#phase = "waiting";
    if (this.#failures === 0) this.#failingSince = performance.now();
    const delay = backoffMs(
      this.#failures++,
      performance.now() - this.#failingSince,
      Math.random(),
    );
    this.#retry = setTimeout(() => this.#attempt(), delay);
    if (wasUp) this.#events.down(error);
    // Of several hosts each has its turn before it counts.
    else if (this.#failures >= this.#settings.addresses.length) this.#events.failed(error);
  }
}
