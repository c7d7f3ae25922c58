/** The tables and functions of connection state recovery, and how they come into a database. */
import type { Rows, Session as Connection } from "../bus/session.ts";
import { codeOf, isPassing } from "../bus/sql_state.ts";
import { messageOf, PgAdapterError } from "../errors.ts";
import { DURABLE_SQL_TEXT } from "./durable_text.ts";
import { RECOVERY_SQL_TEXT } from "./schema_text.ts";

/** The version of the functions; `socketio.recovery_version()` is what a database has. */
export const RECOVERY_VERSION = 1;

/**
 * What PostgreSQL says when `lock_timeout` is over, and of a deadlock:
 * https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
const LOCKED = ["55P03", "40P01"];

/** How long making the tables may take, in milliseconds: a busy server needs a while for them, once. */
const INSTALL_MS = 30_000;

/** How often a lock is waited for. */
const MAX_ATTEMPTS = 10;

/** What PostgreSQL says of a schema, a function or a table that is missing. */
const MISSING = ["3F000", "42883", "42P01"];

/**
 * The SQL that makes the tables and functions, for people whose migrations are managed.
 *
 * @param isDurable Whether what is kept is to survive a crash of the database; tables that are there are changed then.
 * Without it those that are there stay as they are.
 * @returns Many statements, to be run in one transaction.
 */
export function recoverySqlText(isDurable = false): string {
  if (!isDurable) return RECOVERY_SQL_TEXT;
  // What is pending is only there until its transaction ends; and one is there to be empty after a crash.
  const durable = RECOVERY_SQL_TEXT.replaceAll(
    /create unlogged table (?!if not exists socketio\.recovery_(?:pending|alive)\b)/g,
    "create table ",
  );
  return `${durable}\n${DURABLE_SQL_TEXT}`;
}

/** What runs SQL. */
export interface Runner {
  query(text: string): PromiseLike<Rows>;
}

/** What a database has of the log. */
export interface Installed {
  /** 0 where there is none. */
  readonly version: number;
  /** Whether it survives a crash of the database. */
  readonly isDurable: boolean;
}

/**
 * Makes the tables and functions, or brings them up to date; those of a later version are left as they are.
 *
 * @param isDurable See {@linkcode recoverySqlText}.
 * @returns What is there now.
 */
export async function installRecovery(runner: Runner, isDurable: boolean): Promise<Installed> {
  const { version } = await installed(runner);
  if (version <= RECOVERY_VERSION) await runner.query(recoverySqlText(isDurable));
  else if (isDurable) await runner.query(DURABLE_SQL_TEXT);
  return await installed(runner);
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
        if (!LOCKED.includes(codeOf(fault)) || attempt === MAX_ATTEMPTS) throw fault;
      }
    }
  } catch (cause) {
    // With another connection it may succeed.
    if (cause instanceof PgAdapterError || isPassing(codeOf(cause))) throw cause;
    throw new PgAdapterError(
      "RECOVERY_UNAVAILABLE",
      `Cannot keep sessions for connection state recovery: ${messageOf(cause)} (${
        codeOf(cause)
      }); have a role that may create a schema run what "socketio-pg install-sql --recovery${
        isDurable ? " --durable" : ""
      } --print" prints, and grant this role USAGE on the schema "socketio" and EXECUTE on its functions`,
      { cause },
    );
  }
}

async function begin(
  connection: Connection,
  retentionMs: number,
  isDurable: boolean,
): Promise<number> {
  const found = await installed(connection);
  let limit: number | undefined;
  if (found.version < RECOVERY_VERSION || isDurable && !found.isDurable) {
    // The limit of a statement is meant for each of the many.
    limit = INSTALL_MS;
    const runner: Runner = { query: (text) => connection.query(text, undefined, limit) };
    await installRecovery(runner, isDurable);
  }
  const [row] = await connection.query(
    "select socketio.recovery_begin($1) as last",
    [String(retentionMs)],
    // Others that start at the same time make them once more, which locks them; and behind a pooler a connection has no
    // limit for locks.
    limit,
  );
  return Number(row?.["last"]);
}

async function installed(runner: Runner): Promise<Installed> {
  try {
    const [row] = await runner.query(
      `select socketio.recovery_version() as version, (select relpersistence = 'p' from pg_catalog.pg_class
        where oid = 'socketio.recovery_state'::pg_catalog.regclass) as durable`,
    );
    return { version: Number(row?.["version"]), isDurable: row?.["durable"] === true };
  } catch (fault) {
    if (MISSING.includes(codeOf(fault))) return { version: 0, isDurable: false };
    throw fault;
  }
}
