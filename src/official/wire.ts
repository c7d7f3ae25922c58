/**
 * The other wire of a process: the channels of its namespaces in a cluster of `@socket.io/postgres-adapter`, where it
 * looks like one of theirs.
 */
import { deferred, withDeadline } from "../bus/deadline.ts";
import type { SessionLimits } from "../bus/session.ts";
import type { ConnectionSettings } from "../bus/settings.ts";
import { codeOf } from "../bus/sql_state.ts";
import { messageOf, PgAdapterError } from "../errors.ts";
import type { ResolvedOptions } from "../options.ts";
import { type Message, MessageType } from "../wire/message.ts";
import { Connection } from "./connection.ts";
import { encodeOfficial, officialChannel, type OfficialMessage } from "./message.ts";
import type { OfficialOptions } from "./options.ts";
import { isPresence, Receiver } from "./receiver.ts";
import { Sender } from "./sender.ts";
import { keyOfServer, Servers } from "./servers.ts";
import { CLEANED, cleanStatement } from "./statement.ts";

/** Counts of the other wire. */
export interface OfficialStats {
  /** How many servers of theirs are known: the most that any namespace has. */
  servers: number;
  /** Messages that PostgreSQL has taken. */
  sent: number;
  /** Messages that it has not, or of which nobody knows. */
  dropped: number;
  /** Messages that came from servers of theirs and from emitters, signs of life among them. */
  received: number;
  /** What could not be read. */
  malformed: number;
}

/** What the other wire tells. */
export interface OfficialEvents {
  /**
   * A message of a server of theirs, or of an emitter.
   *
   * @param key What the server is called among those who owe an answer; nothing for an emitter.
   * @throws MalformedMessage when it is refused.
   */
  receive(key: string | undefined, message: Message): void;
  /** A server of theirs is gone, and owes no answer any more. */
  gone(key: string, nsp: string): void;
  /** The event and its arguments in a broadcast of this process; nothing where its namespace is closed by now. */
  eventOf(message: Message): unknown[] | undefined;
  error(error: PgAdapterError): void;
}

/** How often those who were silent for too long are looked for. */
const SWEEP_MS = 1_000;

/** How long the answers to the first hello may take: nobody says how many there are to come. */
const HELLO_MS = 250;

/** How long closing waits for a connection that is down. */
const LAST_ATTEMPT_MS = 1_000;

/** More than the packet that lies in the table: its rooms, for the most part. */
const AROUND_PACKET_BYTES = 1_000_000;

/** The other wire of a process. */
export class OfficialWire {
  readonly #uid: string;
  readonly #options: ResolvedOptions;
  readonly #official: OfficialOptions;
  readonly #events: OfficialEvents;
  readonly #connection: Connection;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #servers: Servers;
  /** The namespaces by their channels. */
  readonly #namespaces: Map<string, string> = new Map();
  readonly #timers: ReturnType<typeof setInterval>[] = [];
  /** Settles when servers of theirs have had the time to say that they are there. */
  readonly #acquainted: ReturnType<typeof deferred<void>> = deferred();
  #hello: ReturnType<typeof setTimeout> | undefined;
  #isAcquainted = false;
  /** Settles when the connection works again; there while it does not. */
  #back: ReturnType<typeof deferred<void>> | undefined;
  /** Those who wait for the first connection. */
  #attempt: ReturnType<typeof deferred<void>> | undefined;
  readonly #told: Set<string> = new Set();
  #sequence = 0;
  #isClosed = false;

