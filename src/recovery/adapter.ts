/**
 * The adapter of a namespace whose clients can get back what they have missed: what it sends goes into the log, and
 * comes to the clients of its own server, too, when it comes back from there. So all clients of the cluster get packets
 * in one order, and each packet says where it stands in it.
 */
import { Adapter, type BroadcastOptions } from "socket.io-adapter";
import {
  type AdapterNamespace,
  type InnerNamespace,
  type InnerSocket,
  NamespaceAdapter,
} from "../adapter.ts";
import type { Bus, Waiting } from "../bus/bus.ts";
import { MalformedMessage, type Message } from "../wire/message.ts";
import type { Part } from "../wire/packet.ts";
import { isForNobody, type Room } from "../wire/rooms.ts";
import { EVENT, ForwardedPacket, type Packet } from "../packet_encoder.ts";
import { type Began, Meanwhile } from "./meanwhile.ts";
import { isFor } from "./missed.ts";
import { decodeOffset, encodeOffset, offsetMark } from "./offset.ts";
import { type OwnPacket, OwnPackets } from "./own_packets.ts";
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

/** What selects sockets in the base class. */
const base = Adapter.prototype as unknown as {
  apply(this: Adapter, opts: BroadcastOptions, callback: (socket: InnerSocket) => void): void;
};

/** A client that will be given what it has missed in a moment, and what comes until then. */
interface Returning {
  readonly rooms: ReadonlySet<Room>;
  readonly missed: unknown[][];
  /** The number of the last packet that it has. */
  upTo: number;
}

/** What was given to clients, of the log; or a packet of this server, which was not known to be there yet. */
type Given = { message: Message; own?: never } | { message?: never; own: OwnPacket };

const NOBODY: ReadonlyMap<string, boolean> = new Map();
const NO_ROOMS: ReadonlySet<Room> = new Set();

