/**
 * Two connections, as a server has them: one that listens, and one that publishes. What is notified on the one and heard
 * on the other shows that both work, and how long that takes.
 */
import { deferred } from "../bus/deadline.ts";
import { quoteIdentifier } from "../bus/listener.ts";
import type { Session } from "../bus/session.ts";
import type { ConnectionSettings } from "../bus/settings.ts";
import { PgAdapterError } from "../errors.ts";
import { createUid } from "../wire/frame.ts";
import { type OpenSession, openSession } from "./database.ts";

/** Milliseconds for a statement, and for a notification to come back: the default of servers. */
const STATEMENT_MS = 3_000;

/** A connection that listens, and one that publishes. */
export class Listening {
  /** The connection that listens, and what is known of it. */
  readonly opened: OpenSession;
  readonly #settings: ConnectionSettings;
  readonly #name: string;
  readonly #probe: string;
  /** One for all, also for those who publish while it connects. */
  #publisher: Promise<Session> | undefined;
  #count = 0;
  #awaited: { payload: string; heard: () => void } | undefined;

  private constructor(
    settings: ConnectionSettings,
    name: string,
    probe: string,
    opened: OpenSession,
  ) {
    this.#settings = settings;
    this.#name = name;
    this.#probe = probe;
    this.opened = opened;
  }

  /**
   * Connects; nothing is listened to yet.
   *
   * @param name What others see as the "application_name".
   * @param notification Gets what is heard, besides notifications of its own.
   * @throws PgAdapterError when it cannot connect.
   */
  static async open(
    settings: ConnectionSettings,
    name: string,
    notification: (channel: string, payload: string) => void = () => {},
  ): Promise<Listening> {
    const probe = `${name}:${createUid()}`;
    const opened = await openSession(settings, {
      name,
      statementMs: STATEMENT_MS,
      // A session that listens and does not read would hold up every NOTIFY: the server gives it up.
      isOwn: true,
      notification: (channel, payload) => {
        if (channel !== probe) return notification(channel, payload);
        if (payload === listening.#awaited?.payload) listening.#awaited.heard();
      },
    });
    const listening: Listening = new Listening(settings, name, probe, opened);
    return listening;
  }

  /** The connection that listens. */
  get session(): Session {
    return this.opened.session;
  }

  /**
   * Listens to channels, and to one of its own.
   *
   * @throws What PostgreSQL refuses it with.
   */
  async listen(channels: readonly string[]): Promise<void> {
    const all = [this.#probe, ...channels];
    await this.session.query(all.map((each) => `listen ${quoteIdentifier(each)}`).join(";"));
  }

  /**
   * Publishes on a channel, over a connection of its own to the same host.
   *
   * @throws PgAdapterError when it cannot connect; what PostgreSQL refuses it with.
   */
  async publish(channel: string, payload: string): Promise<void> {
    this.#publisher ??= this.#connect();
    const publisher = await this.#publisher;
    await publisher.query("select pg_notify($1,$2)", [channel, payload]);
  }

  /**
   * Hears a notification of its own. The first time takes longer, as it connects.
   *
   * @returns How many milliseconds it took from one connection to the other.
   * @throws PgAdapterError `NO_LOOPBACK` when it does not come; what {@linkcode Listening.publish} throws.
   */
  async roundTrip(): Promise<number> {
    const { promise, resolve } = deferred<number>();
    const payload = `${++this.#count}`;
    const start = performance.now();
    this.#awaited = { payload, heard: () => resolve(performance.now() - start) };
    await this.publish(this.#probe, payload);
    return await this.session.wait(promise, () =>
      new PgAdapterError(
        "NO_LOOPBACK",
        `Cannot listen as a notification of our own did not come back within ${STATEMENT_MS} ms: a pooler in transaction mode in between does that; give a direct address`,
      ));
  }

  /** Closes both connections. Never rejects. */
  async close(): Promise<void> {
    // Who waits for it is told of a failure.
    const publisher = this.#publisher?.then((session) => session.end(), () => {});
    await Promise.all([this.session.end(), publisher]);
  }

  async #connect(): Promise<Session> {
    const { address } = this.opened;
    const { session } = await openSession({ ...this.#settings, addresses: [address] }, {
      name: this.#name,
      statementMs: STATEMENT_MS,
      isOwn: true,
    });
    return session;
  }
}
