/**
 * Emits to the clients of a cluster of Socket.IO servers from any other process, over PostgreSQL. It needs no package
 * of Socket.IO.
 *
 * @example
 * ```ts
 * import { Emitter } from "@x/socketio-pg/emitter";
 *
 * await using emitter = new Emitter("postgresql://");
 * await emitter.to("news").emit("headline", { text: "It works" });
 * ```
 *
 * @module
 */
import postgres from "postgres";
import { messageOf, PgAdapterError, type PgAdapterErrorCode, withoutPassword } from "./errors.ts";
import { checkPrefix } from "./options.ts";
import { Outbox, type Queryable } from "./outbox.ts";
import { namespaceChannel } from "./wire/channel.ts";
import { type Flags, type Message, MessageType } from "./wire/message.ts";
import { byteLength, encodeArgs, encodeEvent } from "./wire/packet.ts";
import { isRoom, targetRooms } from "./wire/rooms.ts";
import { checkEventName, RESERVED_EVENTS, RESERVED_SERVER_EVENTS } from "./wire/plain.ts";

export { PgAdapterError, type PgAdapterErrorCode, type Queryable };

/** The events that clients of the servers listen to: names, with the functions that handle them. */
// deno-lint-ignore no-explicit-any -- the constraint that Socket.IO's own event maps meet
export type EventsMap = Record<string, (...args: any[]) => void>;

/** The arguments of an event. */
export type EventParams<Events extends object, Event extends keyof Events> = Events[Event] extends
  (...args: infer Args) => unknown ? Args : never;

/** Options of an emitter. */
export interface EmitterOptions {
  /**
   * The `prefix` of the servers' adapters.
   *
   * @default {"socket.io"}
   */
  prefix?: string | undefined;
  /**
   * The most bytes of one packet; a larger one is refused, as servers would.
   *
   * @default {33554432}
   */
  maxPayload?: number | undefined;
}

/** Milliseconds for what was emitted before `close()`, and for the connection to end. */
const CLOSE_MS = 5_000;

/** What all operators of an emitter share. */
interface Sender {
  outbox: Outbox;
  prefix: string;
  maxPayload: number;
}

/** Whom the next verb is for. */
interface Target {
  nsp: string;
  rooms: readonly string[];
  except: readonly string[];
  flags: Flags;
}

/**
 * Says for whom something is, then what. Operators are immutable: `to()` and the like return a new one.
 *
 * @typeParam Events The events that clients listen to.
 */
export class BroadcastOperator<Events extends object = EventsMap> {
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
  to(room: string | readonly string[]): BroadcastOperator<Events> {
    return this.#with({ rooms: this.#target.rooms.concat(room) });
  }

  /**
   * Targets a room; the same as `to()`, which reads better before `socketsJoin()` and the like.
   *
   * @param room The name of a room, or several; also the id of a socket.
   */
  in(room: string | readonly string[]): BroadcastOperator<Events> {
    return this.to(room);
  }

  /**
   * Leaves the members of a room out.
   *
   * @param room The name of a room, or several; also the id of a socket.
   */
  except(room: string | readonly string[]): BroadcastOperator<Events> {
    return this.#with({ except: this.#target.except.concat(room) });
  }

  /**
   * Sets whether the data is compressed on its way to the clients.
   *
   * @param compress Whether.
   */
  compress(compress: boolean): BroadcastOperator<Events> {
    return this.#with({ flags: { ...this.#target.flags, compress } });
  }

  /** Lets the data be dropped for clients that are not ready to receive it. */
  get volatile(): BroadcastOperator<Events> {
    return this.#with({ flags: { ...this.#target.flags, volatile: true } });
  }

