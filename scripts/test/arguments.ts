/**
 * The command line of `deno task test`.
 *
 * @module
 */

import { availableParallelism } from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import type { Jobs } from "./workers.ts";

/** What can be run: three runtimes on the source, the packed npm package on Node 20, pages in a browser. */
export const SUITES = ["deno", "bun", "node", "package", "browser"] as const;

/** One of {@linkcode SUITES}. */
export type Suite = (typeof SUITES)[number];

/** What to run. */
export interface Arguments {
  readonly suites: readonly Suite[];
  /** Parts of the files' paths; none means all files. */
  readonly filters: readonly string[];
  readonly times: number;
  /** How many files run at a time. */
  readonly jobs: Jobs;
  readonly postgresBin: string | undefined;
  readonly isHelp: boolean;
}

/** How to call it. */
export const USAGE = `deno task test [suite…] [part of a file's path…] [options]

  deno task test                            all files on Deno, Bun and Node, and the packed package on Node 20
  deno task test bun contract/broadcast     the files whose path contains that, on Bun
  deno task test node --times 20            20 times in a row, up to the first failure

Suites: ${SUITES.join(", ")} (pages in Chromium, only when named)

  --times N            repeat each suite, up to the first failure
  --jobs N[-M]         run N files at a time, and up to M while the processors have time left;
                       three to eight for two processors unless it is said
  --postgres-bin DIR   start the PostgreSQL whose binaries are in DIR
  --help               this text

DATABASE_URL is used where it is set; otherwise a PostgreSQL is started, and stopped at the end.`;

/**
 * Reads the command line.
 *
 * @param args The words after the script's name.
 * @returns What they ask for.
 * @throws {TypeError} If they cannot be understood.
 */
export function parseArguments(args: readonly string[]): Arguments {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      times: { type: "string", default: "1" },
      jobs: { type: "string", default: usualJobs() },
      "postgres-bin": { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  const times = count("times", values.times);
  const [least, most = least] = values.jobs.split("-").map((text) => count("jobs", text));
  const isSuite = (word: string): word is Suite => (SUITES as readonly string[]).includes(word);
  const suites = positionals.filter(isSuite);
  return {
    suites: suites.length > 0 ? suites : SUITES.filter((suite) => suite !== "browser"),
    filters: positionals.filter((word) => !isSuite(word)).map(plainPath),
    times,
    jobs: { least: least!, most: most! },
    postgresBin: values["postgres-bin"],
    isHelp: values.help,
  };
}

function usualJobs(): string {
  const processors = availableParallelism();
  const least = Math.ceil(1.5 * processors);
  // How many connections the database of somebody else allows is not known.
  const most = process.env["DATABASE_URL"] === undefined ? 4 * processors : least;
  return `${least}-${most}`;
}

function count(option: string, text: string): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= 1) return number;
  throw new TypeError(
    `Cannot run the tests as --${option} must be a whole number of 1 or more: current value is "${text}"`,
  );
}

/** The part of a test file's path that source and compiled files have in common. */
export function plainPath(path: string): string {
  return path.replace(/^\.\//, "").replace(/^tests\//, "").replace(/\.[cm]?[jt]s$/, "");
}
