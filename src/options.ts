/**
 * The options of `pgAdapter()`: checked once, completed and frozen.
 */
import { PgAdapterError } from "./errors.ts";
import type { OfficialServerOptions } from "./official/options.ts";
import type { PgAdapterTracing } from "./tracing.ts";
import { MAX_PREFIX_BYTES } from "./wire/channel.ts";
import { MIN_SECRET_LENGTH } from "./wire/seal.ts";
import { isPlainText, utf8Length } from "./wire/utf8.ts";

/** Options of `pgAdapter()`. Each may be left out or `undefined`. */
export interface PgAdapterOptions extends OfficialServerOptions {
  /**
   * The connection string, `postgresql://[user[:password]@][host][:port][/database][?param=value]`. Without one the
   * environment is asked: `DATABASE_URL`, then `PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD`, `PGDATABASE`.
   */
  uri?: string | URL | undefined;
  /**
   * The connection string for the listening connection, where it differs: a direct address when `uri` is a pooler's.
   *
   * @default {uri}
   */
  listen?: string | URL | undefined;
  /**
   * The connection string for the publishing connection, where it differs. It may be a pooler's.
   *
   * @default {uri}
   */
  publish?: string | URL | undefined;
  /**
   * The start of the names of all channels: servers with one prefix and one database are a cluster. 1 to 29 bytes.
   *
   * @default {"socket.io"}
   */
  prefix?: string | undefined;
  /**
   * Milliseconds between two heartbeats of a process.
   *
   * @default {5000}
   */
  heartbeatInterval?: number | undefined;
  /**
   * Milliseconds without a heartbeat after which a process counts as gone. More than `heartbeatInterval`.
   *
   * @default {10000}
   */
  heartbeatTimeout?: number | undefined;
  /**
   * Milliseconds to wait for the answers of other servers to `fetchSockets()` and `serverSideEmit()`.
   *
   * @default {5000}
   */
  requestsTimeout?: number | undefined;
  /**
   * `"static"`: all messages of a namespace travel on its channel. `"dynamic"`: what is sent to exactly one room travels
   * on a channel of that room, to which only processes with members listen; `socket.join()` then returns a promise that
   * settles when the room is listened to.
   *
   * @default {"dynamic"}
   */
  subscriptionMode?: "static" | "dynamic" | undefined;
  /**
   * How many room channels a process listens to at most (`"dynamic"`). While one process of the cluster has more rooms,
   * all messages travel on the channels of the namespaces. PostgreSQL up to 18 walks the channels of every session for
   * every notification.
   *
   * @default {1000}
   */
  maxRoomChannels?: number | undefined;
  /**
   * The most bytes of one packet. A larger one reaches the clients of its own server only, and is an `error` event.
   *
   * @default {33554432}
   */
  maxPayload?: number | undefined;
  /**
   * The most bytes of messages that wait while PostgreSQL cannot be reached, or takes less than is sent; past it volatile
   * messages are dropped, then the oldest, and that is an `error` event, once for each outage.
   *
   * @default {67108864}
   */
  maxBuffer?: number | undefined;
  /**
   * For how many milliseconds a process remembers what it has sent, for others that could not listen meanwhile. One that
   * was away for less misses nothing.
   *
   * @default {30000}
   */
  replayWindow?: number | undefined;
  /**
   * The most bytes of what a process remembers for others; past it the oldest is forgotten before its time.
   *
   * @default {16777216}
   */
  replayBuffer?: number | undefined;
  /**
   * Milliseconds for a connection attempt, until the server has answered the first statement.
   *
   * @default {5000}
   */
  connectTimeout?: number | undefined;
  /**
   * Milliseconds for one statement, after which its connection is replaced.
   *
   * @default {3000}
   */
  statementTimeout?: number | undefined;
  /**
   * Milliseconds that `close()` waits for what was emitted before to be published.
   *
   * @default {5000}
   */
  closeTimeout?: number | undefined;
  /**
   * What the processes of a cluster know and nobody else does: at least 16 characters or bytes, best 32 random bytes.
   * With it everything that is sent is signed, and what is not is dropped (`UNSIGNED`): without it every role that can
   * connect to the database can send. Of several the first signs, and what any of them signed is accepted, so that a
   * secret can be replaced while the cluster runs. The clocks of all processes must agree to 60 seconds.
   */
  secret?: string | Uint8Array | readonly (string | Uint8Array)[] | undefined;
  /**
   * Whether frames are encrypted, too, so that other roles cannot read them. Needs `secret`, and all processes of the
   * cluster must agree: frames that are only signed are dropped. Plain messages, which SQL can sign but not encrypt,
   * are accepted.
   *
   * @default {false}
   */
  encrypt?: boolean | undefined;
  /**
   * What other servers get of the handshakes of this server's sockets, when they call `fetchSockets()`: `false`
   * everything, as with Socket.IO's other adapters; `true` everything but `auth` (it is empty) and the headers `cookie`,
   * `set-cookie`, `authorization` and `proxy-authorization`; a function whatever it returns for a copy of a handshake.
   * When it throws, `fetchSockets()` fails there.
   *
   * @default {false}
   */
  redactHandshake?:
    | boolean
    | ((handshake: Record<string, unknown>) => Record<string, unknown>)
    | undefined;
  /**
   * How what Socket.IO's `connectionStateRecovery` needs is kept, where the server has that option. `durable`: in tables
   * that survive a crash of the database; without it clients that are away then get new sessions, and tables that are
   * durable already stay so.
   *
   * @default {{ durable: false }}
   */
  recovery?: { durable?: boolean | undefined } | undefined;
  /**
   * Carries the context of a trace from who emits to the servers that deliver it: `openTelemetry()` of
   * `@x/socketio-pg/opentelemetry`, or one of your own. Without it nothing of a trace travels.
   */
  tracing?: PgAdapterTracing | undefined;
}

