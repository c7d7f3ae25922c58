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
import { withDeadline } from "./deadline.ts";
import { Inbox, type InboxStats } from "./inbox.ts";
import { Listener } from "./listener.ts";
import { Membership } from "./membership.ts";
import { type Place, Places } from "./places.ts";
import { Presence } from "./presence.ts";
import { Publisher, type PublisherStats } from "./publisher.ts";
import { Pulse } from "./pulse.ts";
import { type BusPhase, Readiness } from "./readiness.ts";
import { Requests } from "./requests.ts";
import { RoomChannels } from "./room_channels.ts";
import type { SessionLimits } from "./session.ts";
import type { ConnectionSettings } from "./settings.ts";

export type { BusPhase, InboxStats, PublisherStats };

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

/** How long `close()` waits for a connection that is down, if something is queued. */
const LAST_ATTEMPT_MS = 1_000;

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
  readonly #readiness: Readiness;
  readonly #pulse: Pulse;
  /** Whether both connections are up, and said hello. */
  #greeted = false;
  #patience: ReturnType<typeof setTimeout> | undefined;
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
    this.#readiness = new Readiness(events);
    const error = (fault: PgAdapterError) => this.report(fault);
    const failed = (fault: PgAdapterError) => this.#readiness.failed(fault);
    this.#pulse = new Pulse(
      {
        interval: options.heartbeatInterval,
        timeout: options.heartbeatTimeout,
        firstEcho: options.statementTimeout,
      },
      {
        beat: () => this.membership.heartbeat(),
        tick: () => {
          this.membership.sweep();
          this.#inbox.sweep();
        },
        unheard: () => failed(differentDatabases(options.statementTimeout)),
        deaf: () => {
          // Nothing comes back of what is not sent.
          if (!this.#publisher.isStuck) this.#listener.replace(deaf(options.heartbeatTimeout));
        },
      },
    );
    this.#inbox = new Inbox(this.uid, options.maxPayload, {
      message: (uid, message) => this.#receive(uid, message),
      echo: () => this.#echo(),
      error,
    });
    this.#publisher = new Publisher(
      this.uid,
      publish,
      // What differs from where it listens may be a pooler, which would hand our settings on.
      { ...limits, isOwn: options.listen === undefined && options.publish === undefined },
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
        // Not before: answers to what it sends must find us, and a pooler in between would hand our settings on.
        this.#publisher.start();
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
    return this.#readiness.phase;
  }

  /** Starts connecting, the first time: the listener, and once it hears itself the publisher. */
  start(): void {
    if (this.#closing !== undefined || !this.#readiness.start()) return;
    this.#listener.start();
  }

  /** Settles when it works: at once if it does; rejects when an attempt to connect fails before that. */
  ready(): Promise<void> {
    this.start();
    return this.#readiness.ready();
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
   * @returns Nothing when it does; otherwise a promise that settles when it does or is closed, and rejects with
   * `REQUEST_TIMEOUT` when that takes too long.
   */
  acquainted(): Promise<void> | undefined {
    if (this.#readiness.isAcquainted || this.#closing !== undefined) return undefined;
    return this.#readiness.acquainted(this.options.requestsTimeout);
  }

  /** Whether a broadcast to a room may travel on the channel of the room: all processes listen to theirs. */
  get usesRoomChannels(): boolean {
    return this.roomChannels !== undefined && this.#readiness.isAcquainted &&
      this.membership.allHaveRoomChannels;
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
      phase: this.phase,
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
    this.#pulse.stop();
    clearTimeout(this.#patience);
    // What waits is sent even by an adapter that is still connecting, but a database that is away holds nobody up.
    const { isUp, isIdle } = this.#publisher;
    if (isUp || !isIdle || this.#readiness.isAcquainted) {
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
    this.#readiness.close();
    this.requests.close();
    this.acknowledgements.close();
    await Promise.all([this.#publisher.close(), this.#listener.close()]);
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
    try {
      // Answers are for who asked, whose namespace may be closed by now.
      if (uid !== undefined && this.#receiveAnswer(uid, message)) return;
      // None if it was closed meanwhile, or for a message that came on a channel of two names.
      this.#routes.get(message.nsp)?.receive(uid, message);
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

  /** Whether it is an answer. */
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
    if (this.#greeted || this.#closing !== undefined) return;
    if (!this.#publisher.isUp || !this.#listener.isUp) return;
    this.#greeted = true;
    this.membership.hello();
    this.#pulse.start();
  }

  #echo(): void {
    if (!this.#greeted || !this.#pulse.echo() || this.#closing !== undefined) return;
    clearTimeout(this.#patience);
    // Who holds a session and does not answer is starting, or dead without the server's knowing.
    this.#patience = setTimeout(() => this.#becomeReady(), this.options.requestsTimeout);
    this.#readyIfComplete();
  }

  #readyIfComplete(): void {
    const isComplete = this.membership.nodes.length + 1 >= this.#listener.peers;
    if (isComplete && this.#greeted && this.#pulse.isHeard) this.#becomeReady();
  }

  #becomeReady(): void {
    clearTimeout(this.#patience);
    if (!this.#greeted || this.#closing !== undefined) return;
    this.membership.refresh();
    this.#readiness.reached();
  }

  #down(error: PgAdapterError): void {
    this.#greeted = false;
    this.#pulse.stop();
    clearTimeout(this.#patience);
    this.#readiness.lost(error);
  }
}

function differentDatabases(ms: number): PgAdapterError {
  return new PgAdapterError(
    "NO_LOOPBACK",
    `Cannot hear what is published within ${ms} ms: "listen" and "publish" must lead to the same database of the same server`,
  );
}

function deaf(ms: number): PgAdapterError {
  return new PgAdapterError(
    "CONNECTION_LOST",
    `Lost the listening connection as no heartbeat came back for ${ms} ms`,
  );
}

function otherParser(uid: string): PgAdapterError {
  return new PgAdapterError(
    "PARSER_MISMATCH",
    `Cannot share packets with server ${uid} as it uses another parser: give the same "parser" to all servers of the cluster`,
  );
}
