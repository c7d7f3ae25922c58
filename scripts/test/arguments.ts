/**
 * The command line of `deno task test`.
 *
 * @module
 */

import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";

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
  readonly jobs: number;
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
  --jobs N             run so many files at a time; three for two processors unless it is said
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
      jobs: { type: "string", default: String(Math.ceil(1.5 * availableParallelism())) },
      "postgres-bin": { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  const [times, jobs] = [count("times", values.times), count("jobs", values.jobs)];
  const isSuite = (word: string): word is Suite => (SUITES as readonly string[]).includes(word);
  const suites = positionals.filter(isSuite);
  return {
    suites: suites.length > 0 ? suites : SUITES.filter((suite) => suite !== "browser"),
    filters: positionals.filter((word) => !isSuite(word)).map(plainPath),
    times,
    jobs,
    postgresBin: values["postgres-bin"],
    isHelp: values.help,
  };
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