/** Options that are complete. */
export interface ResolvedOptions {
  readonly uri: string | URL | undefined;
  readonly listen: string | URL | undefined;
  readonly publish: string | URL | undefined;
  readonly prefix: string;
  readonly heartbeatInterval: number;
  readonly heartbeatTimeout: number;
  readonly requestsTimeout: number;
  readonly subscriptionMode: "static" | "dynamic";
  readonly maxRoomChannels: number;
  readonly maxPayload: number;
  readonly maxBuffer: number;
  readonly replayWindow: number;
  readonly replayBuffer: number;
  readonly connectTimeout: number;
  readonly statementTimeout: number;
  readonly closeTimeout: number;
  readonly secret: NonNullable<PgAdapterOptions["secret"]> | undefined;
  readonly encrypt: boolean;
  readonly redactHandshake: NonNullable<PgAdapterOptions["redactHandshake"]>;
  readonly recovery: { readonly durable: boolean };
  readonly tracing: PgAdapterTracing | undefined;
  readonly wire: OfficialServerOptions["wire"];
  readonly channelPrefix: string | undefined;
  readonly tableName: string | undefined;
  readonly payloadThreshold: number | undefined;
  readonly cleanupInterval: number | undefined;
}

const DEFAULTS: ResolvedOptions = {
  uri: undefined,
  listen: undefined,
  publish: undefined,
  prefix: "socket.io",
  heartbeatInterval: 5_000,
  heartbeatTimeout: 10_000,
  requestsTimeout: 5_000,
  subscriptionMode: "dynamic",
  maxRoomChannels: 1_000,
  maxPayload: 32 * 1024 * 1024,
  maxBuffer: 64 * 1024 * 1024,
  replayWindow: 30_000,
  replayBuffer: 16 * 1024 * 1024,
  connectTimeout: 5_000,
  statementTimeout: 3_000,
  closeTimeout: 5_000,
  secret: undefined,
  encrypt: false,
  redactHandshake: false,
  recovery: { durable: false },
  tracing: undefined,
  wire: undefined,
  channelPrefix: undefined,
  tableName: undefined,
  payloadThreshold: undefined,
  cleanupInterval: undefined,
};

