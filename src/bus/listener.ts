/**
 * Listens, on one connection. Channels are wanted or not; what is wanted is LISTENed at once, all of a tick in one
 * round trip, and again on each new connection.
 */
import { messageOf, PgAdapterError } from "../errors.ts";
import { frameStart } from "../wire/frame.ts";
import { type Deferred, deferred } from "./deadline.ts";
import { Link, type LinkEvents } from "./link.ts";
import type { Presence } from "./presence.ts";
import type { Session, SessionLimits } from "./session.ts";
import { codeOf, QUEUE_FULL } from "./sql_state.ts";
import type { ConnectionSettings } from "./settings.ts";

/** What a listener tells. */
export type ListenerEvents = Pick<LinkEvents, "down" | "failed"> & {
  /**
   * All that was wanted is listened to.
   *
   * @param opening What is wanted since then, if anything.
   */
  up(opening: number | undefined): void;
  notification(channel: string, payload: string): void;
  error(error: PgAdapterError): void;
  /**
   * A channel is wanted that is not listened to yet; from here on its messages are missed.
   *
   * @param opening What it returned for the channels that are to be listened to together with this one, if any.
   * @returns What `listening` is called with.
   */
  opening(opening?: number): number;
  /** The channels of an opening are listened to; none, when nothing came of it. */
  listening(opening: number, channels: readonly string[]): void;
  /** A channel is not listened to any more. */
  unlistened(channel: string): void;
};

/** A channel that is wanted. */
interface Wanted {
  /** Settles when LISTEN is acknowledged for the first time, or when it is moot. */
  acknowledged: Deferred<void>;
  isAcknowledged: boolean;
}

/** The connection that only listens. */
export class Listener {
  readonly #presence: Presence;
  readonly #probeChannel: string;
  readonly #probeStart: string;
  readonly #limits: SessionLimits;
  readonly #events: ListenerEvents;
  readonly #link: Link;
  readonly #wanted: Map<string, Wanted> = new Map();
  /** What the current session listens to. */
  #listening: Set<string> = new Set();
  /** What it is about to listen to no more. */
  #leaving: readonly string[] = [];
  /** Those who wait for LISTEN as long as there is a connection. */
  readonly #joining: Set<() => void> = new Set();
  /** What will be listened to in the next round. */
  #opening: number | undefined;
  /** What may have to be listened to or not any more. */
  #changed: Set<string> = new Set();
  #busy = false;
  #scheduled = false;
  #peers = 0;
  #probe: { payload: string; heard: Deferred<void> } | undefined;
  #probes = 0;

