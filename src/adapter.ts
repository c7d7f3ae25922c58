/**
 * The adapter of one namespace: the hooks of socket.io-adapter's cluster adapter, turned into messages on the bus of
 * the process and back.
 */
import {
  Adapter,
  type BroadcastOptions,
  ClusterAdapter,
  type ClusterMessage,
  type ClusterResponse,
  type Room,
} from "socket.io-adapter";
import type { Bus, Route, Waiting } from "./bus/bus.ts";
import type { Logging } from "./bus/publisher.ts";
import { messageOf, PgAdapterError } from "./errors.ts";
import {
  EVENT,
  ForwardedPacket,
  type Packet,
  PacketEncoder,
  type Parser,
} from "./packet_encoder.ts";
import { redacted, type RemoteSocketData } from "./handshake.ts";
import { flagged, listed, selected, selection } from "./selection.ts";
import { isForNobody } from "./wire/rooms.ts";
import { hasFormOfSocketId, namespaceChannel, roomChannel } from "./wire/channel.ts";
import { checkCount, checkEventName, RESERVED_SERVER_EVENTS } from "./wire/event.ts";
import {
  argsOf,
  flagOf,
  MalformedMessage,
  type Message,
  MessageType,
  requestIdOf,
  rooms,
  timeoutOf,
  timeoutValue,
} from "./wire/message.ts";
import { byteLength, encodeArgs, type Part } from "./wire/packet.ts";

/** How many broadcasts of those who are not known to be in the cluster may wait for acknowledgements, a namespace. */
const MAX_ASKING_STRANGERS = 1_000;

/** Milliseconds that they may wait. */
const MAX_STRANGERS_PATIENCE_MS = 60_000;

/** The slice of Socket.IO's `Namespace` that an adapter uses. */
export interface AdapterNamespace {
  /** The name of the namespace. */
  readonly name: string;
}

/** The private slice of a socket. */
export interface InnerSocket {
  readonly id: string;
  readonly acks: Map<number, unknown>;
  readonly recovered: boolean;
  disconnect(close?: boolean): unknown;
}

/** The private slice of the namespace. */
export interface InnerNamespace extends AdapterNamespace {
  readonly server: {
    readonly encoder: ConstructorParameters<typeof PacketEncoder>[1];
    readonly _parser: Parser;
  };
  readonly sockets: ReadonlyMap<string, InnerSocket>;
  /** Sockets that are being connected. */
  readonly _preConnectSockets?: ReadonlyMap<string, InnerSocket>;
  listenerCount(event: string): number;
  _onServerSideEmit(args: unknown[]): void;
}

