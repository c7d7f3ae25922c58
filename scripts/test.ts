/**
 * Runs the tests: `deno task test --help` says how.
 *
 * Each file runs in a process of its own, so that a crash or a hang is one file's, and nothing but the
 * database is shared between files.
 *
 * @module
 */

import process from "node:process";
import { parseArguments, plainPath, type Suite, USAGE } from "./test/arguments.ts";
import { inSeconds, openDatabase, type TestDatabase } from "./test/database.ts";
import { type Plan, plansOf, SkippedSuite } from "./test/plans.ts";
import { type FileResult, killAll, runFile } from "./test/run_file.ts";
import { runEach } from "./test/workers.ts";
import { type Runtimes, runtimes } from "./toolchain.ts";

/** A file to run. */
interface Task {
  readonly plan: Plan;
  readonly round: number;
  readonly file: string;
}

/** How long one file may take. */
const FILE_LIMIT = 300_000;
/** From when it is worth a word that something keeps a file's process alive. */
const IDLE_WORTH_SAYING = 1_000;
/** How many of the slowest tests are listed, of those that took this long. */
const SLOWEST = 10;
const SLOW = 10_000;
const say = (line = ""): void => console.log(line);
const passed: number[] = [], skipped: number[] = [];
const failures: { title: string; file: string; name: string; message: string }[] = [];
const slow: { where: string; milliseconds: number }[] = [];
const outputs = new Map<string, string>();
let lastHeading = "";

let options;
try {
  options = parseArguments(Deno.args);
} catch (error) {
  say(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
  process.exit(2);
}
if (options.isHelp) {
  say(USAGE);
  process.exit(0);
}
const { suites, filters, times, jobs } = options;

let database: TestDatabase | undefined;
/** Set at the end, and when going on makes no sense. */
let isDone = false;
let isInterrupted = false;
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    isDone = isInterrupted = true;
    say("\nInterrupted");
    killAll();
    // The server ends with this process in any case: this is only to have it end first.
    (database?.stop() ?? Promise.resolve()).finally(() => process.exit(130));
  });
}

const start = performance.now();
try {
  const found = await runtimes(say);
  database = await openDatabase(options.postgresBin, say);
  database.ended.then((words) => {
    if (isDone) return;
    fail({ title: "PostgreSQL", file: "", name: "ended while the tests ran", message: words });
    isDone = true;
    killAll();
  });
  const { uriOf } = database;
  const tasks: Task[] = [];
  // All of it before the first file: faults come first, which are judged by limits of time.
  for (const suite of suites) tasks.push(...await tasksOf(suite, found));
  await runEach(tasks, jobs, async (task, place) => {
    if (!isDone) await runTask(task, testEnvironment(await uriOf(place)));
  });
} catch (error) {
  fail({ title: "tests", file: "", name: "cannot be run", message: messageOf(error) });
} finally {
  isDone = true;
  killAll();
  await database?.stop();
}
if (isInterrupted) await new Promise(() => {}); // the signal's handler ends the process
report();
process.exit(failures.length === 0 ? 0 : 1);

/** Each file of a suite, as often as it is asked for; none if it cannot be run, which is told. */
async function tasksOf(suite: Suite, found: Runtimes): Promise<Task[]> {
  if (isDone) return [];
  try {
    const plans = await plansOf(suite, found, filters, say);
    if (plans.length === 0 && filters.length === 0) throw new Error("There is no test file");
    const rounds = Array.from({ length: times }, (_, i) => i + 1);
    return plans.flatMap((plan) =>
      rounds.flatMap((round) => plan.files.map((file) => ({ plan, round, file })))
    );
  } catch (error) {
    if (error instanceof SkippedSuite) {
      say(`\nSkipped the suite "${suite}": ${error.message}`);
      skipped.push(1);
    } else fail({ title: suite, file: "", name: "cannot be run", message: messageOf(error) });
    return [];
  }
}

async function runTask({ plan, round, file }: Task, environment: NodeJS.ProcessEnv): Promise<void> {
  const { title, runner, folder, env } = plan;
  const hasFailed = failures.some((failure) => failure.title === title);
  if (isDone || (times > 1 && hasFailed)) return;
  const test = { file, folder, env: { ...environment, ...env }, limit: FILE_LIMIT };
  const result = await runFile(runner, test);
  if (!isDone) record(times > 1 ? `${title}, round ${round} of ${times}` : title, title, result);
}

/** What is set on this machine for other programs must not reach the tests. */
function testEnvironment(uri: string): NodeJS.ProcessEnv {
  // Libraries of the server under test are not those of servers that tests start.
  const foreign =
    /^(PG[A-Z]+|LD_LIBRARY_PATH|NODE_OPTIONS|NODE_TEST_CONTEXT|NODE_ENV|FORCE_COLOR|DEBUG|BUN_OPTIONS)$/;
  return {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name))),
    DATABASE_URL: uri,
  };
}

function record(heading: string, title: string, result: FileResult): void {
  // The last files of a suite run beside the first ones of the next.
  if (heading !== lastHeading) say(`\n${lastHeading = heading}`);
  passed.push(result.passed);
  skipped.push(result.skipped);
  const counts = [
    `${result.passed} passed`,
    ...(result.failures.length > 0 ? [`${result.failures.length} FAILED`] : []),
    ...(result.skipped > 0 ? [`${result.skipped} skipped`] : []),
  ];
  const idle = result.idleMilliseconds < IDLE_WORTH_SAYING
    ? ""
    : `, ${inSeconds(result.idleMilliseconds)} of them after its last test`;
  say(
    `  ${plainPath(result.file).padEnd(36)} ${counts.join(", ").padEnd(22)} ` +
      inSeconds(result.milliseconds) + idle,
  );
  for (const { name, milliseconds } of result.durations) {
    if (milliseconds < SLOW) continue;
    slow.push({ where: `${title} · ${plainPath(result.file)} · ${name}`, milliseconds });
  }
  for (const { name, message } of result.failures) {
    fail({ title, file: result.file, name, message });
  }
  if (result.failures.length > 0) outputs.set(`${title} · ${result.file}`, result.output);
}

function fail(failure: (typeof failures)[number]): void {
  failures.push(failure);
  say(`    FAIL ${[failure.title, failure.file, failure.name].filter(Boolean).join(" · ")}`);
}

function report(): void {
  for (const [where, output] of outputs) {
    say(`\n---- output of ${where}\n${output.trimEnd().split("\n").slice(-150).join("\n")}`);
  }
  if (failures.length > 0) say("\n---- failures");
  for (const { title, file, name, message } of failures) {
    say(`\n${[title, file, name].filter(Boolean).join(" · ")}`);
    say(message.split("\n").slice(0, 25).map((line) => `    ${line}`).join("\n"));
  }
  if (slow.length > 0) say("\n---- the slowest tests");
  slow.sort((a, b) => b.milliseconds - a.milliseconds);
  for (const { where, milliseconds } of slow.slice(0, SLOWEST)) {
    say(`${inSeconds(milliseconds).padStart(8)}  ${where}`);
  }
  const sum = (numbers: number[]) => numbers.reduce((total, number) => total + number, 0);
  if (sum(passed) === 0 && failures.length === 0) {
    failures.push({ title: "tests", file: "", name: "none was run", message: "" });
    say(`\nNo test was run: no file matches ${filters.join(", ")}`);
  }
  say(`\nTook ${inSeconds(performance.now() - start)}`);
  const ending = sum(skipped) > 0 ? `, ${sum(skipped)} skipped` : "";
  say(`${sum(passed)} passed, ${failures.length} failed${ending}`);
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}\n${messageOf(error.cause)}`;
}
