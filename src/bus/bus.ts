/**
 * The bus of one process: what all namespaces of a server share. Two connections, one heartbeat, one membership.
 *
 * adapter → publisher → PostgreSQL → listener → inbox → adapter
 */
import { messageOf, PgAdapterError } from "../errors.ts";
import { Sealer } from "../runtime/sealer.ts";
import { Diagnostics } from "../diagnostics.ts";
import type { Events, PgAdapterEvents } from "../events.ts";
import type { ResolvedOptions } from "../options.ts";
import { clusterChannel, namespaceChannel, privateChannel } from "../wire/channel.ts";
import { isOfficial } from "../official/servers.ts";
import { OwnMessages } from "../recovery/own_messages.ts";
import { Recovery, type RecoveryOptions } from "../recovery/recovery.ts";
import { traceOf } from "../trace.ts";
import { Tracing } from "../tracing.ts";
import { createUid } from "../wire/frame.ts";
import { encodeAsk } from "../wire/ask.ts";
import { MalformedMessage, type Message } from "../wire/message.ts";
import { Acknowledgements } from "./acknowledgements.ts";
import { takeAnswer } from "./answers.ts";
import { withDeadline } from "./deadline.ts";
import { HoldOff } from "./hold_off.ts";
import { Inbox } from "./inbox.ts";
import { Latency } from "./latency.ts";
import { Listener } from "./listener.ts";
import { Membership } from "./membership.ts";
import { type Place, Places } from "./places.ts";
import { Presence } from "./presence.ts";
import type { Delivers } from "./packer.ts";
import { type Logging, Publisher } from "./publisher.ts";
import { Pulse } from "./pulse.ts";
import { QueueWatch } from "./queue_watch.ts";
import { type BusPhase, Readiness } from "./readiness.ts";
import { Repeats } from "./repeats.ts";
import { Requests } from "./requests.ts";
import { RoomChannels } from "./room_channels.ts";
import type { SessionLimits } from "./session.ts";
import type { ConnectionSettings } from "./settings.ts";
import type { PgAdapterStats } from "./stats.ts";

/** What takes the messages of a namespace: an adapter. */
export interface Route {
  /**
   * @param uid The sender's; none for a plain message.
   * @throws MalformedMessage when the message is refused.
   */
  receive(uid: string | undefined, message: Message): void;
  /** What clients of this server wait for, as it is to come back through PostgreSQL. */
  waiting(): readonly Waiting[];
  /** The event and its arguments in a broadcast of this server. */
  eventOf(message: Message): unknown[];
}

/** Something that clients wait for. */
export interface Waiting {
  /** Its place among all that this process has emitted. */
  readonly order: number;
  /** Gives it to them. */
  give(): void;
}

/** How long `close()` waits for a connection that is down, if something is queued. */
const LAST_ATTEMPT_MS = 1_000;

/** How long a process that leaves answers those who missed its last messages, in dynamic mode. */
const LINGER_MS = 100;

/** How long a request waits for a connection that is being replaced: a blip is over by then. */
const RECONNECT_PATIENCE_MS = 250;

/** For how long clients of this server wait for what comes back through a database that is away, with recovery. */
const AWAY_MS = 2_000;

/** How often the queue of notifications is looked at. */
const QUEUE_WATCH_MS = 30_000;

/** How long a heartbeat that PostgreSQL has taken may take to come back, at most. */
const MAX_ECHO_MS = 3_000;

