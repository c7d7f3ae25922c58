/**
 * The PostgreSQL that a run of the tests uses.
 *
 * @module
 */

import process from "node:process";
import { startPostgres } from "../../tests/support/postgres.ts";
import type { Progress } from "../toolchain.ts";

/** Where to test. */
export interface TestDatabase {
  /**
   * The database for what has that place, see `runEach()`: NOTIFY wakes whoever listens in the same database, and what
   * recovery keeps has one lock there, so files that run at the same time have one each where that can be.
   */
  uriOf(place: number): Promise<string>;
  /** Settles with the last words of a server that was started here and ends. */
  readonly ended: Promise<string>;
  stop(): Promise<void>;
}

/**
 * `DATABASE_URL` where it is set, else a server that is started for this run.
 *
 * @param bin The folder of the PostgreSQL to start, whatever `DATABASE_URL` says.
 * @param onProgress Called at each step.
 * @returns A server that answers.
 * @throws {Error} If it does not answer or cannot be started.
 */
export async function openDatabase(
  bin: string | undefined,
  onProgress: Progress,
): Promise<TestDatabase> {
  const given = process.env["DATABASE_URL"];
  if (given === undefined || given === "" || bin !== undefined) {
    const start = performance.now();
    const server = await startPostgres({ onProgress, ...(bin === undefined ? {} : { bin }) });
    onProgress(`PostgreSQL ${server.version} is up after ${inSeconds(performance.now() - start)}`);
    const uris = new Map<number, Promise<string>>();
    return {
      uriOf(place) {
        const uri = uris.get(place) ?? createDatabase(server.uri, `test_${place}`);
        uris.set(place, uri);
        return uri;
      },
      ended: server.ended,
      stop: () => server.stop(),
    };
  }
  const { default: postgres } = await import("postgres");
  const sql = postgres(given, { max: 1, connect_timeout: 10, onnotice: () => {} });
  try {
    const [row] = await sql<{ server_version: string }[]>`show server_version`;
    onProgress(`Using the PostgreSQL ${row?.server_version} of DATABASE_URL`);
  } catch (error) {
    throw new Error(
      `Cannot reach the database of DATABASE_URL, ${withoutPassword(given)}: unset it to use a ` +
        `PostgreSQL that is started for the tests`,
      { cause: error },
    );
  } finally {
    await sql.end({ timeout: 1 });
  }
  return {
    uriOf: () => Promise.resolve(given),
    ended: new Promise(() => {}),
    stop: () => Promise.resolve(),
  };
}

async function createDatabase(uri: string, name: string): Promise<string> {
  const { default: postgres } = await import("postgres");
  const sql = postgres(uri, { max: 1, onnotice: () => {} });
  try {
    await sql`create database ${sql(name)}`;
  } finally {
    await sql.end({ timeout: 5 });
  }
  const own = new URL(uri);
  own.pathname = `/${name}`;
  return own.href;
}

/** As in "1.5 s". */
export function inSeconds(milliseconds: number): string {
  return `${(milliseconds / 1_000).toFixed(1)} s`;
}

function withoutPassword(uri: string): string {
  return uri.replace(/(\/\/[^:@/]*):[^@/]*@/, "$1:…@");
}
