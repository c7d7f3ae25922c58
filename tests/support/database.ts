/**
 * The database that a test file talks to.
 *
 * @module
 */

import process from "node:process";
import { type PostgresServer, startPostgres } from "./postgres.ts";

let server: Promise<PostgresServer> | undefined;

/**
 * `DATABASE_URL` where it is set, as the test command does; else a PostgreSQL for this process alone, so
 * that one test file runs by itself. It does not keep the process alive, and ends with it.
 *
 * @returns The uri to connect to.
 */
export async function databaseUri(): Promise<string> {
  const given = process.env["DATABASE_URL"];
  if (given !== undefined && given !== "") return given;
  server ??= startPostgres();
  return (await server).uri;
}