  /**
   * Emits an event to clients.
   *
   * @param event The name of the event.
   * @param args Its arguments: whatever JSON takes, and binary anywhere in it.
   * @returns A promise that settles when PostgreSQL has accepted the message.
   * @throws PgAdapterError `NOT_ENCODABLE`, `PAYLOAD_TOO_LARGE`, `PUBLISH_FAILED` or `CLOSED`, as a rejection that ends no
   * process, also when nobody listens to it.
   */
  emit<Event extends keyof Events & string>(
    event: Event,
    ...args: EventParams<Events, Event>
  ): Promise<void> {
    const { nsp, flags } = this.#target;
    const more = Object.keys(flags).length > 0 ? { flags } : {};
    return this.#send(
      MessageType.BROADCAST,
      event,
      RESERVED_EVENTS,
      () => ({ ...more, parts: encodeEvent(nsp, [event, ...args]) }),
    );
  }

  /**
   * Sends an event to the servers themselves, as `io.serverSideEmit()` does, without acknowledgement.
   *
   * @param event The name of the event.
   * @param args Its arguments.
   * @returns A promise that settles when PostgreSQL has accepted the message.
   */
  serverSideEmit(event: string, ...args: unknown[]): Promise<void> {
    return this.#send(
      MessageType.SERVER_SIDE_EMIT,
      event,
      RESERVED_SERVER_EVENTS,
      () => ({ parts: encodeArgs([event, ...args]) }),
    );
  }

  /**
   * Makes sockets join rooms.
   *
   * @param rooms The name of a room, or several.
   * @returns A promise that settles when PostgreSQL has accepted the message.
   */
  socketsJoin(rooms: string | readonly string[]): Promise<void> {
    return this.#send(
      MessageType.SOCKETS_JOIN,
      undefined,
      undefined,
      () => ({ value: [rooms].flat() }),
    );
  }

  /**
   * Makes sockets leave rooms.
   *
   * @param rooms The name of a room, or several.
   * @returns A promise that settles when PostgreSQL has accepted the message.
   */
  socketsLeave(rooms: string | readonly string[]): Promise<void> {
    return this.#send(
      MessageType.SOCKETS_LEAVE,
      undefined,
      undefined,
      () => ({ value: [rooms].flat() }),
    );
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
      undefined,
      undefined,
      () => ({ value: close }),
    );
  }

  #with(change: Partial<Target>): BroadcastOperator<Events> {
    return new BroadcastOperator<Events>(this.#sender, { ...this.#target, ...change });
  }

  #send(
    type: MessageType,
    event: string | undefined,
    reserved: ReadonlySet<unknown> | undefined,
    content: () => Partial<Message>,
  ): Promise<void> {
    const { nsp, rooms, except } = this.#target;
    const { outbox, prefix, maxPayload } = this.#sender;
    let message: Message;
    try {
      if (reserved !== undefined) checkEventName(event, reserved);
      message = {
        type,
        nsp,
        rooms: targetRooms(rooms),
        except: except.filter(isRoom),
        ...content(),
      };
    } catch (cause) {
      const what = event === undefined ? "" : ` event "${String(event)}"`;
      return rejected(
        new PgAdapterError("NOT_ENCODABLE", `Cannot encode${what}: ${messageOf(cause)}`, { cause }),
      );
    }
    const bytes = byteLength(message.parts ?? []);
    if (bytes > maxPayload) {
      return rejected(
        new PgAdapterError(
          "PAYLOAD_TOO_LARGE",
          `Cannot emit a packet of ${bytes} bytes as "maxPayload" is ${maxPayload}`,
        ),
      );
    }
    return outbox.send(namespaceChannel(prefix, nsp), message);
  }
}

/**
 * Emits to the clients of a cluster from a process that is no Socket.IO server.
 *
 * @typeParam Events The events that clients listen to.
 *
 * @example
 * ```ts
 * import postgres from "postgres";
 * import { Emitter } from "@x/socketio-pg/emitter";
 *
 * const sql = postgres("postgresql://");
 * const emitter = new Emitter<{ tick: (at: number) => void }>(sql);
 * await emitter.of("/clock").volatile.emit("tick", Date.now());
 * await emitter.close();
 * await sql.end();
 * ```
 */
export class Emitter<Events extends object = EventsMap> extends BroadcastOperator<Events> {
  readonly #sender: Sender;
  readonly #own: postgres.Sql | undefined;

  /**
   * Makes an emitter; it connects when something is emitted.
   *
   * @param target A connection string, or an instance of postgres.js, which the emitter uses and does not close.
   * @param options See {@linkcode EmitterOptions}.
   * @throws PgAdapterError `INVALID_URI` or `INVALID_OPTION`.
   */
  constructor(target: string | URL | Queryable, options: EmitterOptions = {}) {
    const { prefix = "socket.io", maxPayload = 32 * 1024 * 1024 } = options;
    checkPrefix(prefix);
    if (!Number.isInteger(maxPayload) || maxPayload < 1) {
      throw new PgAdapterError(
        "INVALID_OPTION",
        `Cannot create emitter as "maxPayload" must be a number of bytes: current value is ${maxPayload}`,
      );
    }
    const own = typeof target === "string" || target instanceof URL
      ? connect(String(target))
      : undefined;
    const outbox = new Outbox((own ?? target) as Queryable);
    const sender: Sender = { outbox, prefix, maxPayload };
    super(sender, everyone("/"));
    this.#sender = sender;
    this.#own = own;
  }

  /**
   * Chooses a namespace.
   *
   * @param nsp Its name.
   */
  of(nsp: string): BroadcastOperator<Events> {
    return new BroadcastOperator<Events>(
      this.#sender,
      everyone(nsp.startsWith("/") ? nsp : `/${nsp}`),
    );
  }

  /** Settles when all that was emitted before has been accepted or refused; it never rejects. */
  flush(): Promise<void> {
    return this.#sender.outbox.flush();
  }

  /** Flushes for up to 5 seconds, and closes the connection if it is the emitter's own. */
  async close(): Promise<void> {
    await this.#sender.outbox.close(CLOSE_MS);
    await this.#own?.end({ timeout: CLOSE_MS / 1000 });
  }

  /** The same as `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function connect(uri: string): postgres.Sql {
  try {
    if (!/^postgres(ql)?:\/\//.test(uri)) {
      throw new TypeError("it does not start with postgresql://");
    }
    return postgres(uri, { max: 1, fetch_types: false, connect_timeout: 10, onnotice: () => {} });
  } catch (_cause) {
    // The driver's error repeats the uri, and with it the password.
    throw new PgAdapterError(
      "INVALID_URI",
      `Cannot read the connection string "${
        withoutPassword(uri)
      }": it has the form postgresql://[user[:password]@][host][:port][/database]`,
    );
  }
}

function everyone(nsp: string): Target {
  return { nsp, rooms: [], except: [], flags: {} };
}

function rejected(error: PgAdapterError): Promise<never> {
  const promise = Promise.reject(error);
  promise.catch(() => {});
  return promise;
}
