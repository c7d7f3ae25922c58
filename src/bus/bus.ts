/**
 * The bus of one process: what all namespaces of a server share. Two connections, one heartbeat, one membership.
 *
 * adapter → publisher → PostgreSQL → listener → inbox → adapter
 */
import { messageOf, PgAdapterError } from "../errors.ts";
import type { Events } from "../events.ts";
import type { ResolvedOptions } from "../options.ts";
import { clusterChannel, namespaceChannel, privateChannel } from "../wire/channel.ts";
import { createUid } from "../wire/frame.ts";
import { argsOf, countOf, MalformedMessage, type Message, MessageType } from "../wire/message.ts";
import { Acknowledgements } from "./acknowledgements.ts";
import { type Deferred, deferred, withDeadline } from "./deadline.ts";
import { Inbox, type InboxStats } from "./inbox.ts";
import { Listener } from "./listener.ts";
import { Membership } from "./membership.ts";
import { type Place, Places } from "./places.ts";
import { Presence } from "./presence.ts";
import { Publisher, type PublisherStats } from "./publisher.ts";
import { Requests } from "./requests.ts";
import { RoomChannels } from "./room_channels.ts";
import type { SessionLimits } from "./session.ts";
import type { ConnectionSettings } from "./settings.ts";

export type { InboxStats, PublisherStats };

/** Where a bus stands: `idle` until it is used, `connecting` until it has worked once, then `ready` or `disconnected`. */
export type BusPhase = "idle" | "connecting" | "ready" | "disconnected" | "closed";

/** What takes the messages of a namespace: an adapter. */
export interface Route {
  /**
   * @param uid The sender's; none for a plain message.
   * @throws MalformedMessage when the message is refused.
   */
  receive(uid: string | undefined, message: Message): void;
}

/** Counts of what a process has done, and where it stands. */
export interface PgAdapterStats {
  /** The id of this process in the cluster. */
  uid: string;
  /** Where it stands. */
  phase: BusPhase;
  /** The ids of the other processes. */
  nodes: string[];
  /** How many namespaces it has. */
  namespaces: number;
  /** How many channels it listens to: two of its own, and those of namespaces and rooms. */
  channels: number;
  /** Messages, frames, bytes and statements that were sent; messages that were dropped. */
  published: PublisherStats;
  /** Messages, frames and characters that were received from others; duplicates and malformed ones that were dropped. */
  received: InboxStats;
  /** What waits to be sent. */
  queued: { messages: number; bytes: number };
}

/** How long others have to answer the first hello before the cluster counts as complete without them. */
const PATIENCE_MS = 2_000;

/** How long `close()` waits for a connection that is down, if something is queued. */
const LAST_ATTEMPT_MS = 1_000;

/** How often time limits are looked at, at least. */
const MAX_TICK_MS = 1_000;

/** The bus of one process. */
export class Bus {
  /** The id of this process in the cluster. */
  readonly uid: string = createUid();
  /** The options, complete. */
  readonly options: ResolvedOptions;
  /** The requests of this process to others. */
  readonly requests: Requests = new Requests();
  /** The broadcasts of this process that wait for acknowledgements of others' clients. */
  readonly acknowledgements: Acknowledgements = new Acknowledgements();
  /** The other processes. */
  readonly membership: Membership;
  /** The channels of rooms, in dynamic mode. */
  readonly roomChannels: RoomChannels | undefined;
  readonly #events: Events;
  readonly #publisher: Publisher;
  readonly #listener: Listener;
  readonly #inbox: Inbox;
  readonly #routes: Map<string, Route> = new Map();
  readonly #places: Places = new Places();
  readonly #clusterChannel: string;
  readonly #privateChannel: string;
  #phase: BusPhase = "idle";
  /** What those who await `ready()` wait for: the next time that it works, or fails. */
  #attempt: Deferred<void> | undefined;
  /** The failure that was told; until it works again the same one is not told again. */
  #told: PgAdapterError | undefined;
  #greeted = false;
  #echoed = false;
  #patience: ReturnType<typeof setTimeout> | undefined;
  /** Settles when this process knows the others for the first time, or is closed. */
  readonly #acquainted: Deferred<void> = deferred();
  #wasReady = false;
  #tick: ReturnType<typeof setTimeout> | undefined;
  #tickDue = 0;
  #heartbeatDue = 0;
  #lastEcho = 0;
  #closing: Promise<void> | undefined;