/** setTimeout takes no more: it would fire at once. */
export const MAX_MS: number = 2 ** 31 - 1;

/**
 * Completes options.
 *
 * @throws PgAdapterError `INVALID_OPTION`, at the first one that is unknown or wrong.
 */
export function resolveOptions(given: PgAdapterOptions): ResolvedOptions {
  const known = Object.keys(DEFAULTS);
  const unknown = Object.keys(given).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new PgAdapterError(
      "INVALID_OPTION",
      `Cannot create adapter as it has no option "${unknown}": the options are ${known.join(", ")}`,
    );
  }
  const set = Object.entries(given).filter(([, value]) => value !== undefined);
  const options: ResolvedOptions = { ...DEFAULTS, ...Object.fromEntries(set) };
  for (const name of ["uri", "listen", "publish"] as const) checkUri(name, options[name]);
  checkPrefix(options.prefix);
  for (
    const name of [
      "heartbeatInterval",
      "heartbeatTimeout",
      "requestsTimeout",
      "connectTimeout",
      "statementTimeout",
      "closeTimeout",
      "replayWindow",
    ] as const
  ) checkNumber(name, options[name], 1, MAX_MS, "milliseconds");
  checkNumber("maxRoomChannels", options.maxRoomChannels, 0, Number.MAX_SAFE_INTEGER, "channels");
  checkNumber("maxPayload", options.maxPayload, 1, 256 * 1024 * 1024, "bytes");
  checkNumber("maxBuffer", options.maxBuffer, 0, Number.MAX_SAFE_INTEGER, "bytes");
  checkNumber("replayBuffer", options.replayBuffer, 0, Number.MAX_SAFE_INTEGER, "bytes");
  if (options.heartbeatTimeout <= options.heartbeatInterval) {
    refuse(
      "heartbeatTimeout",
      `more than heartbeatInterval (${options.heartbeatInterval} ms)`,
      options.heartbeatTimeout,
    );
  }
  if (options.subscriptionMode !== "static" && options.subscriptionMode !== "dynamic") {
    refuse("subscriptionMode", '"static" or "dynamic"', options.subscriptionMode);
  }
  checkSealing(options.secret, options.encrypt);
  if (
    typeof options.redactHandshake !== "boolean" && typeof options.redactHandshake !== "function"
  ) refuse("redactHandshake", "true, false or a function", options.redactHandshake);
  checkTracing(options.tracing);
  return Object.freeze({ ...options, recovery: resolveRecovery(options.recovery) });
}

/** Requires a `tracing`, or none. */
export function checkTracing(given: unknown, owner?: OptionsOwner): void {
  if (given === undefined) return;
  const wanted = "an object with send() and receive(), or one of them";
  if (given === null || typeof given !== "object") refuse("tracing", wanted, given, owner);
  const { send, receive } = given as Record<string, unknown>;
  const methods = [send, receive].filter((method) => method !== undefined);
  if (methods.length === 0 || methods.some((method) => typeof method !== "function")) {
    refuse("tracing", wanted, given, owner);
  }
}

function resolveRecovery(given: unknown): ResolvedOptions["recovery"] {
  if (given === null || typeof given !== "object" || Array.isArray(given)) {
    refuse("recovery", "an object of options, as { durable: true }", given);
  }
  const { durable = false, ...others } = given as Record<string, unknown>;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) {
    refuse("recovery", "an object with no other option than durable", unknown);
  }
  if (typeof durable !== "boolean") refuse("recovery.durable", "true or false", durable);
  return Object.freeze({ durable });
}

