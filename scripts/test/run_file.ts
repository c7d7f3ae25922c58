/**
 * Runs one file of tests in a process of its own, and finds out what came of it.
 *
 * @module
 */

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseJunit, type TestResult } from "./junit.ts";

/** What runs a file. */
export interface Runner {
  readonly kind: "deno" | "bun" | "node";
  /** The absolute path of the program. */
  readonly path: string;
}

/** A file of tests and where it runs. */
export interface TestFile {
  /** Relative to `folder`. */
  readonly file: string;
  readonly folder: string;
  readonly env: NodeJS.ProcessEnv;
  /** How long the file may take, in milliseconds, until its process has ended by itself. */
  readonly limit: number;
}

/** What came of a file. */
export interface FileResult {
  readonly file: string;
  readonly passed: number;
  readonly skipped: number;
  /** Tests that failed, and what went wrong with the file as a whole. */
  readonly failures: readonly { readonly name: string; readonly message: string }[];
  /** How long each test took. */
  readonly durations: readonly { readonly name: string; readonly milliseconds: number }[];
  /** The end of what the process wrote. */
  readonly output: string;
  readonly milliseconds: number;
  /** How much of that passed after the last test, in Node: something kept the process alive. */
  readonly idleMilliseconds: number;
}

const GUARD = fileURLToPath(new URL("./deno_guard.ts", import.meta.url));
const OUTPUT_KEPT = 200_000;
const running = new Set<number>();

/** Ends every process started here, as when this one is interrupted. */
export function killAll(): void {
  for (const pid of running) killGroup(pid);
}

/**
 * Runs a file. Never rejects: whatever goes wrong is a failure of the file.
 *
 * @param runner The runtime to run it on.
 * @param test The file.
 * @returns What came of it.
 */
export async function runFile(runner: Runner, test: TestFile): Promise<FileResult> {
  const start = performance.now();
  const folder = mkdtempSync(join(tmpdir(), "socketio-pg-report-"));
  const report = join(folder, "junit.xml");
  try {
    const end = await runProcess(runner, test, report);
    const milliseconds = performance.now() - start;
    const { results, fault } = readReport(report, runner.kind !== "node");
    const failures = results.filter(({ outcome }) => outcome === "failed")
      .map(({ name, message }) => ({ name, message }));
    const count = (wanted: TestResult["outcome"]) =>
      results.filter(({ outcome }) => outcome === wanted).length;
    const whole = (message: string) => failures.push({ name: "the file as a whole", message });
    if (end.isTooLate) {
      whole(
        `It did not end within ${
          test.limit / 1_000
        } s: a test hangs, or something it opened keeps ` +
          `the process alive`,
      );
    } else if (fault !== undefined) whole(`${fault} (${end.how})`);
    else if (results.length === 0) whole(`It ran no test (${end.how})`);
    else if (end.how !== "exit 0" && failures.length === 0) {
      whole(`All its tests passed, but the process ended with ${end.how}`);
    }
    return {
      file: test.file,
      passed: count("passed"),
      skipped: count("skipped"),
      failures,
      durations: results.map(({ name, milliseconds }) => ({ name, milliseconds })),
      output: end.output,
      milliseconds,
      idleMilliseconds: end.idleMilliseconds,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The runner's command line: without type checks, which are a step of their own. */
function command({ kind }: Runner, file: string, report: string): string[] {
  switch (kind) {
    case "deno":
      return ["test", "-A", "--no-check", "--preload", GUARD, `--junit-path=${report}`, file];
    case "bun":
      // Its limit of 5 s per test would come before a test's own.
      return [
        "test",
        "--timeout=600000",
        "--reporter=junit",
        `--reporter-outfile=${report}`,
        `./${file}`,
      ];
    case "node":
      // Without --test the file is not counted as a test, and must let its process end.
      return [
        ["--disable-warning=ExperimentalWarning", "--test-reporter=spec"],
        ["--test-reporter-destination=stdout", "--test-reporter=junit"],
        [`--test-reporter-destination=${report}`, file],
      ].flat();
  }
}

interface End {
  /** As in "exit 0" or "SIGSEGV". */
  readonly how: string;
  readonly isTooLate: boolean;
  readonly output: string;
  readonly idleMilliseconds: number;
}

function runProcess(runner: Runner, test: TestFile, report: string): Promise<End> {
  return new Promise((resolve) => {
    const child = spawn(runner.path, command(runner, test.file, report), {
      cwd: test.folder,
      env: { ...test.env, NO_COLOR: "1" },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true, // a group of its own, to be ended with all that the tests started
    });
    const { pid } = child;
    if (pid !== undefined) running.add(pid);
    let output = "", lastOutput = performance.now(), idleMilliseconds = 0;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output = (output + text).slice(-OUTPUT_KEPT);
        // Node sums up when nothing keeps the process alive any more; the others do not wait for that.
        if (/^ℹ tests /m.test(text)) idleMilliseconds = performance.now() - lastOutput;
        lastOutput = performance.now();
      });
    }
    let isTooLate = false;
    const timer = setTimeout(() => {
      isTooLate = true;
      output += `\nIts main thread, when it was ended: ${mainThread(pid)}\n`;
      if (pid !== undefined) killGroup(pid);
    }, test.limit);
    const end = (how: string) => {
      clearTimeout(timer);
      if (pid !== undefined) running.delete(pid);
      resolve({ how, isTooLate, output, idleMilliseconds });
    };
    child.once("error", (error) => end(`${error}`));
    child.once("exit", (code, signal) => {
      // Streams stay open while something the tests started holds them.
      if (pid !== undefined) killGroup(pid);
      child.once("close", () => end(signal ?? `exit ${code}`));
    });
  });
}

/** What the main thread of a process waits for in the system's kernel; "0" if it runs. */
function mainThread(pid: number | undefined): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/wchan`, "utf8");
  } catch {
    return undefined;
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function readReport(
  path: string,
  isFileOutermost: boolean,
): { results: TestResult[]; fault?: string } {
  if (!existsSync(path)) return { results: [], fault: "It wrote no report, as of no test run" };
  const xml = readFileSync(path, "utf8");
  if (xml === "") return { results: [] };
  try {
    return { results: parseJunit(xml, isFileOutermost) };
  } catch (error) {
    return { results: [], fault: `${error}` };
  }
}
