#!/usr/bin/env node
/**
 * The command line: emits, shows what travels and who is there, looks whether a database is fit for servers and how fast
 * it is, installs the SQL functions, prints triggers. This module is a program: it runs when it is imported.
 *
 * @example
 * ```sh
 * deno run -A jsr:@x/socketio-pg/cli --help
 * npx @x/socketio-pg --help
 * ```
 *
 * @module
 */
import process from "node:process";
import { run } from "./cli/main.ts";
import { processIo } from "./cli/process_io.ts";

run(process.argv.slice(2), processIo()).then((code) => {
  process.exitCode = code;
});
