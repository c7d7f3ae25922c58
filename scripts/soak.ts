/**
 * A long run of random faults under random traffic: `deno task soak --help` says how, docs/RELIABILITY.md what for.
 *
 * @module
 */

import process from "node:process";
import { startPostgres } from "../tests/support/postgres.ts";
import { type Arguments, parseArguments, USAGE } from "./soak/arguments.ts";
import type { Program } from "./soak/member.ts";
import { Soak } from "./soak/soak.ts";
import { leaks, summary } from "./soak/summary.ts";
import { runtimes } from "./toolchain.ts";

/** How many of the last faults are repeated at the end of a run that failed. */
const LAST_FAULTS = 10;

const say = (line: string): void => console.log(line);
const options = read();
const found = await runtimes(say);
const programs =
  (options.runtime === "all"
    ? ["deno", "bun", "node"] as const
    : [options.runtime, options.runtime, options.runtime]).map((name): Program => ({
      name,
      path: found[name],
    }));
const command = [
  `deno task soak ${options.minutes} --seed ${options.seed} --runtime ${options.runtime}`,
  `--rate ${options.rate}${options.isQuick ? " --quick" : ""}`,
  ...options.only.map((text) => `--only ${JSON.stringify(text)}`),
].join(" ");

const database = await startPostgres({ onProgress: say });
const soak = new Soak(options, database, say);
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    say("\nInterrupted");
    // What is under way fails from now on, which nobody needs to hear.
    soak.stop().catch(() => {}).then(() => database.stop()).finally(() => process.exit(130));
  });
}
say(`seed ${options.seed}`);
try {
  await soak.run(programs);
} catch (error) {
  soak.broken.push(`the run failed: ${error instanceof Error ? error.stack : error}`);
} finally {
  await database.stop();
}

for (const line of summary(soak)) console.log(line);
const broken = [...soak.broken, ...leaks(soak)];
if (broken.length > 0) {
  console.log(`\n${broken.length} promises were broken:`);
  for (const line of broken.slice(0, 20)) console.log(line);
  console.log(`\nThe last faults:\n${soak.faults.slice(-LAST_FAULTS).join("\n")}`);
}
console.log(`\n${broken.length > 0 ? "FAILED" : "passed"}: ${command}`);
process.exit(broken.length > 0 ? 1 : 0);

function read(): Arguments {
  try {
    const options = parseArguments(Deno.args);
    if (!options.isHelp) return options;
    console.log(USAGE);
    process.exit(0);
  } catch (error) {
    console.log(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
    process.exit(2);
  }
}
