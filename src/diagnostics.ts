/**
 * What happens in a process, for who traces it: channels of `node:diagnostics_channel`, which Deno, Bun and Node have.
 * They reach those who do not have the adapter in their hands, such as a library for tracing. Where nobody subscribes
 * nothing is made for them.
 */
import { type Channel, channel } from "node:diagnostics_channel";
import type { PgAdapterError } from "./errors.ts";
import type { PgAdapterEvents } from "./events.ts";
import { type PgAdapterTrace, traceOf } from "./trace.ts";
import type { Message } from "./wire/message.ts";

/**
 * The channels of `node:diagnostics_channel` that the adapter publishes on, with their messages. In all of them `uid` is
 * the id of this process in the cluster.
 *
 * A subscriber is called at once, in the middle of what it is told about: of a message that is sent, in the async context
 * of who sends it. One that throws does not disturb the adapter; the runtime makes an uncaught exception of it.
 *
 * @example
 * ```ts
 * import { subscribe } from "node:diagnostics_channel";
 * import type { PgAdapterDiagnostics } from "@x/socketio-pg";
 *
 * subscribe("socketio-pg:gap", (message) => {
 *   const { uid, from, missed } = message as PgAdapterDiagnostics["socketio-pg:gap"];
 *   console.warn(`${uid} missed ${missed ?? "some"} messages of ${from}`);
 * });
 * ```
 */
export interface PgAdapterDiagnostics {
  /** The application sends a message to other servers: it is queued, and is sent when its turn comes. */
  "socketio-pg:publish": PgAdapterTrace & {
    /** The channel of PostgreSQL that it is sent on. */
    channel: string;
  };
  /** A message came, and is about to be handed to its namespace here, which may refuse it. */
  "socketio-pg:receive": PgAdapterTrace & {
    /** The process or emitter that sent it; nothing for a plain message, typed by hand or of SQL. */
    from: string | undefined;
  };
  /** A heartbeat came back. */
  "socketio-pg:echo": {
    uid: string;
    /** How many milliseconds after it was due. */
    milliseconds: number;
  };
  /** The event `ready`. */
  "socketio-pg:ready": { uid: string };
  /** The event `disconnect`. */
  "socketio-pg:disconnect": { uid: string; error: PgAdapterError };
  /** The event `reconnect`. */
  "socketio-pg:reconnect": { uid: string };
  /** The event `gap`. */
  "socketio-pg:gap": {
    uid: string;
    /** The process whose messages were missed. */
    from: string;
    /** How many, where anybody knows. */
    missed: number | undefined;
  };
  /** The event `error`. */
  "socketio-pg:error": { uid: string; error: PgAdapterError };
  /** The event `session-expired`. */
  "socketio-pg:session-expired": { uid: string; nsp: string };
  /** The event `node-up`. */
  "socketio-pg:node-up": {
    uid: string;
    /** The id of the other process. */
    node: string;
  };
  /** The event `node-down`. */
  "socketio-pg:node-down": {
    uid: string;
    /** The id of the other process. */
    node: string;
  };
}

type Details<E extends keyof PgAdapterEvents> = Omit<
  PgAdapterDiagnostics[`socketio-pg:${E}`],
  "uid"
>;

/** What the channels say of each event. */
const DETAILS: {
  readonly [E in keyof PgAdapterEvents]: (...args: PgAdapterEvents[E]) => Details<E>;
} = {
  ready: () => ({}),
  disconnect: (error) => ({ error }),
  reconnect: () => ({}),
  gap: ({ uid, missed }) => ({ from: uid, missed }),
  error: (error) => ({ error }),
  "session-expired": ({ nsp }) => ({ nsp }),
  "node-up": (node) => ({ node }),
  "node-down": (node) => ({ node }),
};

/**
 * The channels, which all adapters of a process share. They are held for as long as it runs: Bun forgets a channel that
 * nobody holds, its subscribers included, and then takes a new one of that name for the forgotten one.
 */
const CHANNELS: { readonly [C in keyof PgAdapterDiagnostics]: Channel } = {
  "socketio-pg:publish": channel("socketio-pg:publish"),
  "socketio-pg:receive": channel("socketio-pg:receive"),
  "socketio-pg:echo": channel("socketio-pg:echo"),
  "socketio-pg:ready": channel("socketio-pg:ready"),
  "socketio-pg:disconnect": channel("socketio-pg:disconnect"),
  "socketio-pg:reconnect": channel("socketio-pg:reconnect"),
  "socketio-pg:gap": channel("socketio-pg:gap"),
  "socketio-pg:error": channel("socketio-pg:error"),
  "socketio-pg:session-expired": channel("socketio-pg:session-expired"),
  "socketio-pg:node-up": channel("socketio-pg:node-up"),
  "socketio-pg:node-down": channel("socketio-pg:node-down"),
};

/** What one adapter tells. */
export class Diagnostics {
  readonly #uid: string;

  constructor(uid: string) {
    this.#uid = uid;
  }

  /** A message was queued. */
  published(channel: string, message: Message): void {
    if (!CHANNELS["socketio-pg:publish"].hasSubscribers) return;
    const trace = traceOf(message);
    if (trace !== undefined) this.#publish("socketio-pg:publish", { ...trace, channel });
  }

  /** A message came. */
  received(from: string | undefined, message: Message): void {
    if (!CHANNELS["socketio-pg:receive"].hasSubscribers) return;
    const trace = traceOf(message);
    if (trace !== undefined) this.#publish("socketio-pg:receive", { ...trace, from });
  }

  /** A heartbeat came back. */
  returned(milliseconds: number): void {
    if (CHANNELS["socketio-pg:echo"].hasSubscribers) {
      this.#publish("socketio-pg:echo", { milliseconds });
    }
  }

  /** The adapter tells something. */
  told<E extends keyof PgAdapterEvents>(event: E, args: PgAdapterEvents[E]): void {
    const name = `socketio-pg:${event}` as const;
    if (CHANNELS[name].hasSubscribers) this.#publish(name, DETAILS[event](...args));
  }

  #publish<C extends keyof PgAdapterDiagnostics>(
    name: C,
    details: Omit<PgAdapterDiagnostics[C], "uid">,
  ): void {
    CHANNELS[name].publish({ uid: this.#uid, ...details });
  }
}
