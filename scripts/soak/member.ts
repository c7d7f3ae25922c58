/**
 * The handle of a server of the soak, see `server.ts`.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { signal, within } from "../../tests/support/wait.ts";
import type { Order, Report, Sample, ServerOptions } from "./protocol.ts";

/** What a server of the soak runs in. */
export type RuntimeName = "deno" | "bun" | "node";

/** A program, and what it is. */
export interface Program {
  readonly name: RuntimeName;
  readonly path: string;
}

/** How much of its last words is kept. */
const LAST_WORDS = 4_000;

/** A server in a process of its own. */
export class Member {
  /** The adapter's id, once it is ready. */
  uid = "";
  readonly runtime: RuntimeName;
  /** Tells it apart for people: place, runtime, and which one it is in that place. */
  readonly name: string;
  /** Settles when it is ready; never rejects. */
  readonly ready: Promise<void>;
  /** How it ended, once it has. */
  ended: { code: number | null; signal: string | null } | undefined;
  /** Whether its end is wanted. */
  isLeaving = false;
  readonly #child: ChildProcess;
  readonly #exit: Promise<void>;
  readonly #samples: Map<number, (sample: Sample) => void> = new Map();
  #count = 0;
  #errors = "";

  constructor(
    name: string,
    { name: runtime, path }: Program,
    options: ServerOptions,
    events: { report(member: Member, report: Report): void; ended(member: Member): void },
  ) {
    this.name = name;
    this.runtime = runtime;
    const file = fileURLToPath(new URL("./server.ts", import.meta.url));
    const args = runtime === "deno" ? ["run", "-A", "--no-check", file] : [file];
    const child = spawn(path, args, { stdio: ["pipe", "pipe", "pipe"] });
    this.#child = child;
    const exit = signal();
    const ready = signal();
    this.#exit = exit.promise;
    this.ready = ready.promise;
    child.stderr?.on("data", (data: unknown) => {
      this.#errors = `${this.#errors}${String(data)}`.slice(-LAST_WORDS);
    });
    // A process that is gone cannot be told anything; its end says so.
    child.stdin?.on("error", () => {});
    if (child.stdout === null) throw new Error("the process has no output");
    const lines = createInterface({ input: child.stdout });
    lines.on("line", (line) => {
      const report = JSON.parse(line) as Report;
      if (report.ready !== undefined) this.uid = report.ready.uid;
      if (report.sample !== undefined) this.#samples.get(report.sample.id)?.(report.sample);
      events.report(this, report);
      if (report.ready !== undefined) ready.resolve();
    });
    // Its last words have been read by then.
    child.once("close", (code, name) => {
      this.ended = { code, signal: name };
      events.ended(this);
      exit.resolve();
    });
    this.tell({ order: "start", options });
  }

  /** What it wrote as errors of late. */
  get lastWords(): string {
    return this.#errors.trim();
  }

  /** Tells it to do something. */
  tell(order: Order): void {
    this.#child.stdin?.write(`${JSON.stringify(order)}\n`);
  }

  /** What it holds; nothing when it does not say so soon. */
  async sample(ms = 12_000): Promise<Sample | undefined> {
    const id = ++this.#count;
    const { promise, resolve } = signal<Sample>();
    this.#samples.set(id, resolve);
    this.tell({ order: "sample", id });
    try {
      return await within(ms, `a sample of ${this.name}`, promise);
    } catch (_late) {
      return undefined;
    } finally {
      this.#samples.delete(id);
    }
  }

  /** Ends, stops or continues it, without asking. */
  kill(name: "SIGKILL" | "SIGSTOP" | "SIGCONT"): void {
    if (name === "SIGKILL") this.isLeaving = true;
    if (this.ended === undefined && this.#child.pid !== undefined) {
      process.kill(this.#child.pid, name);
    }
  }

  /** Tells it to close; it ends by itself then. */
  leave(): void {
    this.isLeaving = true;
    this.tell({ order: "leave" });
  }

  /** Settles when the process is gone. */
  async gone(ms: number): Promise<void> {
    await within(ms, `the end of ${this.name}`, this.#exit);
  }
}