/** The bus of one process. */
export class Bus {
  /** The id of this process in the cluster. */
  readonly uid: string = createUid();
  /** The options, complete. */
  readonly options: ResolvedOptions;
  /** The requests of this process to others. */
  readonly requests: Requests;
  /** The broadcasts of this process that wait for acknowledgements of others' clients. */
  readonly acknowledgements: Acknowledgements = new Acknowledgements();
  /** The other processes. */
  readonly membership: Membership;
  readonly #roomChannels: RoomChannels | undefined;
  readonly #sealer: Sealer | undefined;
  #recovery: Recovery | undefined;
  #isAway = false;
  #emitted = 0;
  #awayTimer: ReturnType<typeof setTimeout> | undefined;
  readonly #own: OwnMessages = new OwnMessages();
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
  readonly #repeats: Repeats;
  readonly #holdOff: HoldOff;
  readonly #queueWatch: QueueWatch;
  readonly #diagnostics: Diagnostics = new Diagnostics(this.uid);
  readonly #tracing: Tracing | undefined;
  readonly #latency: Latency = new Latency();
  readonly #errors: PgAdapterStats["errors"] = {};
  readonly #echoMs: number;
  /** What this process sent last to everybody. */
  #lastSent: { channel: string; sequence: number } | undefined;
  /** Whether both connections are up, and said hello. */
  #greeted = false;
  /** Whether it is being found out who does not hear any more. */
  #isFinding = false;
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
    const { tracing } = options;
    this.#tracing = tracing && new Tracing(tracing, (error) => this.report(error));
    events.observe((event, args) => {
      if (event === "error") {
        const [{ code }] = args as PgAdapterEvents["error"];
        this.#errors[code] = (this.#errors[code] ?? 0) + 1;
      }
      this.#diagnostics.told(event, args);
    });
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
    this.#echoMs = Math.min(MAX_ECHO_MS, options.heartbeatTimeout / 2);
    this.#pulse = new Pulse(
      {
        interval: options.heartbeatInterval,
        echo: this.#echoMs,
        firstEcho: options.statementTimeout,
      },
      {
        beat: () => {
          this.membership.heartbeat(this.#lastSent);
          // It has no number yet: frames are made at the end of the current run.
          return this.#publisher.lastSequence;
        },
        returned: (milliseconds) => {
          this.#latency.add(milliseconds);
          this.#diagnostics.returned(milliseconds);
        },
        tick: () => {
          this.#inbox.sweep(this.#publisher.isUp && !this.#publisher.isStuck);
          this.#publisher.sweep();
        },
        sweep: () => {
          this.membership.sweep();
          // Nobody waits for it: it never rejects.
          this.#findAbsent();
        },
        unheard: () => {
          // What PostgreSQL does not take cannot come back, and is told of.
          if (this.#publisher.isStuck) return;
          const { isAcquainted } = this.#readiness;
          this.#listener.replace(
            isAcquainted
              ? deaf(options.statementTimeout)
              : differentDatabases(options.statementTimeout),
          );
        },
        deaf: () => this.#listener.replace(deaf(this.#echoMs)),
        silent: () => this.#checkListener(),
      },
    );
    const sealer = this.#sealer = options.secret === undefined
      ? undefined
      : new Sealer(options.secret, options.encrypt);
    this.#inbox = new Inbox(this.uid, options, sealer, {
      message: (uid, message) => this.receive(uid, message),
      isOfProcesses: (channel) => this.#isOfProcesses(channel),
      isWanted: (channel) => this.#isOfProcesses(channel) || this.#places.has(channel),
      isEchoWanted: () => this.#pulse.isWaiting || this.#own.length > 0,
      echo: (sequence, number) => this.#echo(sequence, number),
      // Who has waited for it for long enough was given it.
      isOwnMissing: () => !this.#isAway && this.#own.isMissing,
      heard: (uid) => this.#heard(uid),
      isMember: (uid) => this.membership.has(uid),
      left: (uid) => this.membership.left(uid),
      asked: (uid, ask) => {
        this.membership.note(uid, ask.hasRoomChannels);
        this.#repeats.ask(uid, ask);
      },
      ask: (uid, ask) => {
        const { hasRoomChannels } = this.membership;
        this.#publisher.control(
          privateChannel(options.prefix, uid),
          "q",
          encodeAsk({ ...ask, hasRoomChannels }),
        );
      },
      gap: (uid, missed) => events.emit("gap", { uid, missed }),
      error,
    });
    this.#publisher = new Publisher(
      this.uid,
      publish,
      // What differs from where it listens may be a pooler, which would hand our settings on.
      { ...limits, isOwn: options.listen === undefined && options.publish === undefined },
      options,
      sealer,
      {
        up: () => {
          this.#holdOff.publisherBack(this.#listener.isUp, this.#closing !== undefined);
          this.#recovery?.resume();
          this.#greet();
        },
        down: (fault, silent) => {
          this.#holdOff.publisherLost(this.#listener.isUp);
          this.#down(fault);
          // What silenced this connection may have silenced the other one.
          if (silent) this.#checkListener();
        },
        // A statement that found too little room leaves what it wrote of it in the queue, and PostgreSQL wakes nobody to
        // pass over that: sessions that listen stand before it until they are replaced.
        stuck: () => this.#listener.replace(queueStuck()),
        confirmed: (channel, sequence) => {
          if (channel === this.#clusterChannel) this.#pulse.taken(sequence);
          else if (this.#places.isNamespace(channel)) this.#lastSent = { channel, sequence };
          if (this.#awayTimer !== undefined && this.phase === "ready") this.#isBack();
        },
        sending: (sequence, isLogged, delivers) =>
          this.#own.add(sequence, isLogged, {
            logged: (first) => delivers.forEach(({ logged }, i) => logged?.(first + i)),
            deliver: (first) => this.#ownIsBack(delivers, first),
          }),
        unsent: (deliver) => this.#deliverOwn(deliver, undefined),
        logged: (sequence, number) => {
          this.#own.logged(sequence, number);
          this.#inbox.settled();
        },
        refused: () => this.#waitUntilAway(),
        refusedFrame: (sequence) => {
          this.#own.refused(sequence);
          this.#inbox.settled();
        },
        failed,
        error,
      },
    );
    this.#holdOff = new HoldOff(this.#publisher);
    this.#queueWatch = new QueueWatch(QUEUE_WATCH_MS, () => this.#listener.queueUsage(), error);
    this.#repeats = new Repeats(
      options.prefix,
      (channel) => this.#places.isNamespace(channel),
      this.#publisher,
    );
    const presence = new Presence(options.prefix, this.uid);
    this.#listener = new Listener(this.uid, presence, this.#privateChannel, listen, limits, {
      up: (opening) => {
        // Not before: answers to what it sends must find us, and a pooler in between would hand our settings on.
        this.#publisher.start();
        this.#greeted = false;
        if (this.#closing === undefined) this.#pulse.rest();
        this.#greet();
        this.#inbox.processes.resumed(opening);
      },
      down: (fault) => {
        this.#inbox.processes.interrupted(this.#readiness.isAcquainted);
        this.#own.interrupted();
        this.#holdOff.listenerLost();
        this.#down(fault);
      },
      failed,
      error,
      notification: (channel, payload) => {
        this.#pulse.heard();
        this.#inbox.receive(channel, payload, this.#places.of(channel));
      },
      opening: (opening) => this.#inbox.processes.open(opening),
      listening: (opening, channels) => {
        if (channels.length === 0) this.#inbox.processes.cancel(opening);
        // Nobody waits for it: it never rejects.
        else this.#inbox.processes.ask(opening, channels);
      },
      unlistened: (channel) => this.#inbox.processes.forget(channel),
    });
    this.requests = new Requests(
      (uids) => this.#listener.absent(uids.filter((uid) => !isOfficial(uid))),
      options.heartbeatTimeout + options.heartbeatInterval,
    );
    this.membership = new Membership(
      options.heartbeatTimeout,
      options.subscriptionMode === "dynamic",
      {
        nodeUp: (uid, isBack) => {
          // While it was gone for us we may have been for it, and then it did not think of us.
          if (isBack && !this.membership.hasRoomChannels) this.#inbox.processes.returned(uid);
          events.emit("node-up", uid);
          this.#readyIfComplete();
        },
        nodeDown: (uid) => {
          this.#inbox.processes.gone(uid);
          this.requests.release(uid);
          this.#releaseIfAllAreHeard();
          events.emit("node-down", uid);
        },
        namespaceClosed: (uid, nsp) => this.requests.release(uid, nsp),
        sent: (uid, channel, sequence) => this.#inbox.processes.check(uid, channel, sequence),
        otherParser: (uid) => this.report(otherParser(uid)),
        send: (message, to) =>
          this.#send(
            to === undefined ? this.#clusterChannel : privateChannel(options.prefix, to),
            message,
          ),
      },
    );
    this.#roomChannels = options.subscriptionMode === "static"
      ? undefined
      : new RoomChannels(this.#listener, options.maxRoomChannels, {
        announce: (has) => this.membership.hasRoomChannels = has,
        opening: (opening) => this.#inbox.processes.open(opening),
        ask: (opening, channels) => this.#inbox.processes.ask(opening, channels),
      });
    this.#listener.listen(this.#clusterChannel);
  }

  /** Where it stands. */
  get phase(): BusPhase {
    return this.#readiness.phase;
  }

  /** The channels of rooms, in dynamic mode. */
  get roomChannels(): RoomChannels | undefined {
    return this.#recovery === undefined ? this.#roomChannels : undefined;
  }

  /** Sessions and packets that are kept, with connection state recovery. */
  get recovery(): Recovery | undefined {
    return this.#recovery;
  }

  /** The channel of this process. */
  get privateChannel(): string {
    return this.#privateChannel;
  }

  /**
   * Keeps sessions and packets from now on, if it does not yet. What is sent then travels on the channels of namespaces:
   * whoever restores a session needs all of it.
   */
  recover(options: RecoveryOptions): void {
    if (this.#recovery !== undefined) return;
    const { uid } = this;
    const recovery = this.#recovery = new Recovery(
      uid,
      options,
      this.#sealer,
      this.#publisher,
      (error) => this.report(error),
    );
    this.membership.hasRoomChannels = false;
    this.#inbox.keepOrder();
    this.#publisher.keepLog((connection) => recovery.begin(connection));
    if (this.phase !== "ready") this.#waitUntilAway();
  }

  /** The place of what is emitted next, among all that this process emits. */
  nextOrder(): number {
    return ++this.#emitted;
  }

  /** Whether the database has been away for a while, with connection state recovery. */
  get isAway(): boolean {
    return this.#isAway;
  }

  /** Tells that a client came back too late. */
  sessionExpired(nsp: string): void {
    this.#events.emit("session-expired", { nsp });
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
    const joined = this.roomChannels?.join(channel);
    return this.#listener.isUp ? joined : undefined;
  }

  /** A room has none any more. */
  leaveRoom(channel: string, nsp: string, room: string | number): void {
    this.#unwant(channel, { nsp, room });
    if (!this.#places.hasRoom(channel)) this.roomChannels?.leave(channel);
  }

  /** Who else has a namespace: those who owe an answer to what is asked in it. */
  having(nsp: string): string[] {
    return this.membership.having(nsp);
  }

  /**
   * Whether this process knows the others, and can ask them.
   *
   * @returns Nothing when it can; otherwise a promise that settles when it can or is closed, and rejects when that takes
   * too long: with `REQUEST_TIMEOUT` at the start, with `DISCONNECTED`, and soon, in an outage.
   */
  acquainted(): Promise<void> | undefined {
    if (this.phase === "ready" || this.#closing !== undefined) return undefined;
    return this.#readiness.isAcquainted
      ? this.#readiness.reconnected(RECONNECT_PATIENCE_MS)
      : this.#readiness.acquainted(this.options.requestsTimeout);
  }

  /** Whether a broadcast to a room may travel on the channel of the room: all who have members in it listen there. */
  usesRoomChannel(channel: string): boolean {
    return this.roomChannels !== undefined && this.#readiness.isAcquainted &&
      this.membership.allHaveRoomChannels && !this.roomChannels.isFresh(channel);
  }

  /**
   * Sends a message on a channel. Never throws, never waits.
   *
   * @param logging Where it is kept for recovery, and what is called when it has come back.
   * @returns Whether it will be sent: if not, that was told.
   */
  publish(channel: string, message: Message, logging?: Logging): boolean {
    if (this.#closing !== undefined) {
      this.report(new PgAdapterError("CLOSED", "Cannot publish as the adapter was closed"));
      return false;
    }
    const isQueued = this.#publisher.publish(channel, this.#traced(channel, message), logging);
    if (isQueued) this.#diagnostics.published(channel, message);
    return isQueued;
  }

  /** A message with what travels of its trace. */
  #traced(channel: string, message: Message): Message {
    // What is sent to this process alone, with recovery, is no matter of others.
    const trace = this.#tracing && channel !== this.privateChannel ? traceOf(message) : undefined;
    const context = trace && this.#tracing?.send({ ...trace, channel });
    return context === undefined ? message : { ...message, context };
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
      prefix: this.options.prefix,
      phase: this.phase,
      connections: {
        listen: { isUp: this.#listener.isUp, reconnects: this.#listener.reconnects },
        publish: { isUp: this.#publisher.isUp, reconnects: this.#publisher.reconnects },
      },
      nodes: this.membership.nodes,
      namespaces: this.#routes.size,
      // The private one is the listener's own.
      channels: this.#listener.channels + 1,
      published: { ...this.#publisher.stats },
      received: { ...this.#inbox.stats },
      queued: this.#publisher.queued,
      notifyQueueUsage: this.#queueWatch.usage,
      latency: this.#latency.stats,
      errors: { ...this.#errors },
      recovery: this.#recovery === undefined ? undefined : { ...this.#recovery.stats },
    };
  }

  /** Flushes, says goodbye and closes both connections. The same promise for all who call it; it never rejects. */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    this.#pulse.stop();
    this.#queueWatch.stop();
    clearTimeout(this.#patience);
    clearTimeout(this.#awayTimer);
    // What waits is sent even by an adapter that is still connecting, but a database that is away holds nobody up.
    const { isUp, isIdle } = this.#publisher;
    this.#holdOff.release();
    this.#repeats.hurry();
    if (isUp || !isIdle || this.#readiness.isAcquainted) {
      const patience = isUp
        ? this.options.closeTimeout
        : Math.min(LAST_ATTEMPT_MS, this.options.closeTimeout);
      try {
        await withDeadline(
          this.#sayGoodbye(),
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
    if (
      this.#publisher.isUp && this.roomChannels !== undefined && this.membership.nodes.length > 0
    ) {
      await new Promise<void>((resolve) => setTimeout(resolve, LINGER_MS));
    }
    this.#repeats.close();
    this.#readiness.close();
    this.requests.close();
    this.acknowledgements.close();
    await Promise.all([this.#publisher.close(), this.#listener.close()]);
    this.#giveAll();
    this.#routes.clear();
    this.#places.clear();
  }

  /** Its last words come after everything else. */
  async #sayGoodbye(): Promise<void> {
    await this.#publisher.flush();
    this.membership.leave();
    this.#publisher.control(this.#clusterChannel, "b", "");
    await this.#publisher.flush();
    // Not before: a lock on their table holds up sessions, and no other process need wait for that.
    await this.#recovery?.flush();
  }

  #isOfProcesses(channel: string): boolean {
    return channel === this.#clusterChannel || channel === this.#privateChannel;
  }

  #unwant(channel: string, place: Place): void {
    this.#places.remove(channel, place);
    if (!this.#places.has(channel)) this.#listener.unlisten(channel);
  }

  #send(channel: string, message: Message): void {
    this.#publisher.publish(channel, message);
  }

  /**
   * Takes a message of another process.
   *
   * @throws MalformedMessage when it is refused.
   */
  protected receive(uid: string | undefined, message: Message): void {
    if (this.#closing !== undefined) return;
    if (message.nsp === undefined) {
      if (uid === undefined) {
        throw new MalformedMessage("Cannot read a message without a namespace");
      }
      return this.membership.receive(uid, message);
    }
    try {
      // Answers are for who asked, whose namespace may be closed by now.
      const { requests, acknowledgements } = this;
      if (uid !== undefined && takeAnswer(requests, acknowledgements, uid, message)) return;
      const route = this.#routes.get(message.nsp);
      // None if it was closed meanwhile, or for a message that came on a channel of two names.
      if (route === undefined) return;
      this.#diagnostics.received(uid, message);
      this.#hand(route, uid, message);
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

  /** Hands a message to its namespace, in the context of its trace. */
  #hand(route: Route, from: string | undefined, message: Message): void {
    const trace = this.#tracing?.isReceiving ? traceOf(message) : undefined;
    const deliver = () => route.receive(from, message);
    if (trace === undefined) return deliver();
    this.#tracing!.receive({ ...trace, from }, message.context ?? {}, deliver);
  }

  /** Both connections are up: say hello. Its echo and the answers of the others are what makes it ready. */
  #greet(): void {
    if (this.#greeted || this.#closing !== undefined) return;
    if (!this.#publisher.isUp || !this.#listener.isUp) return;
    this.#greeted = true;
    this.membership.hello();
    // Those for whom it was gone meanwhile did not think of it, and it does not know whether it was.
    if (!this.membership.hasRoomChannels) {
      for (const uid of this.membership.nodes) this.#inbox.processes.returned(uid);
    }
    this.#pulse.start();
    this.#queueWatch.start();
    this.#holdOff.greeted();
    this.#releaseIfAllAreHeard();
  }

  /** What waited during an outage is for those who are back. */
  #releaseIfAllAreHeard(): void {
    if (!this.#greeted || !this.#publisher.isHeld || !this.membership.areAllHeard) return;
    this.#holdOff.release();
  }

  #checkListener(): void {
    // A failure is told by the connection itself.
    this.#listener.check(this.#echoMs);
  }

  /** Who was silent for too long may have lost the connection that it speaks on alone. */
  async #findAbsent(): Promise<void> {
    const { silent } = this.membership;
    // It matters to those who use the channels of rooms.
    if (silent.length === 0 || this.roomChannels === undefined || this.#isFinding) return;
    this.#isFinding = true;
    // After that nothing of what was missed is remembered.
    this.membership.absent(await this.#listener.absent(silent), this.options.replayWindow);
    this.#isFinding = false;
  }

  #heard(uid: string): void {
    this.membership.heard(uid);
    this.#releaseIfAllAreHeard();
  }

  #echo(sequence: number, number: number | undefined): void {
    // What was never sent is somebody else's.
    if (sequence > this.#publisher.lastSequence) return;
    this.#own.echoed(sequence, number);
    this.#inbox.settled();
    if (!this.#greeted || !this.#pulse.echo(sequence) || this.#closing !== undefined) return;
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
    this.#isBack();
    // Not for each one that comes later: those who are gone would never be.
    if (this.phase !== "ready") this.membership.refresh();
    this.#readiness.reached();
  }

  #down(error: PgAdapterError): void {
    this.#greeted = false;
    if (this.#listener.isUp && this.#closing === undefined) this.#pulse.rest();
    else this.#pulse.stop();
    this.#queueWatch.stop();
    clearTimeout(this.#patience);
    this.membership.interrupted();
    this.#readiness.lost(error);
    this.#waitUntilAway();
  }

  /** A frame of this process came back, or is in no log: its clients get what is in it. */
  #ownIsBack(delivers: Delivers, first: number | undefined): void {
    delivers.forEach(({ deliver }, i) => {
      if (deliver === undefined) return;
      const number = first === undefined ? undefined : first + i;
      this.#inbox.own(number, () => this.#deliverOwn(deliver, number));
    });
  }

  /** PostgreSQL takes nothing: clients of this server wait for a while, if they wait at all. */
  #waitUntilAway(): void {
    if (this.#recovery === undefined || this.#closing !== undefined) return;
    this.#awayTimer ??= setTimeout(() => {
      this.#isAway = true;
      this.#giveAll();
      this.#inbox.settled();
    }, AWAY_MS);
  }

  #isBack(): void {
    clearTimeout(this.#awayTimer);
    this.#awayTimer = undefined;
    this.#isAway = false;
  }

  /** Clients get what they wait for. */
  #giveAll(): void {
    const waiting = [...this.#routes.values()].flatMap((route) => route.waiting());
    for (const each of waiting.sort((a, b) => a.order - b.order)) {
      this.#deliverOwn(() => each.give(), undefined);
    }
  }

  /** Gives something to the clients of this server, where listeners of the application may throw. */
  #deliverOwn(deliver: (number: number | undefined) => void, number: number | undefined): void {
    try {
      deliver(number);
    } catch (cause) {
      this.report(
        new PgAdapterError(
          "HANDLER_FAILED",
          `A listener of the application threw while a packet was written: ${messageOf(cause)}`,
          { cause },
        ),
      );
    }
  }
}

function differentDatabases(ms: number): PgAdapterError {
  return new PgAdapterError(
    "NO_LOOPBACK",
    `Cannot hear what is published within ${ms} ms: "listen" and "publish" must lead to the same database of the same server`,
  );
}

function queueStuck(): PgAdapterError {
  return new PgAdapterError(
    "CONNECTION_LOST",
    "Gave up the listening connection as the queue of notifications of the database server stays full, which it may hold up",
  );
}

function deaf(ms: number): PgAdapterError {
  return new PgAdapterError(
    "CONNECTION_LOST",
    `Lost the listening connection as a heartbeat did not come back within ${ms} ms`,
  );
}

function otherParser(uid: string): PgAdapterError {
  return new PgAdapterError(
    "PARSER_MISMATCH",
    `Cannot share packets with server ${uid} as it uses another parser: give the same "parser" to all servers of the cluster`,
  );
}