/** Whose options are checked: what an error says. */
export type OptionsOwner = "adapter" | "emitter" | "transport";

/**
 * Checks a prefix of channel names.
 *
 * @throws PgAdapterError `INVALID_OPTION`.
 */
export function checkPrefix(prefix: unknown, owner: OptionsOwner = "adapter"): void {
  if (
    typeof prefix !== "string" || prefix === "" || !isPlainText(prefix) ||
    utf8Length(prefix) > MAX_PREFIX_BYTES
  ) {
    refuse("prefix", `text of 1 to ${MAX_PREFIX_BYTES} bytes without NUL`, prefix, owner);
  }
}

/**
 * Checks what payloads are sealed with.
 *
 * @throws PgAdapterError `INVALID_OPTION`, which says nothing of the value of a secret.
 */
export function checkSealing(
  secret: unknown,
  encrypt: unknown,
  owner: OptionsOwner = "adapter",
): void {
  if (secret !== undefined) checkSecret(secret, owner);
  checkBoolean("encrypt", encrypt, owner);
  if (encrypt && secret === undefined) {
    refuse("encrypt", 'false without a "secret"', encrypt, owner);
  }
}

/**
 * Checks a secret or several.
 *
 * @throws PgAdapterError `INVALID_OPTION`, which says what it is and nothing of its value.
 */
export function checkSecret(secret: unknown, owner: OptionsOwner = "adapter"): void {
  const refuseSecret = (found: string): never => refuseSecretOf(owner, found);
  const several: readonly unknown[] = Array.isArray(secret) ? secret : [secret];
  if (several.length === 0) refuseSecret("an empty array");
  for (const each of several) {
    const where = Array.isArray(secret) ? "an array with " : "";
    if (typeof each === "string") {
      if (!each.isWellFormed()) refuseSecret(`${where}text with a lone surrogate`);
      if (each.length < MIN_SECRET_LENGTH) {
        refuseSecret(`${where}text of ${each.length} characters`);
      }
    } else if (each instanceof Uint8Array) {
      if (each.length < MIN_SECRET_LENGTH) refuseSecret(`${where}${each.length} bytes`);
    } else refuseSecret(`${where}a value of type ${each === null ? "null" : typeof each}`);
  }
}

function refuseSecretOf(owner: OptionsOwner, found: string): never {
  throw new PgAdapterError(
    "INVALID_OPTION",
    `Cannot create ${owner} as "secret" must be text of at least ${MIN_SECRET_LENGTH} characters, a Uint8Array of as many bytes or an array of these: current value is ${found}`,
  );
}

function checkUri(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== "string" && !(value instanceof URL)) {
    refuse(name, "a connection string", value);
  }
}

/**
 * Checks a number.
 *
 * @throws PgAdapterError `INVALID_OPTION`.
 */
export function checkNumber(
  name: string,
  value: unknown,
  min: number,
  max: number,
  unit: string,
  owner: OptionsOwner = "adapter",
): void {
  if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) {
    refuse(name, `a whole number of ${unit} from ${min} to ${max}`, value, owner);
  }
}

/**
 * Checks what is either so or not.
 *
 * @throws PgAdapterError `INVALID_OPTION`.
 */
export function checkBoolean(
  name: string,
  value: unknown,
  owner: OptionsOwner = "adapter",
): void {
  if (typeof value !== "boolean") refuse(name, "true or false", value, owner);
}

/**
 * Refuses an option.
 *
 * @throws PgAdapterError `INVALID_OPTION`.
 */
export function refuse(
  name: string,
  wanted: string,
  value: unknown,
  owner: OptionsOwner = "adapter",
): never {
  const shown = typeof value === "string" ? JSON.stringify(value) : String(value);
  throw new PgAdapterError(
    "INVALID_OPTION",
    `Cannot create ${owner} as "${name}" must be ${wanted}: current value is ${shown}`,
  );
}
