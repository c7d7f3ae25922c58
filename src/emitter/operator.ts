/**
 * Says for whom something is, then what.
 */
import { messageOf, PgAdapterError } from "../errors.ts";
import { namespaceChannel } from "../wire/channel.ts";
import { RESERVED_EVENTS, RESERVED_SERVER_EVENTS } from "../wire/event.ts";
import { type Outgoing, outgoing } from "../wire/frame.ts";
import { encodeMessage, type Flags, type Message, MessageType } from "../wire/message.ts";
import { byteLength, encodeArgs, encodeEvent, eventStart } from "../wire/packet.ts";
import type { OfficialEncoder } from "../official/encoder.ts";
import type { OfficialNotification } from "../official/message.ts";
import { traceOf } from "../trace.ts";
import type { Tracing } from "../tracing.ts";
import { isForNobody, isRoom, targetRooms } from "../wire/rooms.ts";
import { checkOutgoing, checkOutgoingEvent, checkRoomNames } from "./checks.ts";
import { keyOf } from "./kept.ts";

/** The events that clients of the servers listen to: names, with the functions that handle them. */
// deno-lint-ignore no-explicit-any -- the constraint that Socket.IO's own event maps meet
export type EventsMap = Record<string, (...args: any[]) => void>;

/** The arguments of an event. */
export type EventParams<Events extends object, Event extends keyof Events> = Events[Event] extends
  (...args: infer Args) => unknown ? Args : never;

/** What takes encoded messages. */
export interface Sink {
  /** @param also What goes with it on the wire of `@socket.io/postgres-adapter`. */
  send(items: readonly Outgoing[], also?: readonly OfficialNotification[]): Promise<void>;
  /** Tells of a message that could not be encoded. */
  refuse?(error: PgAdapterError): Promise<void>;
}

/** What all operators of an emitter share. */
export interface Sender {
  readonly sink: Sink;
  readonly prefix: string;
  readonly maxPayload: number;
  /** Whether events are kept for clients that are away. */
  readonly recovery: boolean;
  /** What encodes messages for the wire of `@socket.io/postgres-adapter`, where it is spoken, too. */
  readonly official?: OfficialEncoder | undefined;
  /** What says which context of a trace travels. */
  readonly tracing?: Tracing | undefined;
}

/** Whom the next verb is for. */
interface Target {
  readonly nsp: string;
  readonly rooms: readonly string[];
  readonly except: readonly string[];
  readonly flags: Flags;
}

/**
 * Says for whom something is, then what. Operators are immutable: `to()` and the like return a new one.
 *
 * @typeParam Events The events that clients listen to.
 * @typeParam ServerEvents The events that servers listen to.
 */
export class BroadcastOperator<
  Events extends object = EventsMap,
  ServerEvents extends object = EventsMap,
