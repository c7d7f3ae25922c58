/**
 * The adapter of a namespace whose clients can get back what they have missed: what it sends goes into the log, and
 * comes to the clients of its own server, too, when it comes back from there. So all clients of the cluster get packets
 * in one order, and each packet says where it stands in it.
 */
import { Adapter, type BroadcastOptions } from "socket.io-adapter";
import { type AdapterNamespace, type InnerNamespace, NamespaceAdapter } from "../adapter.ts";
import type { Bus } from "../bus/bus.ts";
import type { Message } from "../wire/message.ts";
import type { Part } from "../wire/packet.ts";
import { isForNobody, type Room } from "../wire/rooms.ts";
import { EVENT, ForwardedPacket, type Packet } from "../packet_encoder.ts";
import { isFor } from "./missed.ts";
import { decodeOffset, encodeOffset, offsetMark } from "./offset.ts";
import type { RecoveryOptions, Restored } from "./recovery.ts";
import { isPid, type Session } from "./session.ts";

/** What the options of a Socket.IO server say of recovery. */
export interface ServerRecovery {
  readonly connectionStateRecovery?: { readonly maxDisconnectionDuration?: number };
  readonly pingInterval?: number;
  readonly pingTimeout?: number;
}

/** Socket.IO's and Engine.IO's defaults. */
const MAX_DISCONNECTION_MS = 120_000;
const PING_INTERVAL_MS = 25_000;
const PING_TIMEOUT_MS = 20_000;

/** What recovery is to do, from the options of a server; nothing when the server does not want it. */
export function recoveryOptions(
  server: ServerRecovery | undefined,
  isDurable: boolean,
): RecoveryOptions | undefined {
  const recovery = server?.connectionStateRecovery;
  if (recovery === undefined || recovery === null || typeof recovery !== "object") return undefined;
  const { pingInterval = PING_INTERVAL_MS, pingTimeout = PING_TIMEOUT_MS } = server ?? {};
  return {
    maxDisconnectionDuration: recovery.maxDisconnectionDuration ?? MAX_DISCONNECTION_MS,
    silence: pingInterval + pingTimeout,
    isDurable,
  };
}

/** A session as Socket.IO wants it back. */
export interface RecoveredSession extends Session {
  /** The events and their arguments, with their offsets. */
  readonly missedPackets: unknown[][];
}

/** The adapter of a namespace with connection state recovery. */
export class RecoveringAdapter extends NamespaceAdapter {
  readonly #nsp: InnerNamespace;
  readonly #mark: string;
  /** The number of the last packet of the log that was given to clients here. */
  #last: number | undefined;
  /** How many sessions are being restored. */
  #restoring = 0;
  /** What was given to clients meanwhile. */
  #recent: Message[] = [];
  /** Up to which number clients that came back have got everything, as long as that may come again. */
  readonly #restored: Map<string, number> = new Map();

  /**
   * Called through what `pgAdapter()` returns.
   *
   * @param nsp The namespace.
   * @param bus The bus of the process.
   */
  constructor(nsp: AdapterNamespace, bus: Bus) {
    super(nsp, bus);
    this.#nsp = nsp as InnerNamespace;
    this.#mark = offsetMark(this.channel);
    this.#reachConnecting();
  }

