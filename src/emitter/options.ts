/**
 * The options of an emitter: those of the adapter that it shares have the same names, checks and defaults.
 */
import { PgAdapterError } from "../errors.ts";
import {
  type OfficialOptions,
  type OfficialWireOptions,
  resolveOfficial,
} from "../official/options.ts";
import {
  checkBoolean,
  checkNumber,
  checkPrefix,
  checkSealing,
  checkTracing,
  MAX_MS,
  refuse,
} from "../options.ts";
import type { PgAdapterTracing } from "../tracing.ts";
import type { Secret } from "./sealer.ts";

/** Options of an emitter. Each may be left out or `undefined`. */
export interface EmitterOptions extends OfficialWireOptions {
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
  /**
   * The most bytes that wait for PostgreSQL to take them. What is emitted past it is refused with `BUFFER_FULL`, so that
   * a loop that awaits nothing does not take all memory; one message is always taken. Also the most bytes of a batch.
   *
   * @default {67108864}
   */
  maxBuffer?: number | undefined;
  /**
   * Milliseconds for a connection of the emitter's own to be made, for each host.
   *
   * @default {5000}
   */
  connectTimeout?: number | undefined;
  /**
   * Milliseconds for a statement on a connection of the emitter's own; then the connection is given up.
   *
   * @default {10000}
   */
  statementTimeout?: number | undefined;
  /**
   * Milliseconds that `close()` waits for what was emitted before.
   *
   * @default {5000}
   */
  closeTimeout?: number | undefined;
  /**
   * The `secret` of the servers' adapters; of several, the first signs.
   */
  secret?: string | Uint8Array | readonly (string | Uint8Array)[] | undefined;
  /**
   * The `encrypt` of the servers' adapters.
   *
   * @default {false}
   */
  encrypt?: boolean | undefined;
  /**
   * Whether events are kept for clients that are away, so that they get them when they come back: for servers with
   * `connectionStateRecovery`. What is `volatile` is not kept.
   *
   * @default {false}
   */
  recovery?: boolean | undefined;
  /**
   * What carries the context of a trace to the servers: the `tracing` of their adapters, of which `send()` is called.
   */
  tracing?: PgAdapterTracing | undefined;
}

/** Options that are complete. */
export interface ResolvedEmitterOptions {
  readonly prefix: string;
  readonly maxPayload: number;
  readonly maxBuffer: number;
  readonly connectTimeout: number;
  readonly statementTimeout: number;
  readonly closeTimeout: number;
  readonly secret: Secret | readonly Secret[] | undefined;
  readonly encrypt: boolean;
  readonly recovery: boolean;
  readonly tracing: PgAdapterTracing | undefined;
  /** The wire of `@socket.io/postgres-adapter`, where it is spoken, too. */
  readonly official: OfficialOptions | undefined;
}

const DEFAULTS: Omit<ResolvedEmitterOptions, "official"> & OfficialWireOptions = {
  prefix: "socket.io",
  maxPayload: 32 * 1024 * 1024,
  maxBuffer: 64 * 1024 * 1024,
  connectTimeout: 5_000,
  // Longer than an adapter's: a large message is one statement here.
  statementTimeout: 10_000,
  closeTimeout: 5_000,
  secret: undefined,
  encrypt: false,
  recovery: false,
  tracing: undefined,
  wire: undefined,
  channelPrefix: undefined,
  tableName: undefined,
  payloadThreshold: undefined,
};

/**
 * Completes options.
 *
 * @throws PgAdapterError `INVALID_OPTION`, at the first one that is unknown or wrong.
 */
export function resolveEmitterOptions(given: EmitterOptions): ResolvedEmitterOptions {
  const known = Object.keys(DEFAULTS);
  const unknown = Object.keys(given).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new PgAdapterError(
      "INVALID_OPTION",
      `Cannot create emitter as it has no option "${unknown}": the options are ${known.join(", ")}`,
    );
  }
  const set = Object.entries(given).filter(([, value]) => value !== undefined);
  const options: typeof DEFAULTS = { ...DEFAULTS, ...Object.fromEntries(set) };
  const { prefix, maxPayload, maxBuffer, secret, encrypt, recovery } = options;
  checkPrefix(prefix, "emitter");
  for (const name of ["connectTimeout", "statementTimeout", "closeTimeout"] as const) {
    checkNumber(name, options[name], 1, MAX_MS, "milliseconds", "emitter");
  }
  checkNumber("maxPayload", maxPayload, 1, 256 * 1024 * 1024, "bytes", "emitter");
  checkNumber("maxBuffer", maxBuffer, 0, Number.MAX_SAFE_INTEGER, "bytes", "emitter");
  checkSealing(secret, encrypt, "emitter");
  checkBoolean("recovery", recovery, "emitter");
  checkTracing(options.tracing, "emitter");
  const official = resolveOfficial(options, "emitter");
  if (official !== undefined && recovery) {
    refuse("recovery", 'false with wire: "official"', recovery, "emitter");
  }
  return Object.freeze({ ...options, official });
}
