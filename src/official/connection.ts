/**
 * The connection of the other wire. It listens, sends, and fetches from the table and cleans it: one statement at a
 * time, so that each has its own time, whatever the size of the one before it. What is received goes before what is sent.
 */
import { deferred } from "../bus/deadline.ts";
import { Link, type LinkEvents } from "../bus/link.ts";
import { quoteIdentifier } from "../bus/listener.ts";
import type { Rows, Session, SessionLimits } from "../bus/session.ts";
import type { ConnectionSettings } from "../bus/settings.ts";
import { messageOf, PgAdapterError } from "../errors.ts";
import type { OfficialStatement } from "./statement.ts";

/** What a connection tells. */
export interface ConnectionEvents extends Pick<LinkEvents, "down" | "failed"> {
  /** All channels that are wanted are listened to. */
  up(): void;
  notification(channel: string, payload: string): void;
  error(error: PgAdapterError): void;
}

/** A statement that waits for its turn. */
interface Waiting {
  run(session: Session): Promise<Rows>;
  resolve(rows: Rows): void;
  reject(fault: unknown): void;
}

/** How fast a large statement has to be, at least: 1 MB a second. */
const BYTES_PER_MS = 1_000;

/** The connection of the other wire. */
export class Connection {
  readonly #link: Link;
  readonly #statementTimeout: number;
  readonly #events: ConnectionEvents;
  /** The channels that are wanted, with what settles when they are listened to for the first time. */
  readonly #wanted: Map<string, ReturnType<typeof deferred<void>>> = new Map();
  #urgent: Waiting[] = [];
  #waiting: Waiting[] = [];
  #isBusy = false;

  constructor(
    uid: string,
    settings: ConnectionSettings,
    limits: SessionLimits,
    events: ConnectionEvents,
  ) {
    this.#statementTimeout = limits.statement;
    this.#events = events;
    this.#link = new Link(settings, `socketio-pg:official:${uid}`, limits, {
      prepare: (session) => this.#prepare(session),
      up: () => {
        events.up();
        void this.#work();
      },
      down: (error, silent) => {
        this.#rejectAll(error);
        events.down(error, silent);
      },
      failed: events.failed,
      notification: (_session, channel, payload) => events.notification(channel, payload),
    });
  }

  /** Starts connecting. */
  start(): void {
    this.#link.start();
  }

  /** Whether it works. */
  get isUp(): boolean {
    return this.#link.phase === "up";
  }

  /**
   * Listens to a channel, from now on and over all connections.
   *
   * @returns A promise that settles when LISTEN is acknowledged for the first time, and never rejects.
   */
  listen(channel: string): Promise<void> {
    let acknowledged = this.#wanted.get(channel);
    if (acknowledged === undefined) {
      this.#wanted.set(channel, acknowledged = deferred());
      this.#change(`listen ${quoteIdentifier(channel)}`, () => acknowledged!.resolve());
    }
    return acknowledged.promise;
  }

  /** Listens to a channel no more. */
  unlisten(channel: string): void {
    this.#wanted.get(channel)?.resolve();
    if (this.#wanted.delete(channel)) {
      this.#change(`unlisten ${quoteIdentifier(channel)}`, () => {});
    }
  }

  /**
   * Runs a statement when its turn comes.
   *
   * @param isUrgent Whether it goes before those that are not.
   * @throws PgAdapterError `CONNECTION_LOST` when the connection is lost, `DISCONNECTED` when there is none; otherwise
   * what PostgreSQL refused the statement with.
   */
  run({ text, parameters }: OfficialStatement, isUrgent: boolean = false): Promise<Rows> {
    const length = parameters.reduce((sum, parameter) => sum + parameter.length, 0);
    const ms = this.#statementTimeout + length / BYTES_PER_MS;
    return this.#enqueue((session) => session.query(text, parameters, ms), isUrgent);
  }

  /** Closes the connection. */
  async close(): Promise<void> {
    await this.#link.close();
    for (const acknowledged of this.#wanted.values()) acknowledged.resolve();
    this.#wanted.clear();
    this.#rejectAll(
      new PgAdapterError("CLOSED", "Cannot run a statement as the adapter was closed"),
    );
  }

  /** A new session listens to all that is wanted; what is wanted meanwhile waits for its turn. */
  async #prepare(session: Session): Promise<void> {
    const channels = [...this.#wanted];
    if (channels.length === 0) return;
    await session.query(channels.map(([name]) => `listen ${quoteIdentifier(name)}`).join(";"));
    for (const [, acknowledged] of channels) acknowledged.resolve();
  }

  #change(text: string, changed: () => void): void {
    // The next session listens to what is wanted then.
    if (this.#link.phase !== "up" && this.#link.phase !== "connecting") return;
    this.#enqueue((session) => session.query(text), true).then(changed, (fault: unknown) => {
      if (fault instanceof PgAdapterError) return;
      this.#events.error(
        new PgAdapterError(
          "LISTEN_FAILED",
          `Cannot listen to servers of @socket.io/postgres-adapter as PostgreSQL refused "${text}": ${
            messageOf(fault)
          }`,
          { cause: fault },
        ),
      );
    });
  }

  #enqueue(run: Waiting["run"], isUrgent: boolean): Promise<Rows> {
    const phase = this.#link.phase;
    if (phase !== "up" && phase !== "connecting") {
      return Promise.reject(
        new PgAdapterError(
          "DISCONNECTED",
          "Cannot reach servers of @socket.io/postgres-adapter as the connection is lost",
        ),
      );
    }
    return new Promise((resolve, reject) => {
      (isUrgent ? this.#urgent : this.#waiting).push({ run, resolve, reject });
      void this.#work();
    });
  }

  /** What each statement comes to is told to who waits for it. */
  async #work(): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    for (;;) {
      const { session } = this.#link;
      const next = session === undefined
        ? undefined
        : this.#urgent.shift() ?? this.#waiting.shift();
      if (next === undefined) break;
      await next.run(session!).then(next.resolve, next.reject);
    }
    this.#isBusy = false;
  }

  #rejectAll(error: PgAdapterError): void {
    const all = [...this.#urgent, ...this.#waiting];
    this.#urgent = [];
    this.#waiting = [];
    for (const { reject } of all) reject(error);
  }
}