/** The adapter of a namespace with connection state recovery. */
export class RecoveringAdapter extends NamespaceAdapter {
  readonly #nsp: InnerNamespace;
  readonly #mark: string;
  /** What was sent, and comes to the clients of this server when it comes back. */
  readonly #own: OwnPackets = new OwnPackets();
  /** The number of the last packet of the log that was given to clients here. */
  #last: number | undefined;
  /** What is given to clients while sessions are restored: of the log, or before it is known to be there. */
  readonly #given: Meanwhile<Given> = new Meanwhile();
  /** Clients whose sessions are restored and whose sockets are about to be made. */
  readonly #returning: Map<string, Returning> = new Map();
  /** Up to which number clients that came back have got everything, as long as that may come again. */
  readonly #restored: Map<string, number> = new Map();
  /** The sockets that were given a packet without its number, and none with a later number since. */
  readonly #ahead: Set<string> = new Set();
  /** The highest number of those packets. */
  #aheadUntil = 0;
  /** For whom it is decided otherwise than by its rooms whether the next packet is written. */
  #decided: ReadonlyMap<string, boolean> = NOBODY;
  /** The only one to whom the next packet is written. */
  #only: string | undefined;

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
    this.#selectSockets();
  }

  /**
   * Sends a packet to clients, those of this server included, once it comes back from the log. What is volatile goes to
   * those of this server at once, and so does everything when the database has been away for a while.
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
    const isOurs = local || asks || this.#isDirect(opts.rooms);
    const channel = isOurs ? this.bus.privateChannel : this.channel;
    if (volatile) {
      if (!isOurs) this.sendMessage(message);
      this.#write(message, undefined, asks);
      return Promise.resolve();
    }
    const key = local || asks ? undefined : this.#keyOf(opts.rooms);
    const write = (number: number | undefined) => this.#write(message, number, asks);
    const own = this.#own.add(message, key !== undefined, this.bus.nextOrder(), write);
    const deliver = (number: number | undefined) => this.#isBack(own, number);
    const logged = (number: number) => own.number = number;
    const logging = key === undefined ? { deliver } : { key, deliver, logged };
    this.#sent(own, this.sendMessage({ ...message }, channel, logging));
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
    const message = this.packetMessage(parts, opts);
    const own = this.#own.add(message, false, this.bus.nextOrder(), () => {
      // Of its own, as each server gives it an id.
      const full: Packet = { type: EVENT, data: this.codec.decode(nsp, parts), nsp };
      Adapter.prototype.broadcastWithAck.call(this, full, opts, clientCountCallback, ack);
      this.forgetAnswers(full.id!, opts.flags?.timeout ?? this.bus.options.requestsTimeout);
    });
    const logging = { deliver: () => this.#isBack(own, undefined) };
    this.#sent(
      own,
      opts.flags?.local
        ? this.sendMessage({ ...message }, this.bus.privateChannel, logging)
        : this.askOthers(parts, opts, clientCountCallback, ack, logging),
    );
  }

  /** Its socket joins rooms. */
  override addAll(id: string, rooms: Set<string>): Promise<void> | void {
    this.#beforeDisconnect(id);
    this.#changing(id);
    return super.addAll(id, rooms);
  }

  /** Its socket leaves a room. */
  override del(id: string, room: string): void {
    this.#changing(id);
    super.del(id, room);
  }

  /** A socket is gone. */
  override delAll(id: string): void {
    this.#ahead.delete(id);
    super.delAll(id);
  }

  /** What clients of this server wait for. */
  protected override waiting(): readonly Waiting[] {
    return this.#own.waiting().map((own) => ({
      order: own.order,
      give: () => this.#giveAhead(own),
    }));
  }

  /** Keeps the session of a client that has left. */
  override persistSession(session: object): void {
    const { sid, rooms } = session as Session;
    // Nobody could say what it has received.
    if (this.#ahead.has(sid)) return;
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
    const began = this.#given.begin();
    try {
      const restored = await recovery.restore(pid, this.channel, after, this.#own.hasGiven);
      return restored === undefined ? this.#expired() : this.#recovered(restored, after, began);
    } finally {
      this.#given.end(began);
    }
  }

  /** Gives a packet that came from another server to the clients of this one, with its offset. */
  protected override write(packet: Packet, message: Message): void {
    const parts = packet instanceof ForwardedPacket ? packet.parts : this.codec.encode(packet);
    // As they are now: what came in the form of the default parser was encoded anew.
    this.#write({ ...message, parts, ...this.parsed() }, message.number, false);
  }

  /** Rooms of a socket change; one that is being connected gets what is on its way, as it gets what others have sent. */
  #changing(id: string): void {
    const rooms = this.sids.get(id);
    if (rooms !== undefined && this.#nsp.sockets.has(id)) this.#own.changing(id, rooms);
  }

  /** What can be sent comes back; what cannot was told, and goes no further than this server. */
  #sent(own: OwnPacket, isSent: boolean): void {
    if (!isSent) this.#isBack(own, undefined);
    else if (this.bus.isAway) this.#giveAhead(own);
  }

  /** A packet of this server has come back, or will not: its clients get it. */
  #isBack(own: OwnPacket, number: number | undefined): void {
    for (const each of this.#own.back(own, number)) this.#giveOwn(each, each.number);
    if (!own.isGiven || number === undefined) return;
    this.#aheadUntil = Math.max(this.#aheadUntil, number);
    this.#note({ ...own.message, number }, number);
  }

  /** Gives a packet to clients that cannot come back for now, and has no number then. */
  #giveAhead(own: OwnPacket): void {
    this.#own.give(own);
    for (const [sid, upTo] of this.#restored) {
      // It was in the log before its server heard of it.
      if (own.number !== undefined && own.number <= upTo) own.decided.set(sid, false);
    }
    if (own.isLogged) {
      const isFirst = (id: string) => own.decided.get(id) ?? true;
      this.#eachOf(own.message, (id) => isFirst(id) && this.#ahead.add(id));
      for (const [sid, { rooms }] of this.#returning) {
        if (isFirst(sid) && isFor(rooms, own.message)) this.#ahead.add(sid);
      }
      this.#given.add({ own });
    }
    this.#giveOwn(own, undefined);
  }

  #giveOwn({ decided, write }: OwnPacket, number: number | undefined): void {
    this.#decided = decided;
    write(number);
  }

  /** A packet of the log is given to clients. */
  #note(message: Message, number: number): void {
    this.#last = Math.max(this.#last ?? 0, number);
    this.#given.add({ message });
  }

  #eachOf({ rooms, except }: Message, callback: (id: string) => void): void {
    const opts = { rooms: new Set(rooms), except: new Set(except) } as BroadcastOptions;
    base.apply.call(this, opts, ({ id }) => callback(id));
  }

  #write(message: Message, number: number | undefined, asks: boolean): void {
    const decided = new Map(this.#decided);
    this.#decided = NOBODY;
    const numbered = number === undefined ? message : { ...message, number };
    if (!asks && this.#only === undefined) this.#keepForReturning(numbered, decided);
    const except = new Set<Room>(message.except);
    if (number !== undefined) {
      this.#note(numbered, number);
      for (const [sid, upTo] of this.#restored) {
        if (number > upTo) this.#restored.delete(sid);
        else {
          except.add(sid);
          decided.delete(sid);
        }
      }
      if (this.#ahead.size > 0 && number > this.#aheadUntil && !this.#own.hasGiven) {
        this.#eachOf(message, (id) => this.#ahead.delete(id));
      }
    } else if (!asks && this.#only === undefined) {
      this.#writeToReturned(message, except, decided);
    }
    const packet = asks
      ? this.#packet([...message.parts ?? []])
      : this.#packet(this.#withOffset(message.parts ?? [], number ?? this.#last, number));
    this.#decided = decided;
    super.write(packet, { ...numbered, except: [...except] });
  }

  /** Whose socket is made in a moment gets it with what it has missed. */
  #keepForReturning(message: Message, decided: ReadonlyMap<string, boolean>): void {
    for (const [sid, returning] of this.#returning) {
      const { number = Infinity } = message;
      if (number <= returning.upTo) continue;
      if (!(decided.get(sid) ?? isFor(returning.rooms, message))) continue;
      this.#miss(returning, { ...message, trusted: true });
    }
  }

  #miss(returning: Returning, message: Message): void {
    returning.upTo = message.number ?? returning.upTo;
    let data: unknown[];
    try {
      data = this.decode(message);
    } catch (fault) {
      // Those who have stayed did not get it either, and it was told.
      if (fault instanceof MalformedMessage) return;
      throw fault;
    }
    returning.missed.push([...data, encodeOffset(returning.upTo, this.#mark)]);
  }

  /** Who came back with more than was given to clients here must not be taken back by what is not in the log. */
  #writeToReturned(message: Message, except: Set<Room>, decided: Map<string, boolean>): void {
    for (const [sid, upTo] of this.#restored) {
      const rooms = this.sids.get(sid);
      if (rooms === undefined || upTo <= (this.#last ?? 0)) continue;
      const isWanted = decided.get(sid) ?? isFor(rooms, message);
      except.add(sid);
      decided.delete(sid);
      if (!isWanted) continue;
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

  #recovered({ session, packets }: Restored, after: number, began: Began): RecoveredSession {
    const { sid } = session;
    const top = packets.at(-1)?.number ?? after;
    const given = this.#given.since(began);
    // What came meanwhile and is not later was in the log already.
    const later = given.flatMap(({ message }) =>
      (message?.number ?? 0) > top ? { ...message!, trusted: true } : []
    );
    const rooms = new Set<Room>(session.rooms);
    const returning: Returning = { rooms, missed: [], upTo: after };
    for (const message of [...packets, ...later]) {
      if (isFor(rooms, message)) this.#miss(returning, message);
    }
    returning.upTo = Math.max(top, this.#last ?? 0);
    for (const { message, number, isBack } of given.flatMap(({ own }) => own ?? [])) {
      // What is back is among the others, or older; the rest will be, and is given to nobody then.
      if (number !== undefined && (isBack || number <= top) || !isFor(rooms, message)) continue;
      this.#miss(returning, { ...message, trusted: true });
      this.#ahead.add(sid);
    }
    this.#restored.set(sid, returning.upTo);
    this.#returning.set(sid, returning);
    // Its socket is there before that: promises come before timers.
    setTimeout(() => this.#returning.delete(sid));
    return { ...session, missedPackets: returning.missed };
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
   * A socket that the application disconnects gets first what was emitted to it: it will not come back for it. Adapters
   * are not asked before that, so the method of the socket is.
   */
  #beforeDisconnect(id: string): void {
    const socket = this.#nsp.sockets.get(id) ?? this.#nsp._preConnectSockets?.get(id);
    if (socket === undefined || Object.hasOwn(socket, "disconnect")) return;
    const { disconnect } = socket;
    Object.defineProperty(socket, "disconnect", {
      configurable: true,
      writable: true,
      value: (close?: boolean): unknown => {
        for (const own of this.#own.takeOf(id, this.sids.get(id) ?? new Set())) {
          this.#only = id;
          own.write(undefined);
        }
        return disconnect.call(socket, close);
      },
    });
  }

  /** Says which sockets a packet is written to, where its rooms alone do not. */
  #selectSockets(): void {
    Object.defineProperty(this, "apply", {
      value: (opts: BroadcastOptions, callback: (socket: InnerSocket) => void): void => {
        const [only, decided] = [this.#only, this.#decided];
        this.#only = undefined;
        this.#decided = NOBODY;
        const { sockets, _preConnectSockets = [] } = this.#nsp;
        if (only !== undefined) {
          const socket = sockets.get(only);
          if (socket !== undefined) callback(socket);
          return;
        }
        base.apply.call(this, opts, (socket) => {
          if (decided.get(socket.id) ?? true) callback(socket);
        });
        const selected = { rooms: [...opts.rooms], except: [...opts.except ?? []] };
        const isIn = (id: string) => isFor(this.sids.get(id) ?? NO_ROOMS, selected);
        for (const [id, isDecided] of decided) {
          const socket = isDecided && !isIn(id) ? sockets.get(id) : undefined;
          if (socket !== undefined) callback(socket);
        }
        // Sockets that have come back are in their rooms before their middlewares have run.
        for (const [id, socket] of _preConnectSockets) {
          if (socket.recovered && this.sids.has(id) && isIn(id)) callback(socket);
        }
      },
    });
  }
}