  /**
   * Sends a packet to clients, those of this server included, once it comes back from the log. What is volatile goes to
   * those of this server at once.
   *
   * @throws PgAdapterError `NOT_ENCODABLE`, when the data cannot be serialized; nobody gets it then.
   */
  override broadcast(packet: object, opts: BroadcastOptions): Promise<void> {
    const full = Object.assign(packet as Packet, { nsp: this.#nsp.name });
    const parts = this.encodeOnce(full);
    this.codec.forget();
    if (isForNobody(opts.rooms)) return Promise.resolve();
    const { local = false, volatile = false } = opts.flags ?? {};
    // As it is now: the application may go on with the same object.
    const message: Message = this.packetMessage(parts, opts);
    const asks = full.id !== undefined;
    const isDirect = this.#isDirect(opts.rooms);
    const channel = local || asks || isDirect ? this.bus.privateChannel : this.channel;
    if (volatile) {
      if (channel === this.channel) this.sendMessage(message);
      this.#give(message, undefined, asks);
      return Promise.resolve();
    }
    const key = local || asks ? undefined : this.#keyOf(opts.rooms);
    const deliver = (number: number | undefined) => this.#give(message, number, asks);
    const logging = key === undefined ? { deliver } : { key, deliver };
    // What cannot be sent is told, and goes no further than this server.
    if (!this.sendMessage({ ...message }, channel, logging)) deliver(undefined);
    return Promise.resolve();
  }

  /**
   * Sends a packet to clients, who acknowledge it; it is not in the log, and comes in its place among what is.
   *
   * @throws PgAdapterError `NOT_ENCODABLE`, when the data cannot be serialized; nobody gets it then.
   */
  override broadcastWithAck(
    packet: object,
    opts: BroadcastOptions,
    clientCountCallback: (clientCount: number) => void,
    ack: (...args: unknown[]) => void,
  ): void {
    const nsp = this.#nsp.name;
    const parts = this.encodeOnce(Object.assign(packet as Packet, { nsp }));
    this.codec.forget();
    // Of its own, as each server gives it an id.
    const deliver = () =>
      Adapter.prototype.broadcastWithAck.call(
        this,
        { type: EVENT, data: this.codec.decode(nsp, parts) },
        opts,
        clientCountCallback,
        ack,
      );
    const isSent = opts.flags?.local
      ? this.sendMessage(this.packetMessage(parts, opts), this.bus.privateChannel, { deliver })
      : this.askOthers(parts, opts, clientCountCallback, ack, { deliver });
    if (!isSent) deliver();
  }

  /** Keeps the session of a client that has left. */
  override persistSession(session: object): void {
    const { rooms } = session as Session;
    const keys = [this.channel, ...rooms.map((room) => this.roomChannel(room as string))];
    this.bus.recovery?.keep(session as Session, keys);
  }

  /**
   * Gives back the session of a client, and what it has missed; to one server, and once.
   *
   * @param pid The private id of the session.
   * @param offset The offset of the last packet that the client has received.
   * @returns Nothing when there is no such session, when it is too old, or when not all that was missed can be told.
   */
  // deno-lint-ignore no-explicit-any -- the signature of socket.io-adapter has a type of its own
  override async restoreSession(pid: string, offset: string): Promise<any> {
    const { recovery } = this.bus;
    const after = isPid(pid) ? decodeOffset(offset, this.#mark) : undefined;
    if (recovery === undefined || after === undefined) return this.#expired();
    this.#restoring++;
    try {
      const restored = await recovery.restore(pid, this.channel, after);
      return restored === undefined ? this.#expired() : this.#recovered(restored, after);
    } finally {
      this.#restoring--;
      if (this.#restoring === 0) this.#recent = [];
    }
  }

  /** Gives a packet that came from another server to the clients of this one, with its offset. */
  protected override write(packet: Packet, message: Message): void {
    const parts = packet instanceof ForwardedPacket ? packet.parts : this.codec.encode(packet);
    this.#write({ ...message, parts }, message.number, false);
  }

  /** Gives a packet of this server to its clients. */
  #give(message: Message, number: number | undefined, asks: boolean): void {
    this.#write(number === undefined ? message : { ...message, number }, number, asks);
  }

  #write(message: Message, number: number | undefined, asks: boolean): void {
    const except = new Set<Room>(message.except);
    if (number !== undefined) {
      this.#last = number;
      if (this.#restoring > 0) this.#recent.push(message);
      for (const [sid, upTo] of this.#restored) {
        if (number <= upTo) except.add(sid);
        else this.#restored.delete(sid);
      }
    } else if (!asks) this.#writeAhead(message, except);
    const packet = asks
      ? this.#packet([...message.parts ?? []])
      : this.#packet(this.#withOffset(message.parts ?? [], number ?? this.#last, number));
    super.write(packet, { ...message, except: [...except] });
  }

  /** Who came back with more than was given to clients here must not be taken back by what is not in the log. */
  #writeAhead(message: Message, except: Set<Room>): void {
    for (const [sid, upTo] of this.#restored) {
      const rooms = this.sids.get(sid);
      if (rooms === undefined || upTo <= (this.#last ?? 0) || !isFor(rooms, message)) continue;
      except.add(sid);
      const packet = this.#packet(this.#withOffset(message.parts ?? [], upTo));
      super.write(packet, { ...message, rooms: [sid], except: [] });
    }
  }

  #packet(parts: Part[]): ForwardedPacket {
    return new ForwardedPacket(this.#nsp.name, parts, this.codec);
  }

  /** Clients take a string that is the last argument for an offset. */
  #withOffset(parts: readonly Part[], at: number | undefined, number?: number): Part[] {
    if (at === undefined) return [...parts];
    const offset = encodeOffset(at, this.#mark);
    return this.codec.withOffset(this.#nsp.name, parts, offset, number !== undefined);
  }

  #recovered({ session, packets }: Restored, after: number): RecoveredSession {
    const rooms = new Set<Room>(session.rooms);
    const top = packets.at(-1)?.number ?? after;
    // What came meanwhile and is not later was in the log already.
    const later = this.#recent.filter(({ number = 0 }) => number > top);
    const missed = [...packets, ...later].filter((message) => isFor(rooms, message));
    this.#restored.set(session.sid, Math.max(top, this.#last ?? 0));
    return {
      ...session,
      missedPackets: missed.map((message) => [
        ...this.decode(message),
        encodeOffset(message.number!, this.#mark),
      ]),
    };
  }

  #expired(): null {
    this.bus.sessionExpired(this.#nsp.name);
    return null;
  }

  /** Whether a packet is for one socket of this server, and no other server need hear of it. */
  #isDirect(rooms: ReadonlySet<string>): boolean {
    if (rooms.size !== 1) return false;
    const [room] = rooms as Set<string>;
    return this.#nsp.sockets.has(room!) && this.rooms.get(room!)?.size === 1;
  }

  /** Where a packet is kept: under its room, or where everybody looks. */
  #keyOf(rooms: ReadonlySet<string>): string {
    const [room, ...more] = rooms;
    return room === undefined || more.length > 0 ? this.channel : this.roomChannel(room);
  }

  /**
   * Sockets that have come back are in their rooms before their middlewares have run, and only then where the base class
   * looks for them; what is sent meanwhile is for them, too.
   */
  #reachConnecting(): void {
    const base = Adapter.prototype as unknown as {
      apply(opts: BroadcastOptions, callback: (socket: unknown) => void): void;
    };
    Object.defineProperty(this, "apply", {
      value: (opts: BroadcastOptions, callback: (socket: unknown) => void): void => {
        base.apply.call(this, opts, callback);
        for (const [id, socket] of this.#nsp._preConnectSockets ?? []) {
          if (!socket.recovered) continue;
          const isIn = (room: string) => this.rooms.get(room)?.has(id) ?? false;
          const isWanted = opts.rooms.size === 0 ? this.sids.has(id) : [...opts.rooms].some(isIn);
          if (isWanted && ![...opts.except ?? []].some(isIn)) callback(socket);
        }
      },
    });
  }
}
