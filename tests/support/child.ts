/**
 * The handle of a server in a process of its own: see `child_server.ts` for what it can do.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { ChildOptions, Command, COMMANDS } from "./child_server.ts";
import { runtime } from "./runtime.ts";
import type { Scope } from "./test.ts";
import { signal, until, within } from "./wait.ts";

type Result<C extends Command> = Awaited<ReturnType<(typeof COMMANDS)[C]>>;

/** Something that a child's adapter told, when it was heard here. */
export interface Heard {
  /** `performance.now()`. */
  readonly at: number;
  readonly event: string;
  readonly detail: unknown;
}

/** A server in a process of its own; by the same runtime as this one. */
export class Child {
  /** Events of its adapter so far. */
  readonly heard: Heard[] = [];
  /** What was thrown or rejected unheard in it: should be empty. */
  readonly faults: string[] = [];
  /** How it ended, once it has. */
  ended: { code: number | null; signal: string | null } | undefined;
  /** The adapter's id, after the start. */
  uid = "";
  readonly #child: ChildProcess;
  readonly #open: Map<number, (answer: { result?: unknown; error?: Failure }) => void> = new Map();
  readonly #exit: Promise<void>;
  #count = 0;
  #errors = "";

  constructor() {
    const file = fileURLToPath(new URL("./child_server.ts", import.meta.url));
    const args = runtime === "deno" ? ["run", "-A", "--no-check", file] : [file];
    const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "pipe"] });
    this.#child = child;
    const { promise, resolve } = signal();
    this.#exit = promise;
    child.stderr?.on("data", (data: unknown) => this.#errors += String(data));
    // A process that is gone cannot be told anything; its end says so.
    child.stdin?.on("error", () => {});
    child.once("exit", (code, name) => {
      this.ended = { code, signal: name };
      for (const answer of this.#open.values()) {
        answer({ error: { message: `the process has ended: ${name ?? code} ${this.#errors}` } });
      }
      this.#open.clear();
      resolve();
    });
    if (child.stdout === null) throw new Error("the process has no output");
    createInterface({ input: child.stdout }).on("line", (line) => this.#read(line));
  }

  /** The id of the process. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Tells it to do something, and waits for the result. */
  async tell<C extends Command>(
    command: C,
    argument?: Parameters<(typeof COMMANDS)[C]>[0],
    ms = 30_000,
  ): Promise<Result<C>> {
    if (this.ended !== undefined) throw new Error(`the process has ended: ${this.#errors}`);
    const id = ++this.#count;
    const { promise, resolve } = signal<{ result?: unknown; error?: Failure }>();
    this.#open.set(id, resolve);
    this.#child.stdin?.write(`${JSON.stringify({ id, command, argument })}\n`);
    const { result, error } = await within(ms, `"${command}" of a child`, promise);
    if (error !== undefined) throw Object.assign(new Error(error.message), error);
    return result as Result<C>;
  }

  /** Ends, stops or continues it, without asking. */
  kill(name: "SIGKILL" | "SIGSTOP" | "SIGCONT"): void {
    if (this.ended === undefined) process.kill(this.pid, name);
  }

  /** Settles when the process is gone. */
  async gone(ms = 10_000): Promise<void> {
    await within(ms, "the end of a child", this.#exit);
  }

  /** Waits for an event of its adapter. */
  async hears(event: string, since = 0, ms = 20_000): Promise<Heard> {
    let found: Heard | undefined;
    await until(`the event "${event}" of a child`, () => {
      found = this.heard.find((heard) => heard.event === event && heard.at >= since);
      return found !== undefined;
    }, ms);
    return found as Heard;
  }

  #read(line: string): void {
    const message = JSON.parse(line) as {
      id?: number;
      result?: unknown;
      error?: Failure;
      event?: string;
      detail?: unknown;
      fault?: string;
    };
    if (message.fault !== undefined) this.faults.push(message.fault);
    else if (message.event !== undefined) {
      this.heard.push({ at: performance.now(), event: message.event, detail: message.detail });
    } else if (message.id !== undefined) {
      this.#open.get(message.id)?.(message);
      this.#open.delete(message.id);
    }
  }
}

interface Failure {
  message: string;
}

/** Starts a server in a process of its own; it ends with the test, which fails if anything went unheard in it. */
export async function startChild(scope: Scope, options: ChildOptions): Promise<Child> {
  const child = new Child();
  scope.after(async () => {
    child.kill("SIGCONT");
    child.kill("SIGKILL");
    await child.gone();
    if (child.faults.length > 0) throw new Error(`unheard in a child: ${child.faults.join("; ")}`);
  });
  child.uid = (await child.tell("start", options)).uid;
  return child;
}
