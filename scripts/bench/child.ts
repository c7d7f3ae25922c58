/**
 * Programs of a benchmark in processes of their own, told what to do by lines of JSON. They end when their standard
 * input does.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { ROOT } from "../toolchain.ts";

/** What a program can be told to do, by name: each takes one argument and has a result that are JSON. */
// deno-lint-ignore no-explicit-any -- each command has an argument of its own
export type Commands = Record<string, (argument: any) => unknown>;

/** What runs a program. */
export interface Runner {
  readonly kind: "deno" | "bun" | "node";
  readonly path: string;
  /** What it is started with beside what it needs. */
  readonly flags?: readonly string[];
}

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

const FLAGS: Readonly<Record<Runner["kind"], readonly string[]>> = {
  deno: ["run", "-A"],
  bun: [],
  node: ["--disable-warning=ExperimentalWarning"],
};

/** For how long a process may do what it was told before, profiles included, when it is to end. */
const PATIENCE_MS = 10_000;

/** The handle of a program that calls {@linkcode obey}. */
export class Child<C extends Commands> {
  readonly #child: ChildProcess;
  readonly #open: Map<number, (answer: Answer) => void> = new Map();
  #count = 0;
  readonly #file: string;
  #lastWords: string | undefined;

  /**
   * Starts it.
   *
   * @param file The name of the module in this folder.
   */
  constructor({ kind, path, flags = [] }: Runner, file: string) {
    const module = fileURLToPath(new URL(file, import.meta.url));
    const child = spawn(path, [...FLAGS[kind], ...flags, module], {
      cwd: ROOT,
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#child = child;
    this.#file = file;
    // A process that is gone cannot be told anything; its end says so.
    child.stdin?.on("error", () => {});
    child.once("error", (fault) => this.#over(`${fault}`));
    child.once("exit", (code, signal) => this.#over(`${signal ?? code}`));
    createInterface({ input: child.stdout! }).on("line", (line) => {
      // Libraries may write there, too.
      if (!line.startsWith('{"id":')) return console.error(line);
      const answer = JSON.parse(line) as Answer;
      this.#open.get(answer.id)?.(answer);
      this.#open.delete(answer.id);
    });
  }

  /** Tells it to do something, and waits for the result. */
  async tell<K extends keyof C & string>(
    command: K,
    argument?: Parameters<C[K]>[0],
  ): Promise<Awaited<ReturnType<C[K]>>> {
    if (this.#lastWords !== undefined) throw new Error(this.#lastWords);
    const id = ++this.#count;
    const answer = await new Promise<Answer>((resolve) => {
      this.#open.set(id, resolve);
      this.#child.stdin?.write(`${JSON.stringify({ id, command, argument })}\n`);
    });
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer.result as Awaited<ReturnType<C[K]>>;
  }

  /** Lets it end, by force if it is too busy to read that, and waits until it has. */
  async end(): Promise<void> {
    this.#child.stdin?.end();
    if (this.#lastWords !== undefined) return;
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), PATIENCE_MS);
    await new Promise<void>((resolve) => this.#child.once("exit", () => resolve()));
    clearTimeout(timer);
  }

  #over(end: string): void {
    const error = `Cannot go on as a process of the benchmark, ${this.#file}, has ended: ${end}`;
    this.#lastWords = error;
    for (const [id, answer] of this.#open) answer({ id, error });
    this.#open.clear();
  }
}

/** Does what the parent says until that has nothing to say any more. */
export function obey(commands: Commands): void {
  const input = createInterface({ input: process.stdin });
  const write = (answer: Answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);
  input.on("line", (line) => {
    const { id, command, argument } = JSON.parse(line) as {
      id: number;
      command: string;
      argument: unknown;
    };
    const run = async (): Promise<unknown> => await commands[command]?.(argument);
    run().then(
      (result) => write({ id, result: result ?? null }),
      (fault: unknown) => write({ id, error: String(fault) }),
    );
  });
  input.on("close", () => process.exit());
}

/** Processor time and memory of this process. */
export interface Usage {
  /** Microseconds of processor time so far. */
  readonly processor: number;
  /** Bytes that are resident. */
  readonly memory: number;
}

/** What this process has used so far. */
export function usage(): Usage {
  const { user, system } = process.cpuUsage();
  return { processor: user + system, memory: process.memoryUsage().rss };
}