/** The adapter of one namespace, known to users as `PgAdapter`. */
export class NamespaceAdapter extends ClusterAdapter {
  /** The id of this process in the cluster: the same for all its namespaces. */
  override readonly uid: string;
  /** The start of the names of all channels. */
  readonly prefix: string;
  /** The channel of this namespace. */
  readonly channel: string;
  protected readonly bus: Bus;
  readonly #nsp: InnerNamespace;
  protected readonly codec: PacketEncoder;
  readonly #route: Route = {
    receive: (uid, message) => this.#receive(uid, message),
    waiting: () => this.waiting(),
    eventOf: (message) => this.decode({ ...message, trusted: true }),
  };
  #attached: Promise<void> | undefined;
  /** How many broadcasts of strangers wait for acknowledgements. */
  #asking = 0;

  /**
   * Called by Socket.IO, through what `pgAdapter()` returns.
   *
   * @param nsp The namespace.
   * @param bus The bus of the process.
   */
  constructor(nsp: AdapterNamespace, bus: Bus) {
    super(nsp);
    this.#nsp = nsp as InnerNamespace;
    this.bus = bus;
    this.uid = bus.uid;
    this.prefix = bus.options.prefix;
    this.channel = namespaceChannel(this.prefix, nsp.name);
    const { server } = this.#nsp;
    this.codec = new PacketEncoder(server._parser, server.encoder);
    // `Adapter#broadcast` encodes with its own field; with ours there a packet is encoded once, or not at all.
    (this as unknown as { encoder: PacketEncoder }).encoder = this.codec;
    bus.membership.parser = this.codec.parserId ?? "";
    if (bus.roomChannels !== undefined) {
      this.on("delete-room", (room: Room) => this.#leaveRoom(room));
    }
    // socket.io itself calls it from 4.8.2 on only.
    this.init();
  }

  /**
   * Starts listening to the namespace.
   *
   * @returns A promise that settles when LISTEN is acknowledged, and never rejects.
   */
  override init(): Promise<void> {
    return this.#attached ??= this.bus.attach(this.#nsp.name, this.#route);
  }

  /**
   * Stops listening to the namespace; with the last namespace of the process, `close()` of the whole.
   *
   * @returns A promise that settles when that is done, and never rejects.
   */
  override async close(): Promise<void> {
    for (const room of this.rooms.keys()) this.#leaveRoom(room);
    await this.bus.detach(this.#nsp.name, this.#route);
  }

  /** How many servers of the cluster have this namespace, this one included. */
  override async serverCount(): Promise<number> {
    // Socket.IO does not expect it to fail: an acknowledged emit has a time limit of its own.
    await this.bus.acquainted()?.catch(() => {});
    return 1 + this.bus.having(this.#nsp.name).length;
  }

  /**
   * Adds a socket to rooms.
   *
   * @returns In dynamic mode a promise that settles when the channels of new rooms are listened to, and never rejects.
   */
  override addAll(id: string, rooms: Set<string>): Promise<void> | void {
    super.addAll(id, rooms);
    if (this.bus.roomChannels === undefined) return;
    const pending: Promise<void>[] = [];
    for (const room of rooms) {
      if (hasFormOfSocketId(String(room))) continue;
      const listening = this.bus.joinRoom(this.roomChannel(room), this.#nsp.name, room);
      if (listening !== undefined) pending.push(listening);
    }
    if (pending.length > 0) return Promise.all(pending).then(() => {});
  }

  /**
   * Sends a packet to clients: to those of this server at once, whatever the database does, then to the others'.
   *
   * @throws PgAdapterError `NOT_ENCODABLE`, when the data cannot be serialized; nobody gets it then.
   */
  override broadcast(packet: object, opts: BroadcastOptions): Promise<void> {
    const parts = this.encodeOnce(Object.assign(packet as Packet, { nsp: this.#nsp.name }));
    try {
      // Publishing only queues. It comes first, so that what listeners of the application emit meanwhile comes after it.
      if (!opts.flags?.local && !isForNobody(opts.rooms)) {
        this.sendMessage(this.packetMessage(parts, opts), this.#channelOf(opts));
      }
      Adapter.prototype.broadcast.call(this, packet, opts);
    } finally {
      this.codec.forget();
    }
    return Promise.resolve();
  }

  /**
   * Sends a packet to clients, who acknowledge it: to those of this server at once, then to the others'.
   *
   * @throws PgAdapterError `NOT_ENCODABLE`, when the data cannot be serialized; nobody gets it then.
   */
  override broadcastWithAck(
    packet: object,
    opts: BroadcastOptions,
    clientCountCallback: (clientCount: number) => void,
    ack: (...args: unknown[]) => void,
  ): void {
    // Each server gives the packet an id of its own, so it travels without one, and is decoded there.
    const parts = this.encodeOnce(Object.assign(packet as Packet, { nsp: this.#nsp.name }));
    this.codec.forget();
    if (!opts.flags?.local) this.askOthers(parts, opts, clientCountCallback, ack);
    Adapter.prototype.broadcastWithAck.call(this, packet, opts, clientCountCallback, ack);
  }

  /** Sends a packet that clients of other servers acknowledge; whether it will be sent. */
  protected askOthers(
    parts: Part[],
    opts: BroadcastOptions,
    clientCount: (count: number) => void,
    ack: (...args: unknown[]) => void,
    logging?: Logging,
  ): boolean {
    const timeout = opts.flags?.timeout ?? this.bus.options.requestsTimeout;
    return this.sendMessage(
      {
        ...this.packetMessage(parts, opts),
        requestId: this.bus.acknowledgements.open({ clientCount, ack }, timeout),
        value: timeoutValue(timeout),
      },
      undefined,
      logging,
    );
  }

  /** Makes sockets join rooms: those of this server at once. */
  override addSockets(opts: BroadcastOptions, rooms: string[]): Promise<void> {
    this.#publishUnlessLocal(opts, { type: MessageType.SOCKETS_JOIN, value: rooms });
    for (const room of rooms) this.bus.roomChannels?.told(this.roomChannel(room));
    Adapter.prototype.addSockets.call(this, opts, rooms);
    return Promise.resolve();
  }

  /** Makes sockets leave rooms: those of this server at once. */
  override delSockets(opts: BroadcastOptions, rooms: string[]): Promise<void> {
    this.#publishUnlessLocal(opts, { type: MessageType.SOCKETS_LEAVE, value: rooms });
    Adapter.prototype.delSockets.call(this, opts, rooms);
    return Promise.resolve();
  }

  /** Disconnects sockets: those of this server at once. */
  override disconnectSockets(opts: BroadcastOptions, close: boolean): Promise<void> {
    this.#publishUnlessLocal(opts, { type: MessageType.DISCONNECT_SOCKETS, value: close === true });
    Adapter.prototype.disconnectSockets.call(this, opts, close);
    return Promise.resolve();
  }

  /**
   * The sockets of all servers.
   *
   * @throws PgAdapterError `REQUEST_TIMEOUT` when a server does not answer in time, `REQUEST_FAILED` when it cannot.
   */
  // deno-lint-ignore no-explicit-any -- the signature of socket.io-adapter
  override async fetchSockets(opts: BroadcastOptions): Promise<any[]> {
    if (!opts.flags?.local) await this.bus.acquainted();
    const local: unknown[] = await Adapter.prototype.fetchSockets.call(this, opts);
    if (opts.flags?.local || isForNobody(opts.rooms)) return local;
    const { requests, options } = this.bus;
    const timeout = opts.flags?.timeout ?? options.requestsTimeout;
    return await new Promise((resolve, reject) => {
      const requestId = requests.open(
        "fetchSockets()",
        this.#nsp.name,
        this.bus.having(this.#nsp.name),
        timeout,
        (error, remote) => {
          if (error === null) resolve([...local, ...remote]);
          else reject(error);
        },
      );
      if (requestId === undefined) return;
      const message = { type: MessageType.FETCH_SOCKETS, requestId, ...selection(opts) };
      if (!this.sendMessage(message)) requests.unsent(requestId);
    });
  }

  /**
   * Sends an event to the other servers. With a function as the last argument it is called with an error or `null`, and
   * the answers of the other servers.
   *
   * @throws PgAdapterError `NOT_ENCODABLE`, when the arguments cannot be serialized.
   */
  override serverSideEmit(packet: unknown[]): Promise<void> {
    const last = packet.at(-1);
    if (typeof last !== "function") {
      this.sendMessage({ type: MessageType.SERVER_SIDE_EMIT, parts: this.#encodeArgs(packet) });
      return Promise.resolve();
    }
    const answer = (error: PgAdapterError | null, answers: unknown[]) => {
      try {
        last(error, answers);
      } catch (cause) {
        this.bus.report(
          new PgAdapterError(
            "HANDLER_FAILED",
            `The acknowledgement of serverSideEmit("${String(packet[0])}") threw: ${
              messageOf(cause)
            }`,
            { cause },
          ),
        );
      }
    };
    const parts = this.#encodeArgs(packet.slice(0, -1));
    const tooLarge = this.#tooLarge(parts);
    if (tooLarge !== undefined) {
      this.bus.report(tooLarge);
      answer(tooLarge, []);
      return Promise.resolve();
    }
    const ask = () => {
      const { requests, options } = this.bus;
      const requestId = requests.open(
        `serverSideEmit("${String(packet[0])}")`,
        this.#nsp.name,
        this.bus.having(this.#nsp.name),
        options.requestsTimeout,
        answer,
      );
      if (requestId === undefined) return;
      const message = { type: MessageType.SERVER_SIDE_EMIT, requestId, parts };
      if (!this.sendMessage(message)) requests.unsent(requestId);
    };
    const acquainted = this.bus.acquainted();
    // At once where it can be, so that it keeps its place among events.
    if (acquainted !== undefined) return acquainted.then(ask, (error) => answer(error, []));
    ask();
    return Promise.resolve();
  }

  /** Takes a message of another server, of an emitter or of somebody who typed it. */
  #receive(uid: string | undefined, message: Message): void {
    switch (message.type) {
      case MessageType.BROADCAST:
        return message.requestId === undefined
          ? this.deliver(message)
          : this.#deliverWithAck(uid, message.requestId, message);
      case MessageType.SOCKETS_JOIN:
        return Adapter.prototype.addSockets.call(
          this,
          selected(message),
          rooms(message.value) as Room[],
        );
      case MessageType.SOCKETS_LEAVE:
        return Adapter.prototype.delSockets.call(
          this,
          selected(message),
          rooms(message.value) as Room[],
        );
      case MessageType.DISCONNECT_SOCKETS:
        return Adapter.prototype.disconnectSockets.call(
          this,
          selected(message),
          flagOf(message),
        );
      case MessageType.SERVER_SIDE_EMIT:
        return this.#receiveServerSideEmit(uid, message);
      case MessageType.FETCH_SOCKETS:
        return this.onMessage({
          type: message.type as number,
          uid: requester(uid),
          nsp: this.#nsp.name,
          data: { requestId: requestIdOf(message), opts: listed(message) },
        } as ClusterMessage);
      default:
        throw new MalformedMessage(
          `Cannot read a message of type ${message.type} as it has a namespace`,
        );
    }
  }

  /** The base class sends nothing by itself: all that does is overridden here. A later version of it might. */
  protected override doPublish(message: ClusterMessage): Promise<string> {
    this.bus.report(
      new PgAdapterError(
        "PUBLISH_FAILED",
        `Cannot publish a message of type ${message.type} as this version of socket.io-adapter is not known`,
      ),
    );
    return Promise.resolve("");
  }

  /** Called by the base class for its answers: they go to who asked, and nobody else. */
  // deno-lint-ignore require-await -- a throw must become a rejection
  protected override async doPublishResponse(
    requesterUid: string,
    response: ClusterResponse,
  ): Promise<void> {
    const { requestId, ...data } = response.data as {
      requestId: string;
      clientCount?: number;
      packet?: unknown;
      sockets?: RemoteSocketData[];
    };
    const message: Message = {
      type: response.type as number as MessageType,
      nsp: this.#nsp.name,
      requestId,
    };
    if (data.clientCount !== undefined) message.value = data.clientCount;
    else {
      try {
        const { redactHandshake } = this.bus.options;
        const sockets = data.sockets?.map((socket) => redacted(socket, redactHandshake));
        message.parts = encodeArgs(sockets ?? [data.packet]);
        const tooLarge = this.#tooLarge(message.parts);
        if (tooLarge !== undefined) throw tooLarge;
      } catch (cause) {
        delete message.parts;
        // The other side gets to know, instead of waiting for its time to run out.
        message.value = messageOf(cause);
        this.bus.report(
          cause instanceof PgAdapterError
            ? cause
            : notEncodable("an answer to another server", cause),
        );
      }
    }
    this.bus.answer(requesterUid, message);
  }

  #leaveRoom(room: Room): void {
    if (this.bus.roomChannels === undefined || hasFormOfSocketId(String(room))) return;
    this.bus.leaveRoom(this.roomChannel(room), this.#nsp.name, room);
  }

  /** The channel of a room. */
  protected roomChannel(room: Room): string {
    return roomChannel(this.prefix, this.#nsp.name, String(room));
  }

  /** Sends a message; whether it will be sent: if not, that was told. */
  protected sendMessage(
    message: Message,
    channel: string = this.channel,
    logging?: Logging,
  ): boolean {
    const tooLarge = message.parts === undefined ? undefined : this.#tooLarge(message.parts);
    if (tooLarge !== undefined) {
      this.bus.report(tooLarge);
      return false;
    }
    message.nsp = this.#nsp.name;
    return this.bus.publish(channel, message, logging);
  }

  #publishUnlessLocal(opts: BroadcastOptions, message: Message): void {
    if (!opts.flags?.local && !isForNobody(opts.rooms)) {
      this.sendMessage({ ...message, ...selection(opts) });
    }
  }

  /** The message of a broadcast. */
  protected packetMessage(parts: Part[], opts: BroadcastOptions): Message {
    return {
      type: MessageType.BROADCAST,
      ...selection(opts),
      ...flagged(opts.flags),
      ...this.parsed(),
      parts,
    };
  }

  /** What is wrong with the size of a packet, if anything is. */
  #tooLarge(parts: readonly Part[]): PgAdapterError | undefined {
    const { maxPayload } = this.bus.options;
    const bytes = byteLength(parts);
    if (bytes <= maxPayload) return undefined;
    return new PgAdapterError(
      "PAYLOAD_TOO_LARGE",
      `Cannot send a packet of ${bytes} bytes to other servers as "maxPayload" is ${maxPayload}: it went no further than this server`,
    );
  }

  /** A broadcast to one room travels on the channel of that room, where all servers listen to theirs. */
  #channelOf(opts: BroadcastOptions): string {
    if (opts.rooms.size !== 1 || this.bus.roomChannels === undefined) return this.channel;
    const [room] = opts.rooms as Set<Room>;
    if (hasFormOfSocketId(String(room))) return this.channel;
    const channel = this.roomChannel(room!);
    return this.bus.usesRoomChannel(channel) ? channel : this.channel;
  }

  /** The mark of the parser on what this process has encoded. */
  protected parsed(): { parser?: string } {
    return this.codec.parserId === undefined ? {} : { parser: this.codec.parserId };
  }

  /** Encodes a packet for the wire, and for the clients of this server. */
  protected encodeOnce(packet: Packet): Part[] {
    try {
      return this.codec.encodeOnce(packet);
    } catch (cause) {
      throw notEncodable(`event "${String(packet.data?.[0])}"`, cause);
    }
  }

  #encodeArgs(args: unknown[]): Part[] {
    try {
      return encodeArgs(args);
    } catch (cause) {
      throw notEncodable(`event "${String(args[0])}"`, cause);
    }
  }

  /**
   * The data of a packet that came, decoded by the parser that encoded it.
   *
   * @throws MalformedMessage when it is no event that clients may get.
   */
  protected decode(message: Message): unknown[] {
    const { parser, parts = [], trusted = false } = message;
    const nsp = this.#nsp.name;
    if (parser === this.codec.parserId) {
      this.codec.check(nsp, parts, trusted);
      return this.codec.decode(nsp, parts);
    }
    if (parser !== undefined) {
      throw new MalformedMessage(
        `Cannot decode a packet of namespace "${nsp}" as its sender uses another parser`,
      );
    }
    return this.codec.decodeDefault(nsp, parts, trusted);
  }

  /**
   * Gives a packet that came to the clients of this server.
   *
   * @throws MalformedMessage when it is no event that clients may get.
   */
  protected deliver(message: Message): void {
    const { parser, parts = [], trusted = false } = message;
    let packet: Packet;
    if (parser === this.codec.parserId) {
      this.codec.check(this.#nsp.name, parts, trusted);
      packet = new ForwardedPacket(this.#nsp.name, parts as Part[], this.codec);
    } else packet = { type: EVENT, nsp: this.#nsp.name, data: this.decode(message) };
    this.write(packet, message);
  }

  /** What clients of this server wait for, as it is to come back through PostgreSQL: nothing here. */
  protected waiting(): readonly Waiting[] {
    return [];
  }

  /** Writes a packet that came to the clients that it is for. */
  protected write(packet: Packet, message: Message): void {
    Adapter.prototype.broadcast.call(this, packet, selected(message));
  }

  #deliverWithAck(uid: string | undefined, requestId: string, message: Message): void {
    // All that can be wrong comes before anything is delivered.
    const timeout = this.#patienceWith(message);
    // The base class gives it an id, under which each socket keeps the callback until its client answers.
    const packet: { type: number; data: unknown[]; id?: number } = {
      type: EVENT,
      data: this.decode(message),
    };
    this.onMessage({
      type: message.type as number,
      uid: requester(uid),
      nsp: this.#nsp.name,
      data: { requestId, packet, opts: listed(message) },
    } as ClusterMessage);
    const { id } = packet;
    if (id === undefined) return;
    const asked = message.trusted ? 0 : 1;
    this.#asking += asked;
    this.forgetAnswers(id, timeout, () => this.#asking -= asked);
  }

  /** After a time limit, sockets forget what they keep for clients that have not answered. */
  protected forgetAnswers(id: number, timeout: number, forgotten?: () => void): void {
    this.bus.acknowledgements.forgetLater(() => {
      forgotten?.();
      for (const socket of this.#nsp.sockets.values()) socket.acks.delete(id);
    }, timeout);
  }

  /** For how long sockets keep a callback for each client that does not answer: memory, which strangers get less of. */
  #patienceWith(message: Message): number {
    const timeout = timeoutOf(message);
    if (message.trusted) return timeout;
    if (this.#asking >= MAX_ASKING_STRANGERS) {
      throw new MalformedMessage(
        `Cannot ask clients for acknowledgements as ${MAX_ASKING_STRANGERS} broadcasts of strangers wait for theirs`,
      );
    }
    return Math.min(timeout, MAX_STRANGERS_PATIENCE_MS);
  }

  #receiveServerSideEmit(uid: string | undefined, message: Message): void {
    const packet = argsOf(message);
    const [name] = packet;
    checkEventName(name, RESERVED_SERVER_EVENTS);
    if (!message.trusted) checkCount(packet);
    // Without a listener Node's event emitters throw for this name, as if the application had.
    if (name === "error" && this.#nsp.listenerCount(name) === 0) {
      throw new MalformedMessage('Cannot deliver an event "error" as nobody listens to it');
    }
    const { requestId } = message;
    if (requestId === undefined) return this.#nsp._onServerSideEmit(packet);
    this.onMessage({
      type: message.type as number,
      uid: requester(uid),
      nsp: this.#nsp.name,
      data: { requestId, packet },
    } as ClusterMessage);
  }
}

function requester(uid: string | undefined): string {
  if (uid === undefined) throw new MalformedMessage("Cannot answer a plain message");
  return uid;
}

function notEncodable(what: string, cause: unknown): PgAdapterError {
  return new PgAdapterError(
    "NOT_ENCODABLE",
    `Cannot encode ${what} as its data cannot be serialized: ${messageOf(cause)}`,
    { cause },
  );
}
