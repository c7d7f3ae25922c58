/** Codes of errors, see https://www.postgresql.org/docs/current/errcodes-appendix.html */

/** Of a queue of notifications that is full: program_limit_exceeded. */
export const QUEUE_FULL = "54000";

/** Of NOTIFY on a standby, as a server that was demoted is: read_only_sql_transaction. */
export const READ_ONLY = "25006";

/** The code of an error, of PostgreSQL or of the system; empty when it has none. */
export function codeOf(fault: unknown): string {
  return fault !== null && typeof fault === "object" && "code" in fault ? String(fault.code) : "";
}

/** Whether a condition is one that passes: another attempt may succeed. */
export function isPassing(code: string): boolean {
  return /^(40|53|54|55|57|58)/.test(code);
}