> {
  readonly #sender: Sender;
  readonly #target: Target;

  /** Made by {@linkcode Emitter}. */
  constructor(sender: unknown, target: unknown) {
    this.#sender = sender as Sender;
    this.#target = target as Target;
  }

  /**
   * Targets a room, besides those that are targeted already.
   *
   * @param room The name of a room, or several; also the id of a socket.
   */
  to(room: string | readonly string[]): BroadcastOperator<Events, ServerEvents> {
    return this.#with({ rooms: this.#target.rooms.concat(room) });
  }

  /**
   * Targets a room; the same as `to()`, which reads better before `socketsJoin()` and the like.
   *
   * @param room The name of a room, or several; also the id of a socket.
   */
  in(room: string | readonly string[]): BroadcastOperator<Events, ServerEvents> {
    return this.to(room);
  }

  /**
   * Leaves the members of a room out.
   *
   * @param room The name of a room, or several; also the id of a socket.
   */
  except(room: string | readonly string[]): BroadcastOperator<Events, ServerEvents> {
    return this.#with({ except: this.#target.except.concat(room) });
  }

  /**
   * Sets whether the data is compressed on its way to the clients.
   *
   * @param compress Whether.
   */
  compress(compress: boolean): BroadcastOperator<Events, ServerEvents> {
    return this.#with({ flags: { ...this.#target.flags, compress: Boolean(compress) } });
  }

  /** Lets the data be dropped for clients that are not ready to receive it. */
  get volatile(): BroadcastOperator<Events, ServerEvents> {
    return this.#with({ flags: { ...this.#target.flags, volatile: true } });
  }

  /**
   * Emits an event to clients.
   *
   * @param event The name of the event.
   * @param args Its arguments: whatever JSON takes, and binary anywhere in it.
   * @returns A promise that settles when PostgreSQL has accepted the message.
   * @throws PgAdapterError `NOT_ENCODABLE`, `PAYLOAD_TOO_LARGE`, `BUFFER_FULL`, `CONNECT_FAILED`,
   * `AUTHENTICATION_FAILED`, `CONNECTION_LOST`, `PUBLISH_FAILED` or `CLOSED`, as a rejection that ends no process, also
   * when nobody listens to it.
   */
  emit<Event extends keyof Events & string>(
    event: Event,
    ...args: EventParams<Events, Event>
  ): Promise<void> {
    const { nsp, flags } = this.#target;
    const more = Object.keys(flags).length > 0 ? { flags } : {};
    return this.#send(MessageType.BROADCAST, `event ${nameOf(event)}`, () => {
      checkOutgoingEvent(event, args, RESERVED_EVENTS);
      return { ...more, parts: encodeEvent(nsp, [event, ...args]) };
    });
  }

  /**
   * Sends an event to the servers themselves, as `io.serverSideEmit()` does, without acknowledgement.
   *
   * @param event The name of the event.
   * @param args Its arguments.
   * @returns A promise that settles when PostgreSQL has accepted the message.
   */
  serverSideEmit<Event extends keyof ServerEvents & string>(
    event: Event,
    ...args: EventParams<ServerEvents, Event>
  ): Promise<void> {
    return this.#send(MessageType.SERVER_SIDE_EMIT, `event ${nameOf(event)}`, () => {
      checkOutgoingEvent(event, args, RESERVED_SERVER_EVENTS);
      return { parts: encodeArgs([event, ...args]) };
    });
  }

  /**
   * Makes sockets join rooms.
   *
   * @param rooms The name of a room, or several.
   * @returns A promise that settles when PostgreSQL has accepted the message.
   */
  socketsJoin(rooms: string | readonly string[]): Promise<void> {
    return this.#send(MessageType.SOCKETS_JOIN, "socketsJoin()", () => roomsValue(rooms));
  }

  /**
   * Makes sockets leave rooms.
   *
   * @param rooms The name of a room, or several.
   * @returns A promise that settles when PostgreSQL has accepted the message.
   */
  socketsLeave(rooms: string | readonly string[]): Promise<void> {
    return this.#send(MessageType.SOCKETS_LEAVE, "socketsLeave()", () => roomsValue(rooms));
  }

  /**
   * Disconnects sockets.
   *
   * @param close Whether to close the connection below, too, with all its namespaces.
   * @returns A promise that settles when PostgreSQL has accepted the message.
   */
  disconnectSockets(close: boolean = false): Promise<void> {
    return this.#send(
      MessageType.DISCONNECT_SOCKETS,
      "disconnectSockets()",
      () => ({ value: Boolean(close) }),
    );
  }

  #with(change: Partial<Target>): BroadcastOperator<Events, ServerEvents> {
    return new BroadcastOperator<Events, ServerEvents>(this.#sender, {
      ...this.#target,
      ...change,
    });
  }

  #send(type: MessageType, what: string, content: () => Partial<Message>): Promise<void> {
    const { sink, prefix, official, tracing } = this.#sender;
    const { nsp } = this.#target;
    let item: Outgoing;
    let also: readonly OfficialNotification[];
    try {
      const message = this.#message(type, content());
      const channel = namespaceChannel(prefix, nsp);
      const trace = tracing && traceOf(message);
      const context = trace && tracing.send({ ...trace, channel });
      item = {
        ...outgoing(channel, encodeMessage(context ? { ...message, context } : message)),
        ...this.#kept(type),
      };
      also = official?.encode(message) ?? [];
    } catch (cause) {
      const error = cause instanceof PgAdapterError ? cause : new PgAdapterError(
        "NOT_ENCODABLE",
        `Cannot emit ${what} as ${messageOf(cause)}`,
        { cause },
      );
      return sink.refuse?.(error) ?? rejected(error);
    }
    return sink.send([item], also);
  }

  /** Whether and where it is kept. */
  #kept(type: MessageType): Partial<Outgoing> {
    const { prefix, recovery } = this.#sender;
    const { nsp, rooms, flags } = this.#target;
    const isKept = recovery && type === MessageType.BROADCAST && !flags.volatile &&
      !isForNobody(rooms);
    return isKept ? { key: keyOf(prefix, nsp, rooms.filter(isRoom)) } : {};
  }

  #message(type: MessageType, content: Partial<Message>): Message {
    const { nsp, rooms, except } = this.#target;
    const { maxPayload } = this.#sender;
    const message: Message = {
      type,
      nsp,
      rooms: targetRooms(rooms),
      except: except.filter(isRoom),
      ...content,
    };
    const { parts = [] } = message;
    const bytes = byteLength(parts);
    if (bytes > maxPayload) {
      throw new PgAdapterError(
        "PAYLOAD_TOO_LARGE",
        `Cannot emit a packet of ${bytes} bytes as "maxPayload" is ${maxPayload}`,
      );
    }
    const isEvent = type === MessageType.BROADCAST;
    checkOutgoing(message, isEvent ? eventStart(nsp, parts.length - 1).length : 0);
    return message;
  }
}

/** Everyone of a namespace, until rooms are named, and other namespaces. */
export class NamespaceOperator<
  Events extends object = EventsMap,
  ServerEvents extends object = EventsMap,
> extends BroadcastOperator<Events, ServerEvents> {
  readonly #sender: Sender;

  /** Made by {@linkcode Emitter}. */
  constructor(sender: unknown) {
    super(sender, everyone("/"));
    this.#sender = sender as Sender;
  }

  /**
   * Chooses a namespace. Options and types stay as they are; a namespace with other events may name them.
   *
   * @param nsp Its name.
   */
  of<
    NamespaceEvents extends object = Events,
    NamespaceServerEvents extends object = ServerEvents,
  >(nsp: string): BroadcastOperator<NamespaceEvents, NamespaceServerEvents> {
    return new BroadcastOperator<NamespaceEvents, NamespaceServerEvents>(
      this.#sender,
      everyone(nsp.startsWith("/") ? nsp : `/${nsp}`),
    );
  }
}

function everyone(nsp: string): Target {
  return { nsp, rooms: [], except: [], flags: {} };
}

function roomsValue(rooms: string | readonly string[]): Partial<Message> {
  const value = [rooms].flat();
  checkRoomNames(value);
  return { value };
}

function nameOf(event: unknown): string {
  return typeof event === "string" ? JSON.stringify(event.slice(0, 60)) : String(event);
}

function rejected(error: PgAdapterError): Promise<never> {
  const promise = Promise.reject(error);
  promise.catch(() => {});
  return promise;
}
