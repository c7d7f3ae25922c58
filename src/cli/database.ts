/**
 * The connection of a command that does one thing.
 */
import { messageOf, PgAdapterError } from "../errors.ts";
import { Session } from "../bus/session.ts";
import { type ConnectionSettings, connectionSettings, describeTarget } from "../bus/settings.ts";
import { type Given, UsageError } from "./arguments.ts";

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
  try {
    return connectionSettings(given.value("uri"));
  } catch (fault) {
    throw new UsageError(messageOf(fault), { cause: fault });
  }
}

/** A connection that is open. */
export interface OpenSession {
  readonly session: Session;
  /** What it is connected to, without the password. */
  readonly where: string;
}

/**
 * Connects to the first host that works.
 *
 * @throws PgAdapterError when none does.
 */
export async function openSession(settings: ConnectionSettings): Promise<OpenSession> {
  const limits = { connect: CONNECT_MS, statement: STATEMENT_MS, isOwn: false };
  const failures: PgAdapterError[] = [];
  for (const address of settings.addresses) {
    const session = new Session(settings, address, "socketio-pg:cli", limits, {
      // Whoever waits for an answer is told.
      lost: () => {},
    });
    try {
      await session.open();
      return { session, where: describeTarget(settings, address) };
    } catch (fault) {
      await session.end();
      if (!(fault instanceof PgAdapterError)) throw fault;
      failures.push(fault);
    }
  }
  throw new PgAdapterError("CONNECT_FAILED", failures.map(messageOf).join("; "), {
    cause: failures[0],
  });
}
