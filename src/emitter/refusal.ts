/**
 * What an emitter says when it was refused what it sends.
 */
import { codeOf } from "../bus/sql_state.ts";
import { messageOf, PgAdapterError } from "../errors.ts";

/** What PostgreSQL says where the log is not: no schema, function or table. */
const MISSING: readonly string[] = ["3F000", "42883", "42P01"];

/** What it says to who may not use it: insufficient_privilege. */
const FORBIDDEN = "42501";

/** PostgreSQL, or what stands before it, did not take something. */
export function refusal(cause: unknown): PgAdapterError {
  return new PgAdapterError(
    "PUBLISH_FAILED",
    `Cannot emit as PostgreSQL did not take it: ${reasonOf(cause)}`,
    { cause },
  );
}

/** The same for what is to be kept, for which a database needs the log. */
export function unkept(cause: unknown): PgAdapterError {
  const code = codeOf(cause);
  const remedy = MISSING.includes(code)
    ? 'run "socketio-pg install-sql --recovery"'
    : code === FORBIDDEN
    ? 'grant this role USAGE on the schema "socketio" and EXECUTE on socketio.recovery_send(json)'
    : undefined;
  if (remedy === undefined) return refusal(cause);
  return new PgAdapterError(
    "RECOVERY_UNAVAILABLE",
    `Cannot keep what is emitted for connection state recovery: ${reasonOf(cause)}; ${remedy}`,
    { cause },
  );
}

function reasonOf(cause: unknown): string {
  const code = codeOf(cause);
  return code === "" ? messageOf(cause) : `${messageOf(cause)} (${code})`;
}
