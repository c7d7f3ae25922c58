/**
 * What commands have in common.
 */
import { readFileSync } from "node:fs";
import { messageOf } from "../errors.ts";
import { MAX_MS } from "../options.ts";
import { MAX_PREFIX_BYTES } from "../wire/channel.ts";
import { MIN_SECRET_LENGTH } from "../wire/seal.ts";
import { isPlainText, utf8Length } from "../wire/utf8.ts";
import { type Given, type OptionKinds, UsageError } from "./arguments.ts";
import type { CliIo } from "./io.ts";

/** How a command ends. */
export const EXIT = { done: 0, failed: 1, misused: 2 } as const;

/** One command. */
export interface Command {
  readonly name: string;
  /** A line for the list of commands. */
  readonly summary: string;
  /** What `--help` prints. */
  readonly help: string;
  /** Its options, besides those that all commands have. */
  readonly options: OptionKinds;
  /**
   * Does it.
   *
   * @returns The exit code, where it has said itself what is wrong; otherwise it is done.
   * @throws UsageError when it was called wrongly; anything else when it failed.
   */
  run(given: Given, io: CliIo): Promise<number | void>;
}

/** Options of every command. */
export const COMMON_OPTIONS = {
  help: { type: "boolean", short: "h" },
} as const satisfies OptionKinds;

/** Options of commands that connect. */
export const CONNECTION_OPTIONS = {
  uri: { type: "string" },
} as const satisfies OptionKinds;

/** The option of commands that say nothing by themselves. */
export const VERBOSE_OPTION = {
  verbose: { type: "boolean", short: "v" },
} as const satisfies OptionKinds;

/** The option of commands that seal, or open what is sealed. */
export const SECRET_OPTION = {
  "secret-file": { type: "string" },
} as const satisfies OptionKinds;

/** Options of commands that speak the protocol. */
export const PROTOCOL_OPTIONS = {
  prefix: { type: "string" },
  ...SECRET_OPTION,
} as const satisfies OptionKinds;

/** What the help of commands that connect says of that. */
export const CONNECTION_HELP =
  `  --uri URI           the database: postgresql://user:password@host/database.
                      Without it DATABASE_URL, then PGHOST, PGUSER, PGPASSWORD …
  -h, --help          this text`;

/** The same of that option. */
export const VERBOSE_HELP = `  -v, --verbose       say what was done`;

/** What the help of commands that seal says of that. */
export const SECRET_HELP =
  `  --secret-file FILE  holds the "secret" of the servers. Without it SOCKETIO_PG_SECRET;
                      never on the command line, which every user can read`;

/** What the help of commands that speak the protocol says of that. */
export const PROTOCOL_HELP =
  `  --prefix PREFIX     the "prefix" of the servers, "socket.io" by default
${SECRET_HELP}`;

/**
 * The prefix of the servers.
 *
 * @throws UsageError when it cannot be one.
 */
export function prefixOf(given: Given): string {
  const prefix = given.value("prefix") ?? "socket.io";
  if (prefix !== "" && isPlainText(prefix) && utf8Length(prefix) <= MAX_PREFIX_BYTES) return prefix;
  throw new UsageError(
    `Cannot take the value of --prefix: it is text of 1 to ${MAX_PREFIX_BYTES} bytes`,
  );
}

/**
 * The secret of the servers, if there is one.
 *
 * @throws UsageError when the file cannot be read, or holds no secret. Nothing is said of what it holds.
 */
export function secretOf(given: Given, io: CliIo): string | undefined {
  const file = given.value("secret-file");
  // Editors end a file with a newline.
  const secret = file === undefined ? io.env.SOCKETIO_PG_SECRET : read(file).replace(/\r?\n$/, "");
  if (secret === undefined || (secret === "" && file === undefined)) return undefined;
  if (secret.length >= MIN_SECRET_LENGTH) return secret;
  const where = file === undefined ? "SOCKETIO_PG_SECRET" : "the file of --secret-file";
  throw new UsageError(
    `Cannot take the secret in ${where} as it has ${secret.length} characters: it needs at least ${MIN_SECRET_LENGTH}`,
  );
}

/**
 * The value of an option in seconds, as milliseconds that a timer takes.
 *
 * @param otherwise Seconds, where it is not given.
 * @throws UsageError when it is no number above zero.
 */
export function millisecondsOf(given: Given, name: string, otherwise: number): number {
  return Math.min((given.number(name, false) ?? otherwise) * 1_000, MAX_MS);
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new UsageError(`Cannot read the file of --secret-file: ${messageOf(cause)}`, { cause });
  }
}

/**
 * The namespace, with its slash.
 *
 * @param name As it was typed.
 */
export function namespaceOf(name: string): string {
  return name.startsWith("/") ? name : `/${name}`;
}

/**
 * Requires that there is nothing else.
 *
 * @param max How many arguments the command takes.
 * @throws UsageError when there are more.
 */
export function noMoreThan(max: number, given: Given, command: string): void {
  if (given.positionals.length <= max) return;
  throw new UsageError(
    `Cannot run "${command}" with ${given.positionals.length} arguments as it takes ${
      max === 0 ? "none" : `at most ${max}`
    }`,
  );
}
