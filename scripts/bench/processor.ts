/**
 * Processor time of programs that are not ours, as Linux tells it.
 *
 * @module
 */

import { readdirSync, readFileSync } from "node:fs";
import type { Sql } from "postgres";

/** Linux counts in hundredths of a second, whatever the machine. */
const TICK_US = 10_000;

/** Microseconds of processor time of a process, and of its children, those that have ended included. */
export function processorTime(pid: number): number {
  let ticks = 0;
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const fields = statOf(name);
    if (fields === undefined) continue;
    const [parent, user = 0, system = 0, endedUser = 0, endedSystem = 0] = fields;
    if (Number(name) === pid) ticks += user + system + endedUser + endedSystem;
    else if (parent === pid) ticks += user + system;
  }
  return ticks * TICK_US;
}

/** The process that all others of a database server are children of. */
export async function postmasterOf(sql: Sql): Promise<number> {
  const [row] = await sql<{ pid: string }[]>`
    select split_part(pg_read_file('postmaster.pid'), ${"\n"}, 1) as pid`;
  return Number(row?.pid);
}

/** Its parent and its times; nothing when it has ended. */
function statOf(pid: string): number[] | undefined {
  try {
    // The name, in parentheses, may have anything in it.
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
    return [fields[1], ...fields.slice(11, 15)].map(Number);
  } catch (fault) {
    if (["ENOENT", "ESRCH"].includes((fault as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw fault;
  }
}