  /**
   * @param presence How the processes of the cluster are counted.
   * @param probeChannel A channel that only this process listens to.
   */
  constructor(
    uid: string,
    presence: Presence,
    probeChannel: string,
    settings: ConnectionSettings,
    limits: SessionLimits,
    events: ListenerEvents,
  ) {
    this.#presence = presence;
    this.#probeChannel = probeChannel;
    this.#probeStart = frameStart("p", uid);
    this.#limits = limits;
    this.#events = events;
    this.#link = new Link(settings, `socketio-pg:listen:${uid}`, limits, {
      prepare: (session) => this.#prepare(session),
      up: () => {
        events.up(this.#opening);
        this.#schedule();
      },
      down: (error) => {
        for (const settle of this.#joining) settle();
        this.#joining.clear();
        const heard = [...this.#listening, ...this.#leaving];
        this.#listening = new Set();
        this.#leaving = [];
        for (const channel of heard) if (!this.#wanted.has(channel)) events.unlistened(channel);
        events.down(error);
      },
      failed: events.failed,
      notification: (_session, channel, payload) => this.#notified(channel, payload),
    });
  }

  /** Starts connecting. */
  start(): void {
    this.#link.start();
  }

  /** Whether it is connected and hears itself. */
  get isUp(): boolean {
    return this.#link.phase === "up";
  }

  /** How often it was connected again after the connection was lost. */
  get reconnects(): number {
    return this.#link.reconnects;
  }

  /** How many processes of the cluster were there when it connected, this one included. */
  get peers(): number {
    return this.#peers;
  }

  /** How many channels are wanted, or still listened to. */
  get channels(): number {
    let unwanted = this.#leaving.length;
    for (const channel of this.#listening) if (!this.#wanted.has(channel)) unwanted++;
    return this.#wanted.size + unwanted;
  }

  /** Makes sure that the connection is there. Called when nothing was heard for a while. */
  async check(ms: number): Promise<void> {
    await this.#link.check(ms);
  }

  /**
   * Wants a channel.
   *
   * @returns A promise that settles when LISTEN is acknowledged, and never rejects; nothing when it already is.
   */
  listen(channel: string): Promise<void> | undefined {
    let wanted = this.#wanted.get(channel);
    if (wanted === undefined) {
      const isAcknowledged = this.#listening.has(channel);
      wanted = { acknowledged: deferred(), isAcknowledged };
      this.#wanted.set(channel, wanted);
      if (!isAcknowledged) {
        // It may be about to be left; what was sent to it since then is not missing.
        this.#events.unlistened(channel);
        this.#opening = this.#events.opening(this.#opening);
      }
      this.#change(channel);
    }
    return wanted.isAcknowledged ? undefined : wanted.acknowledged.promise;
  }

  /**
   * Like {@linkcode listen}, for those who do not wait for a database that is away: what is sent meanwhile is asked for
   * later.
   */
  join(channel: string): Promise<void> | undefined {
    const acknowledged = this.listen(channel);
    if (acknowledged === undefined || !this.isUp) return undefined;
    return new Promise((resolve) => {
      this.#joining.add(resolve);
      acknowledged.then(() => {
        this.#joining.delete(resolve);
        resolve();
      });
    });
  }

  /** Which of these processes do not listen at the moment; none, when that cannot be found out. Never rejects. */
  async absent(uids: readonly string[]): Promise<string[]> {
    const { session } = this.#link;
    if (session === undefined || uids.length === 0) return [];
    try {
      return await this.#presence.absent(session, uids);
    } catch (_fault) {
      // The connection is told of by the link; who asks takes them for there.
      return [];
    }
  }

  /** How full the queue of notifications is, between 0 and 1; nothing when that cannot be found out. Never rejects. */
  async queueUsage(): Promise<number | undefined> {
    const { session } = this.#link;
    if (session === undefined) return undefined;
    try {
      const [row] = await session.query("select pg_notification_queue_usage() as usage");
      return Number(row?.usage);
    } catch (_fault) {
      // The connection is told of by the link; a refusal leaves it unknown.
      return undefined;
    }
  }

  /** Wants a channel no longer. */
  unlisten(channel: string): void {
    const wanted = this.#wanted.get(channel);
    if (wanted === undefined) return;
    this.#wanted.delete(channel);
    wanted.acknowledged.resolve();
    // In an outage nobody will say so later.
    if (!this.#listening.has(channel)) this.#events.unlistened(channel);
    this.#change(channel);
  }

  /** Gives the current connection up, since it does not hear what it should. */
  replace(error: PgAdapterError): void {
    this.#link.session?.lose(error);
  }

  /** Closes the connection. */
  async close(): Promise<void> {
    await this.#link.close();
    for (const { acknowledged } of this.#wanted.values()) acknowledged.resolve();
    this.#wanted.clear();
  }

  #change(channel: string): void {
    this.#changed.add(channel);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#busy) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      if (!this.#busy) this.#apply().catch((fault: unknown) => this.#failed(fault));
    });
  }

  /** Brings what the session listens to in line with what is wanted. */
  async #apply(): Promise<void> {
    this.#busy = true;
    try {
      while (this.#changed.size > 0) {
        const { session } = this.#link;
        if (session === undefined) return;
        const changed = [...this.#changed];
        const opening = this.#opening;
        this.#changed = new Set();
        this.#opening = undefined;
        const add = changed.filter((channel) =>
          this.#wanted.has(channel) && !this.#listening.has(channel)
        );
        const remove = changed.filter((channel) =>
          !this.#wanted.has(channel) && this.#listening.has(channel)
        );
        // Not listened to from now on: who wants one of them again meanwhile waits for the next round.
        for (const channel of remove) this.#listening.delete(channel);
        this.#leaving = remove;
        if (add.length + remove.length > 0) await session.query(listenText(add, remove));
        // With its connection what was opened is part of a greater outage.
        if (this.#link.session !== session) return;
        for (const channel of remove) this.#events.unlistened(channel);
        this.#leaving = [];
        if (opening !== undefined) this.#events.listening(opening, add);
        this.#acknowledge(add);
      }
    } finally {
      this.#busy = false;
    }
  }

  /** A new session: listen to all that is wanted, then hear itself. */
  async #prepare(session: Session): Promise<void> {
    this.#changed = new Set();
    this.#leaving = [];
    this.#opening = undefined;
    const channels = [...this.#wanted.keys()];
    await session.query(listenText([this.#probeChannel, ...channels], []));
    await this.#hearItself(session);
    // Not before: a pooler in transaction mode, which is found out by that, would keep the lock.
    await this.#presence.take(session);
    this.#peers = await this.#presence.count(session);
    this.#listening = new Set();
    this.#acknowledge(channels);
  }

  /**
   * A pooler in transaction mode accepts LISTEN and delivers nothing, without any error; hearing one's own notification
   * on the very session is what proves it.
   */
  async #hearItself(session: Session): Promise<void> {
    const payload = `${this.#probeStart}${++this.#probes};`;
    const heard = deferred<void>();
    this.#probe = { payload, heard };
    try {
      await session.notify(this.#probeChannel, payload);
    } catch (fault) {
      if (codeOf(fault) !== QUEUE_FULL) throw fault;
      // The session before this one may have been what held it up, which PostgreSQL finds out when it is asked.
      await session.query("select pg_notification_queue_usage()");
      await session.notify(this.#probeChannel, payload);
    }
    await session.wait(heard.promise, () =>
      new PgAdapterError(
        "NO_LOOPBACK",
        `Cannot listen as a notification to "${this.#probeChannel}" did not come back within ${this.#limits.statement} ms: a pooler in transaction mode in between does that; give a direct address with the option "listen"`,
      ));
  }

  #acknowledge(channels: readonly string[]): void {
    for (const channel of channels) {
      this.#listening.add(channel);
      const wanted = this.#wanted.get(channel);
      if (wanted === undefined) {
        // It was given up meanwhile.
        this.#change(channel);
        continue;
      }
      wanted.isAcknowledged = true;
      wanted.acknowledged.resolve();
    }
  }

  #notified(channel: string, payload: string): void {
    if (payload.startsWith(this.#probeStart)) {
      if (payload === this.#probe?.payload) this.#probe.heard.resolve();
      return;
    }
    this.#events.notification(channel, payload);
  }

  #failed(fault: unknown): void {
    // A lost connection is told by the link, and all that is wanted is listened to again by the next session.
    if (fault instanceof PgAdapterError) return;
    const error = new PgAdapterError(
      "LISTEN_FAILED",
      `Cannot listen as PostgreSQL refused it: ${messageOf(fault)}`,
      {
        cause: fault,
      },
    );
    this.#events.error(error);
    this.replace(error);
  }
}

/** Quotes an identifier. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

function listenText(add: readonly string[], remove: readonly string[]): string {
  return [
    ...remove.map((channel) => `unlisten ${quoteIdentifier(channel)}`),
    ...add.map((channel) => `listen ${quoteIdentifier(channel)}`),
  ].join(";");
}