  constructor(
    uid: string,
    settings: ConnectionSettings,
    limits: SessionLimits,
    options: ResolvedOptions,
    official: OfficialOptions,
    events: OfficialEvents,
  ) {
    this.#uid = uid;
    this.#options = options;
    this.#official = official;
    this.#events = events;
    const error = (fault: PgAdapterError) => {
      if (!this.#isClosed) events.error(fault);
    };
    const connection = this.#connection = new Connection(uid, settings, limits, {
      up: () => this.#up(),
      down: (fault) => this.#down(fault),
      failed: (fault) => this.#failed(fault),
      notification: (channel, payload) => {
        const nsp = this.#namespaces.get(channel);
        if (nsp !== undefined) this.#receiver.notified(nsp, payload);
      },
      error,
    });
    this.#sender = new Sender(connection, official.tableName, options.maxBuffer, error);
    this.#receiver = new Receiver({
      table: official.tableName,
      maxBytes: options.maxPayload + AROUND_PACKET_BYTES,
      patience: options.requestsTimeout,
      run: (statement) => connection.run(statement, true),
      take: (message) => this.#take(message),
      error,
    });
    this.#servers = new Servers(
      options.heartbeatTimeout,
      (nsp, uid) => events.gone(keyOfServer(uid), nsp),
    );
  }

  /** Counts. */
  get stats(): OfficialStats {
    return { servers: this.#servers.count, ...this.#sender.stats, ...this.#receiver.stats };
  }

  /** What the servers of theirs that have a namespace are called among those who owe an answer. */
  having(nsp: string): string[] {
    return this.#servers.having(nsp).map(keyOfServer);
  }

  /** Starts connecting. */
  start(): void {
    if (this.#timers.length > 0 || this.#isClosed) return;
    this.#connection.start();
    this.#every(this.#options.heartbeatInterval, () => this.#beat());
    this.#every(SWEEP_MS, () => {
      if (this.#connection.isUp) this.#servers.sweep();
    });
    // What it does not do is told there.
    this.#every(this.#official.cleanupInterval, () => void this.#clean());
  }

  /**
   * Settles when it listens, and servers of theirs have had the time to answer; rejects when an attempt to connect fails
   * before that.
   */
  async ready(): Promise<void> {
    if (this.#isAcquainted && this.#connection.isUp) return;
    if (!this.#connection.isUp && !this.#isClosed) {
      const attempt = this.#attempt ??= deferred();
      // Who does not await it hears of the failure through `error`.
      attempt.promise.catch(() => {});
      await attempt.promise;
    }
    await this.#acquainted.promise;
  }

  /**
   * Whether servers of theirs are known and can be asked.
   *
   * @returns Nothing when they can; otherwise a promise that settles when they can, and rejects when that takes too long.
   */
  acquainted(patience: number): Promise<void> | undefined {
    if (this.#isClosed || (this.#isAcquainted && this.#connection.isUp)) return undefined;
    if (!this.#isAcquainted) {
      const { requestsTimeout } = this.#options;
      return withDeadline(
        this.#acquainted.promise,
        requestsTimeout,
        () =>
          new PgAdapterError(
            "REQUEST_TIMEOUT",
            `Cannot ask servers of @socket.io/postgres-adapter as there was no connection to the database within ${requestsTimeout} ms`,
          ),
      );
    }
    return withDeadline(
      (this.#back ??= deferred()).promise,
      patience,
      () =>
        new PgAdapterError(
          "DISCONNECTED",
          `Cannot ask servers of @socket.io/postgres-adapter as the connection to the database is lost, and was not back within ${patience} ms`,
        ),
    );
  }

  /**
   * Takes a namespace in.
   *
   * @returns A promise that settles when its channel is listened to, and never rejects.
   */
  async attach(nsp: string): Promise<void> {
    if (this.#isClosed) return;
    const channel = officialChannel(this.#official.channelPrefix, nsp);
    if (channel === undefined) return this.#events.error(tooLong(nsp));
    this.#namespaces.set(channel, nsp);
    await this.#connection.listen(channel);
    if (this.#namespaces.get(channel) === nsp) this.#sayHello([channel]);
  }

  /** Lets a namespace go. */
  detach(nsp: string): void {
    const channel = officialChannel(this.#official.channelPrefix, nsp);
    if (channel === undefined || !this.#namespaces.has(channel)) return;
    if (this.#connection.isUp) this.#presence(channel, MessageType.ADAPTER_CLOSE);
    this.#namespaces.delete(channel);
    this.#connection.unlisten(channel);
    this.#servers.forget(nsp);
  }

  /** Sends a message to servers of theirs. Never throws, never waits. */
  send(message: Message): void {
    const channel = officialChannel(this.#official.channelPrefix, message.nsp ?? "/");
    // That its name is too long was told.
    if (this.#isClosed || channel === undefined) return;
    const sender = { uid: this.#uid, id: String(++this.#sequence) };
    try {
      this.#sender.send(
        encodeOfficial(
          channel,
          message,
          sender,
          this.#official,
          (broadcast) => this.#events.eventOf(broadcast),
        ),
      );
    } catch (cause) {
      this.#events.error(
        new PgAdapterError(
          "NOT_ENCODABLE",
          `Cannot encode a message of type ${message.type} for servers of @socket.io/postgres-adapter: ${
            messageOf(cause)
          }`,
          { cause },
        ),
      );
    }
  }

  /** Sends what was emitted, leaves, and closes the connection; it never rejects. */
  async close(): Promise<void> {
    for (const nsp of [...this.#namespaces.values()]) this.detach(nsp);
    for (const timer of this.#timers) clearInterval(timer);
    clearTimeout(this.#hello);
    const { closeTimeout } = this.#options;
    const patience = this.#connection.isUp ? closeTimeout : Math.min(LAST_ATTEMPT_MS, closeTimeout);
    try {
      await withDeadline(
        this.#sender.flush(),
        patience,
        () =>
          new PgAdapterError(
            "PUBLISH_FAILED",
            `Cannot flush to servers of @socket.io/postgres-adapter within ${patience} ms: what was still queued is lost`,
          ),
      );
    } catch (fault) {
      this.#events.error(fault as PgAdapterError);
    }
    this.#isClosed = true;
    this.#acquainted.resolve();
    this.#back?.resolve();
    this.#attempt?.resolve();
    await this.#connection.close();
  }

  #every(ms: number, act: () => void): void {
    this.#timers.push(setInterval(act, ms));
  }

  #up(): void {
    this.#told.clear();
    this.#servers.refresh();
    this.#attempt?.resolve();
    this.#attempt = undefined;
    this.#hello ??= setTimeout(() => {
      this.#isAcquainted = true;
      this.#acquainted.resolve();
    }, HELLO_MS);
    // What waited goes first, but for who we are: those for whom we were gone count us among those who answer.
    if (this.#back !== undefined) this.#sayHello([...this.#namespaces.keys()]);
    this.#back?.resolve();
    this.#back = undefined;
    this.#sender.resume();
  }

  #down(fault: PgAdapterError): void {
    if (this.#isClosed) return;
    this.#back ??= deferred();
    this.#events.error(
      new PgAdapterError(
        fault.code,
        `${fault.message}: what servers of @socket.io/postgres-adapter send until it is back is lost`,
        { cause: fault },
      ),
    );
  }

  /** An outage is told once, and again only when its reason changes. */
  #failed(fault: PgAdapterError): void {
    if (this.#isClosed) return;
    this.#attempt?.reject(fault);
    this.#attempt = undefined;
    if (this.#told.has(fault.code)) return;
    this.#told.add(fault.code);
    this.#events.error(fault);
  }

  #take({ uid, message }: OfficialMessage): void {
    const { nsp = "/", type } = message;
    if (uid === undefined) {
      if (!isPresence(type)) this.#events.receive(undefined, message);
      return;
    }
    if (type === MessageType.ADAPTER_CLOSE) return this.#servers.left(nsp, uid);
    message.trusted = this.#servers.has(nsp, uid);
    this.#servers.heard(nsp, uid);
    if (type === MessageType.INITIAL_HEARTBEAT) {
      const channel = officialChannel(this.#official.channelPrefix, nsp);
      if (channel !== undefined) this.#presence(channel, MessageType.HEARTBEAT);
    }
    if (!isPresence(type)) this.#events.receive(keyOfServer(uid), message);
  }

  #sayHello(channels: readonly string[]): void {
    for (const channel of channels) this.#presence(channel, MessageType.INITIAL_HEARTBEAT);
  }

  #beat(): void {
    // What waits for a connection does not get better by them.
    if (!this.#connection.isUp) return;
    for (const channel of this.#namespaces.keys()) this.#presence(channel, MessageType.HEARTBEAT);
  }

  #presence(channel: string, type: MessageType): void {
    const nsp = this.#namespaces.get(channel);
    if (nsp !== undefined) this.send({ type, nsp });
  }

  /** Some rows at a time, so that nothing is held up. */
  async #clean(): Promise<void> {
    const { tableName, cleanupInterval } = this.#official;
    try {
      while (this.#connection.isUp) {
        const [row] = await this.#connection.run(cleanStatement(tableName, cleanupInterval));
        if (Number(row?.gone ?? 0) < CLEANED) return;
      }
    } catch (fault) {
      // The loss of a connection is told by itself, and a table that is not there is clean.
      const code = codeOf(fault);
      if (fault instanceof PgAdapterError || code === "42P01" || this.#told.has(code)) return;
      this.#told.add(code);
      this.#events.error(
        new PgAdapterError(
          "ATTACHMENTS_UNAVAILABLE",
          `Cannot clean table ${tableName}: ${messageOf(fault)}`,
          { cause: fault },
        ),
      );
    }
  }
}

function tooLong(nsp: string): PgAdapterError {
  return new PgAdapterError(
    "LISTEN_FAILED",
    `Cannot share namespace "${nsp}" with servers of @socket.io/postgres-adapter as the name of its channel is too long for PostgreSQL, for theirs, too`,
  );
}
