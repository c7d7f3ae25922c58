/**
 * Listens to channels of a cluster without being a member of it: it takes no lock, so it is not counted, answers nobody,
 * and is asked nothing. The only thing that it notifies is a channel that nobody else listens to.
 */
import { deferred } from "../bus/deadline.ts";
import { Link } from "../bus/link.ts";
import { quoteIdentifier } from "../bus/listener.ts";
import type { Session, SessionLimits } from "../bus/session.ts";
import type { ConnectionSettings } from "../bus/settings.ts";
import { PgAdapterError } from "../errors.ts";
import { createUid } from "../wire/frame.ts";

// The session is its own: the server gives it up when it does not read, which would block every NOTIFY.
const LIMITS: SessionLimits = { connect: 5_000, statement: 5_000, isOwn: true };

/** What an eavesdropper tells. */
export interface EavesdropperEvents {
  /** It listens, for the first time or again. */
  up(): void;
  /** The connection is lost; it comes again by itself. */
  down(error: PgAdapterError): void;
  /** It could not connect; it goes on trying. */
  failed(error: PgAdapterError): void;
  notification(channel: string, payload: string): void;
}

/** One connection that listens. */
export class Eavesdropper {
  readonly #channels: readonly string[];
  readonly #probe: string = `socketio-pg:monitor:${createUid()}`;
  readonly #link: Link;
  #heard = deferred<void>();

  constructor(
    settings: ConnectionSettings,
    channels: readonly string[],
    events: EavesdropperEvents,
  ) {
    this.#channels = channels;
    this.#link = new Link(settings, "socketio-pg:monitor", LIMITS, {
      prepare: (session) => this.#prepare(session),
      up: () => events.up(),
      down: events.down,
      failed: events.failed,
      notification: (_session, channel, payload) => {
        if (channel === this.#probe) this.#heard.resolve();
        else events.notification(channel, payload);
      },
    });
  }

  /** Starts connecting. */
  start(): void {
    this.#link.start();
  }

  /** Makes sure that the connection is there. Never rejects. */
  async check(ms: number): Promise<void> {
    await this.#link.check(ms);
  }

  /** Ends the connection. */
  async close(): Promise<void> {
    await this.#link.close();
  }

  /** A pooler in transaction mode accepts LISTEN and delivers nothing; a notification of one's own shows that. */
  async #prepare(session: Session): Promise<void> {
    const channels = [this.#probe, ...this.#channels];
    await session.query(channels.map((each) => `listen ${quoteIdentifier(each)}`).join(";"));
    this.#heard = deferred();
    await session.notify(this.#probe, "");
    await session.wait(this.#heard.promise, () =>
      new PgAdapterError(
        "NO_LOOPBACK",
        "Cannot listen as a notification of our own did not come back: a pooler in transaction mode in between does that; give a direct address",
      ));
  }
}