  constructor(
    options: ResolvedOptions,
    listen: ConnectionSettings,
    publish: ConnectionSettings,
    events: Events,
  ) {
    this.options = options;
    this.#events = events;
    this.#clusterChannel = clusterChannel(options.prefix);
    this.#privateChannel = privateChannel(options.prefix, this.uid);
    const limits: SessionLimits = {
      connect: options.connectTimeout,
      statement: options.statementTimeout,
      isOwn: true,
    };
    const error = (fault: PgAdapterError) => this.report(fault);
    const failed = (fault: PgAdapterError) => this.#failed(fault);
    this.#inbox = new Inbox(this.uid, options.maxPayload, {
      message: (uid, message) => this.#receive(uid, message),
      echo: () => this.#echo(),
      error,
    });
    this.#publisher = new Publisher(
      this.uid,
      publish,
      // What is given apart may be a pooler. One that passes LISTEN on gives a session to one client.
      { ...limits, isOwn: options.publish === undefined },
      options.maxPayload,
      options.maxBuffer,
      {
        up: () => this.#greet(),
        down: (fault) => this.#down(fault),
        failed,
        error,
      },
    );
    const presence = new Presence(options.prefix);
    this.#listener = new Listener(this.uid, presence, this.#privateChannel, listen, limits, {
      up: () => {
        this.#greeted = false;
        this.#greet();
      },
      down: (fault) => this.#down(fault),
      failed,
      error,
      notification: (channel, payload) => this.#inbox.receive(payload, this.#places.of(channel)),
    });
    this.membership = new Membership(
      options.heartbeatTimeout,
      options.subscriptionMode === "dynamic",
      {
        nodeUp: (uid) => {
          events.emit("node-up", uid);
          this.#readyIfComplete();
        },
        nodeDown: (uid) => {
          this.requests.release(uid);
          events.emit("node-down", uid);
        },
        namespaceClosed: (uid, nsp) => this.requests.release(uid, nsp),
        otherParser: (uid) => this.report(otherParser(uid)),
        send: (message, to) =>
          this.#send(
            to === undefined ? this.#clusterChannel : privateChannel(options.prefix, to),
            message,
          ),
      },
    );
    this.roomChannels = options.subscriptionMode === "static"
      ? undefined
      : new RoomChannels(this.#listener, options.maxRoomChannels, (has) => {
        this.membership.hasRoomChannels = has;
        return this.#publisher.flush();
      });
    this.#listener.listen(this.#clusterChannel);
  }

  /** Where it stands. */
  get phase(): BusPhase {
    return this.#phase;
  }

  /** Starts connecting, the first time. */
  start(): void {
    if (this.#phase !== "idle") return;
    this.#phase = "connecting";
    this.#listener.start();
    this.#publisher.start();
  }

  /** Settles when it works: at once if it does; rejects when an attempt to connect fails before that. */
  ready(): Promise<void> {
    this.start();
    if (this.#phase === "ready") return Promise.resolve();
    if (this.#phase === "closed") {
      return Promise.reject(
        new PgAdapterError("CLOSED", "Cannot get ready as the adapter was closed"),
      );
    }
    this.#attempt ??= deferred();
    // Who does not await it hears of the failure through `error`; it must not end the process.
    this.#attempt.promise.catch(() => {});
    return this.#attempt.promise;
  }

  /**
   * Takes a namespace in.
   *
   * @returns A promise that settles when its channel is listened to, and never rejects.
   */
  async attach(nsp: string, route: Route): Promise<void> {
    if (this.#closing !== undefined) return;
    this.start();
    this.#routes.set(nsp, route);
    const channel = namespaceChannel(this.options.prefix, nsp);
    this.#places.add(channel, { nsp });
    await this.#listener.listen(channel);
    // Not before it listens: who knows that it has the namespace asks it.
    if (this.#routes.get(nsp) === route && this.#closing === undefined) this.membership.open(nsp);
  }

  /** Lets a namespace go; with the last one the bus closes. */
  async detach(nsp: string, route: Route): Promise<void> {
    if (this.#routes.get(nsp) === route) {
      this.#routes.delete(nsp);
      this.#unwant(namespaceChannel(this.options.prefix, nsp), { nsp });
      this.membership.close(nsp);
    }
    if (this.#routes.size === 0) await this.close();
  }

  /** A room has a member, in dynamic mode; settles like {@linkcode RoomChannels.join}. */
  joinRoom(channel: string, nsp: string, room: string | number): Promise<void> | undefined {
    if (this.#closing !== undefined) return undefined;
    this.#places.add(channel, { nsp, room });
    return this.roomChannels?.join(channel);
  }

  /** A room has none any more. */
  leaveRoom(channel: string, nsp: string, room: string | number): void {
    this.#unwant(channel, { nsp, room });
    if (!this.#places.hasRoom(channel)) this.roomChannels?.leave(channel);
  }

  /**
   * Whether this process knows the others.
   *
   * @returns Nothing when it does; otherwise a promise that settles when it does, is closed or that takes too long.
   */
  acquainted(): Promise<void> | undefined {
    if (this.#wasReady || this.#closing !== undefined) return undefined;
    const late = () => new Error("late");
    // Late, it goes by those whom it knows: nobody.
    return withDeadline(this.#acquainted.promise, this.options.requestsTimeout, late).catch(
      () => {},
    );
  }

  /** Whether a broadcast to a room may travel on the channel of the room: all processes listen to theirs. */
  get usesRoomChannels(): boolean {
    return this.roomChannels !== undefined && this.#wasReady && this.membership.allHaveRoomChannels;
  }

  /** Sends a message on a channel. Never throws, never waits. */
  publish(channel: string, message: Message): void {
    if (this.#closing !== undefined) {
      return this.report(new PgAdapterError("CLOSED", "Cannot publish as the adapter was closed"));
    }
    this.#send(channel, message);
  }

  /** Sends an answer to one process; one that comes after `close()` is not missed, as this process has said goodbye. */
  answer(uid: string, message: Message): void {
    if (this.#closing === undefined) this.#send(privateChannel(this.options.prefix, uid), message);
  }

  /** Tells of a fault that nobody awaits. */
  report(error: PgAdapterError): void {
    this.#events.emit("error", error);
  }

  /** Counts, and where it stands. */
  stats(): PgAdapterStats {
    return {
      uid: this.uid,
      phase: this.#phase,
      nodes: this.membership.nodes,
      namespaces: this.#routes.size,
      // The private one is the listener's own.
      channels: this.#listener.channels + 1,
      published: { ...this.#publisher.stats },
      received: { ...this.#inbox.stats },
      queued: this.#publisher.queued,
    };
  }

  /** Flushes, says goodbye and closes both connections. The same promise for all who call it; it never rejects. */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    clearTimeout(this.#tick);
    clearTimeout(this.#patience);
    // What waits is sent even by an adapter that is still connecting, but a database that is away holds nobody up.
    const { isUp } = this.#publisher;
    if (this.#phase !== "idle" && (isUp || this.#publisher.queued.messages > 0)) {
      this.membership.goodbye();
      const patience = isUp
        ? this.options.closeTimeout
        : Math.min(LAST_ATTEMPT_MS, this.options.closeTimeout);
      try {
        await withDeadline(
          this.#publisher.flush(),
          patience,
          () =>
            new PgAdapterError(
              "PUBLISH_FAILED",
              `Cannot flush within ${patience} ms: what was still queued is lost`,
            ),
        );
      } catch (fault) {
        this.report(fault as PgAdapterError);
      }
    }
    this.#phase = "closed";
    this.requests.close();
    this.acknowledgements.close();
    this.#acquainted.resolve();
    await Promise.all([this.#publisher.close(), this.#listener.close()]);
    this.#attempt?.reject(
      new PgAdapterError("CLOSED", "Cannot get ready as the adapter was closed"),
    );
    this.#attempt = undefined;
    this.#routes.clear();
    this.#places.clear();
  }

  #unwant(channel: string, place: Place): void {
    this.#places.remove(channel, place);
    if (!this.#places.has(channel)) this.#listener.unlisten(channel);
  }

  #send(channel: string, message: Message): void {
    this.#publisher.publish(channel, message);
  }

  #receive(uid: string | undefined, message: Message): void {
    if (this.#closing !== undefined) return;
    if (uid !== undefined) this.membership.heard(uid);
    if (message.nsp === undefined) {
      if (uid === undefined) {
        throw new MalformedMessage("Cannot read a message without a namespace");
      }
      return this.membership.receive(uid, message);
    }
    // Answers are for who asked, whose namespace may be closed by now.
    if (uid !== undefined && this.#receiveAnswer(uid, message)) return;
    const route = this.#routes.get(message.nsp);
    // Closed meanwhile, or a message that came on a channel of two names.
    if (route === undefined) return;
    try {
      route.receive(uid, message);
    } catch (fault) {
      if (fault instanceof MalformedMessage) throw fault;
      this.report(
        new PgAdapterError(
          "HANDLER_FAILED",
          `A listener of the application threw while a message of namespace "${message.nsp}" was delivered: ${
            messageOf(fault)
          }`,
          { cause: fault },
        ),
      );
    }
  }

  /** Whether it is an answer. What the application does with it may throw. */
  #receiveAnswer(uid: string, message: Message): boolean {
    const { requestId = "" } = message;
    switch (message.type) {
      case MessageType.FETCH_SOCKETS_RESPONSE:
      case MessageType.SERVER_SIDE_EMIT_RESPONSE:
        this.requests.answer(
          uid,
          requestId,
          typeof message.value === "string"
            ? { ok: false, error: message.value }
            : { ok: true, value: argsOf(message) },
        );
        return true;
      case MessageType.BROADCAST_CLIENT_COUNT:
        this.acknowledgements.clientCount(requestId, countOf(message));
        return true;
      case MessageType.BROADCAST_ACK:
        this.acknowledgements.ack(requestId, argsOf(message)[0]);
        return true;
      default:
        return false;
    }
  }

  /** Both connections are up: say hello. Its echo and the answers of the others are what makes it ready. */
  #greet(): void {
    if (this.#greeted || !this.#publisher.isUp || !this.#listener.isUp) return;
    this.#greeted = true;
    this.#echoed = false;
    this.#lastEcho = performance.now();
    this.membership.hello();
    this.#heartbeatDue = this.#lastEcho + this.options.heartbeatInterval;
    this.#scheduleTick();
  }

  #echo(): void {
    this.#lastEcho = performance.now();
    if (this.#echoed || !this.#greeted) return;
    this.#echoed = true;
    clearTimeout(this.#patience);
    // Who holds a session and does not answer is starting, or dead without the server's knowing.
    this.#patience = setTimeout(() => this.#becomeReady(), PATIENCE_MS);
    this.#readyIfComplete();
  }

  #readyIfComplete(): void {
    if (this.membership.nodes.length + 1 >= this.#listener.peers) this.#becomeReady();
  }

  #becomeReady(): void {
    if (!this.#echoed || !this.#greeted || this.#phase === "ready" || this.#closing !== undefined) {
      return;
    }
    clearTimeout(this.#patience);
    this.#phase = "ready";
    this.#told = undefined;
    this.#attempt?.resolve();
    this.#attempt = undefined;
    this.#acquainted.resolve();
    if (this.#wasReady) return this.#events.emit("reconnect");
    this.#wasReady = true;
    this.#events.emit("ready");
  }

  #down(error: PgAdapterError): void {
    this.#greeted = false;
    if (this.#phase !== "ready") return this.#failed(error);
    this.#phase = "disconnected";
    this.#events.emit("disconnect", error);
  }

  /** An attempt failed. An outage is told once, and again only when its reason changes. */
  #failed(error: PgAdapterError): void {
    if (this.#phase === "closed") return;
    const attempt = this.#attempt;
    this.#attempt = undefined;
    attempt?.reject(error);
    if (this.#told?.code === error.code) return;
    this.#told = error;
    this.report(error);
  }

  /** Both connections are up and the hello has not come back: they do not lead to one database. */
  #expectEcho(now: number): void {
    if (!this.#greeted || this.#echoed || now - this.#lastEcho < this.options.statementTimeout) {
      return;
    }
    this.#lastEcho = now;
    this.#failed(
      new PgAdapterError(
        "NO_LOOPBACK",
        `Cannot hear what is published within ${this.options.statementTimeout} ms: "listen" and "publish" must lead to the same database of the same server`,
      ),
    );
  }

  #scheduleTick(): void {
    clearTimeout(this.#tick);
    if (this.#phase === "closed" || this.#closing !== undefined) return;
    const { heartbeatInterval, heartbeatTimeout } = this.options;
    const delay = Math.min(MAX_TICK_MS, heartbeatInterval, Math.ceil(heartbeatTimeout / 10));
    this.#tickDue = performance.now() + delay;
    this.#tick = setTimeout(() => this.#onTick(), delay);
  }

  #onTick(): void {
    const now = performance.now();
    // After a pause of this process (a blocked event loop, a suspended machine) what came meanwhile is read first.
    const wasLate = now - this.#tickDue > this.options.heartbeatInterval / 2;
    this.#scheduleTick();
    if (wasLate) return;
    if (this.#phase !== "ready") return this.#expectEcho(now);
    if (now - this.#lastEcho > this.options.heartbeatTimeout) {
      return this.#listener.replace(
        new PgAdapterError(
          "CONNECTION_LOST",
          `Lost the listening connection as no heartbeat came back for ${this.options.heartbeatTimeout} ms`,
        ),
      );
    }
    this.membership.sweep();
    if (now < this.#heartbeatDue) return;
    this.#heartbeatDue = now + this.options.heartbeatInterval;
    this.membership.heartbeat();
  }
}

function otherParser(uid: string): PgAdapterError {
  return new PgAdapterError(
    "PARSER_MISMATCH",
    `Cannot share packets with server ${uid} as it uses another parser: give the same "parser" to all servers of the cluster`,
  );
}
