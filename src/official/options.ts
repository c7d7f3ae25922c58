/**
 * What is set of the wire of `@socket.io/postgres-adapter`, by the names that its users know.
 */
import { checkNumber, MAX_MS, type OptionsOwner, refuse } from "../options.ts";
import { MAX_CHANNEL_BYTES } from "../wire/channel.ts";
import { isPlainText, utf8Length } from "../wire/utf8.ts";

/** Options of the other wire as they are given. Each may be left out or `undefined`. */
export interface OfficialWireOptions {
  /**
   * `"official"`: besides its own wire it speaks that of `@socket.io/postgres-adapter` 0.5, so that a cluster of theirs is
   * moved over one server at a time, and back.
   *
   * @default {undefined}
   */
  wire?: "official" | undefined;
  /**
   * With `wire: "official"`: the `channelPrefix` of their servers, the start of the names of their channels.
   *
   * @default {"socket.io"}
   */
  channelPrefix?: string | undefined;
  /**
   * With `wire: "official"`: the `tableName` of their servers, the table for what is binary or too large for NOTIFY. It is
   * made when it is needed and not there. A name of SQL, with or without a schema and quotes.
   *
   * @default {"socket_io_attachments"}
   */
  tableName?: string | undefined;
  /**
   * With `wire: "official"`: the most bytes of a message that does without the table, up to 8000.
   *
   * @default {8000}
   */
  payloadThreshold?: number | undefined;
}

/** The same of a server, which also cleans the table. */
export interface OfficialServerOptions extends OfficialWireOptions {
  /**
   * With `wire: "official"`: milliseconds between two cleanings of the table, and the age of what they delete.
   *
   * @default {30000}
   */
  cleanupInterval?: number | undefined;
}

/** Options of the other wire, complete. */
export interface OfficialOptions {
  readonly channelPrefix: string;
  readonly tableName: string;
  readonly payloadThreshold: number;
  readonly cleanupInterval: number;
}

/** NOTIFY takes less than that; theirs is the same. */
const MAX_THRESHOLD = 8_000;

const DEFAULTS: OfficialOptions = {
  channelPrefix: "socket.io",
  tableName: "socket_io_attachments",
  payloadThreshold: MAX_THRESHOLD,
  cleanupInterval: 30_000,
};

/** A name of SQL, or two of them: it stands in statements as it is, as it does in theirs. */
const TABLE_NAME =
  /^(?:[\p{L}_][\p{L}\p{N}_$]*|"(?:[^"\0]|"")+")(?:\.(?:[\p{L}_][\p{L}\p{N}_$]*|"(?:[^"\0]|"")+"))?$/u;

/**
 * Completes options.
 *
 * @returns Nothing where the other wire is not spoken.
 * @throws PgAdapterError `INVALID_OPTION`, at the first one that is wrong, or is of no use without `wire`.
 */
export function resolveOfficial(
  given: OfficialServerOptions,
  owner: OptionsOwner = "adapter",
): OfficialOptions | undefined {
  const { wire, channelPrefix, tableName, payloadThreshold, cleanupInterval } = given;
  const others = Object.entries({ channelPrefix, tableName, payloadThreshold, cleanupInterval })
    .filter(([, value]) => value !== undefined);
  if (wire === undefined) {
    for (const [name, value] of others) {
      refuse(name, 'left out without wire: "official"', value, owner);
    }
    return undefined;
  }
  if (wire !== "official") refuse("wire", '"official" or left out', wire, owner);
  const options: OfficialOptions = { ...DEFAULTS, ...Object.fromEntries(others) };
  const prefix: unknown = options.channelPrefix;
  // The shortest name of a namespace is "/".
  const maxPrefix = MAX_CHANNEL_BYTES - "#/".length;
  if (typeof prefix !== "string" || !isPlainText(prefix) || utf8Length(prefix) > maxPrefix) {
    refuse("channelPrefix", `text of at most ${maxPrefix} bytes without NUL`, prefix, owner);
  }
  const table: unknown = options.tableName;
  if (typeof table !== "string" || !TABLE_NAME.test(table) || !table.isWellFormed()) {
    refuse("tableName", "the name of a table in SQL", table, owner);
  }
  checkNumber("payloadThreshold", options.payloadThreshold, 1, MAX_THRESHOLD, "bytes", owner);
  checkNumber("cleanupInterval", options.cleanupInterval, 1, MAX_MS, "milliseconds", owner);
  return Object.freeze(options);
}
