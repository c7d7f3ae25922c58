/** The tables and functions of connection state recovery, and how they come into a database. */
import type { Session as Connection } from "../bus/session.ts";
import { codeOf, isPassing } from "../bus/sql_state.ts";
import { messageOf, PgAdapterError } from "../errors.ts";
import { RECOVERY_SQL_TEXT } from "./schema_text.ts";

/** The version of the functions; `socketio.recovery_version()` is what a database has. */
export const RECOVERY_VERSION = 1;

/** What PostgreSQL says when `lock_timeout` is over: https://www.postgresql.org/docs/current/errcodes-appendix.html */
const LOCK_NOT_AVAILABLE = "55P03";

/** How often a lock is waited for. */
const MAX_ATTEMPTS = 10;

/** What PostgreSQL says of a schema, a function or a table that is missing. */
const MISSING = ["3F000", "42883", "42P01"];

/**
 * The SQL that makes the tables and functions, for people whose migrations are managed.
 *
 * @param isDurable Whether what is kept survives a crash of the database.
 * @returns Many statements, to be run in one transaction.
 */
export function recoverySqlText(isDurable = false): string {
  return isDurable
    ? RECOVERY_SQL_TEXT.replaceAll("create unlogged table", "create table")
    : RECOVERY_SQL_TEXT;
}

/**
 * Makes a connection ready for the log: makes the tables and functions if they are not there.
 *
 * @param retentionMs For how many milliseconds what was sent is kept.
 * @returns The last number in the log.
 * @throws PgAdapterError `RECOVERY_UNAVAILABLE`, with the remedy.
 */
export async function beginLog(
  connection: Connection,
  retentionMs: number,
  isDurable: boolean,
): Promise<number> {
  try {
    for (let attempt = 1;; attempt++) {
      try {
        return await begin(connection, retentionMs, isDurable);
      } catch (fault) {
        // Others may make them at the same time.
        if (codeOf(fault) !== LOCK_NOT_AVAILABLE || attempt === MAX_ATTEMPTS) throw fault;
      }
    }
  } catch (cause) {
    // With another connection it may succeed.
    if (cause instanceof PgAdapterError || isPassing(codeOf(cause))) throw cause;
    throw new PgAdapterError(
      "RECOVERY_UNAVAILABLE",
      `Cannot keep sessions for connection state recovery: ${messageOf(cause)} (${
        codeOf(cause)
      }); have a role that may create a schema run what "socketio-pg install-sql --recovery --print" prints, and grant this role USAGE on the schema "socketio" and EXECUTE on its functions`,
      { cause },
    );
  }
}

async function begin(
  connection: Connection,
  retentionMs: number,
  isDurable: boolean,
): Promise<number> {
  if (!await isInstalled(connection)) await connection.query(recoverySqlText(isDurable));
  const [row] = await connection.query("select socketio.recovery_begin($1) as last", [
    String(retentionMs),
  ]);
  return Number(row?.["last"]);
}

async function isInstalled(connection: Connection): Promise<boolean> {
  try {
    const [row] = await connection.query("select socketio.recovery_version() as version");
    return Number(row?.["version"]) >= RECOVERY_VERSION;
  } catch (fault) {
    if (MISSING.includes(codeOf(fault))) return false;
    throw fault;
  }
}
