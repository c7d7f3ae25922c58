/**
 * The connection of a command that does one thing.
 */
import { messageOf, PgAdapterError } from "../errors.ts";
import { Session } from "../bus/session.ts";
import {
  type Address,
  type ConnectionSettings,
  connectionSettings,
  describeTarget,
} from "../bus/settings.ts";
import { type Given, UsageError } from "./arguments.ts";
import { noMoreThan } from "./command.ts";

/** Milliseconds to connect to a host. */
const CONNECT_MS = 5_000;

/** Milliseconds for a statement: a large message, functions that others install at the same time. */
const STATEMENT_MS = 60_000;

/**
 * Where to connect.
 *
 * @throws UsageError when that cannot be read, without the password.
 */
export function settingsOf(given: Given): ConnectionSettings {
  return settingsFor(given.value("uri"));
}

/**
 * The same for a command whose only argument is the database.
 *
 * @throws UsageError when there is more than one, too.
 */
export function settingsOfArgument(given: Given, command: string): ConnectionSettings {
  noMoreThan(1, given, command);
  const [uri] = given.positionals;
  if (uri !== undefined && given.has("uri")) {
    throw new UsageError("Cannot take the database twice: as an argument, or as --uri");
  }
  return settingsFor(uri ?? given.value("uri"));
}

function settingsFor(uri: string | undefined): ConnectionSettings {
  try {
    return connectionSettings(uri);
  } catch (fault) {
    throw new UsageError(messageOf(fault), { cause: fault });
  }
}

/** What a connection is for. */
export interface SessionUse {
  /** What others see as its "application_name". */
  readonly name?: string;
  /** Milliseconds for a statement, and for a notification of its own to come back. */
  readonly statementMs?: number;
  /** Whether the server is told what ours need, as the connections of servers do. */
  readonly isOwn?: boolean;
  notification?(channel: string, payload: string): void;
}

/** A connection that is open. */
export interface OpenSession {
  readonly session: Session;
  readonly address: Address;
  /** What it is connected to, without the password. */
  readonly where: string;
  /** What the hosts before it failed with. */
  readonly failures: readonly PgAdapterError[];
}

/**
 * Connects to the first host that works.
 *
 * @throws PgAdapterError when none does.
 */
export async function openSession(
  settings: ConnectionSettings,
  use: SessionUse = {},
): Promise<OpenSession> {
  const { name = "socketio-pg:cli", statementMs = STATEMENT_MS, isOwn = false } = use;
  const limits = { connect: CONNECT_MS, statement: statementMs, isOwn };
  const failures: PgAdapterError[] = [];
  for (const address of settings.addresses) {
    const session = new Session(settings, address, name, limits, {
      // Whoever waits for an answer is told.
      lost: () => {},
      notification: (channel, payload) => use.notification?.(channel, payload),
    });
    try {
      await session.open();
      return { session, address, where: describeTarget(settings, address), failures };
    } catch (fault) {
      await session.end();
      if (!(fault instanceof PgAdapterError)) throw fault;
      failures.push(fault);
    }
  }
  // A host that answers says more than one that is away.
  const { code } = failures.find((each) => each.code !== "CONNECT_FAILED") ?? failures[0]!;
  throw new PgAdapterError(code, failures.map(messageOf).join("; "), { cause: failures[0] });
}
