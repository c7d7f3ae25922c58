/**
 * The command line of `deno task soak`.
 *
 * @module
 */

import { parseArgs } from "node:util";

/** What is asked for. */
export interface Arguments {
  readonly minutes: number;
  readonly seed: number;
  readonly runtime: "deno" | "bun" | "node" | "all";
  /** Messages per second of each server. */
  readonly rate: number;
  readonly isQuick: boolean;
  /** Only faults whose names contain one of these. */
  readonly only: readonly string[];
  readonly isHelp: boolean;
}

/** How to call it. */
export const USAGE = `deno task soak [minutes] [options]

  deno task soak                       ten minutes
  deno task soak 60 --seed 7           an hour, with the faults of another run
  deno task soak 5 --only silence      only the kinds of fault with that in their names

Three servers that talk all the time over a PostgreSQL of its own, and a fault every 3 to 15 seconds.
It fails when a promise is broken; docs/RELIABILITY.md says which there are.

  --seed N        chooses faults and traffic
  --runtime NAME  deno, bun, node, or all: one server in each (the default)
  --rate N        messages per second of each server (100)
  --quick         adapters with short time limits in place of the defaults
  --only TEXT     kinds of fault; may be given more than once
  --help          this text`;

/**
 * Reads the command line.
 *
 * @throws {TypeError} If it cannot be understood.
 */
export function parseArguments(args: readonly string[]): Arguments {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      seed: { type: "string" },
      runtime: { type: "string", default: "all" },
      rate: { type: "string", default: "100" },
      quick: { type: "boolean", default: false },
      only: { type: "string", multiple: true, default: [] },
      help: { type: "boolean", default: false },
    },
  });
  const { runtime } = values;
  if (runtime !== "deno" && runtime !== "bun" && runtime !== "node" && runtime !== "all") {
    throw new TypeError(
      `Cannot run the soak as --runtime must be deno, bun, node or all: current value is "${runtime}"`,
    );
  }
  if (positionals.length > 1) {
    throw new TypeError(
      `Cannot run the soak as it takes one number of minutes: current value is "${
        positionals.join(" ")
      }"`,
    );
  }
  const random = crypto.getRandomValues(new Uint32Array(1))[0];
  return {
    minutes: numberOf("the number of minutes", positionals[0] ?? "10"),
    seed: numberOf("--seed", values.seed ?? `${random}`),
    runtime,
    rate: numberOf("--rate", values.rate),
    isQuick: values.quick,
    only: values.only,
    isHelp: values.help,
  };
}

function numberOf(what: string, text: string): number {
  const number = Number(text);
  if (text.trim() !== "" && number >= 0 && Number.isFinite(number)) return number;
  throw new TypeError(
    `Cannot run the soak as ${what} must be a number of 0 or more: current value is "${text}"`,
  );
}
