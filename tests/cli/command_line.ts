/** The command line as a process of the runtime under test, and without one. */
import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { CliIo } from "../../src/cli/io.ts";
import { run } from "../../src/cli/main.ts";
import { runtime } from "../support/runtime.ts";
import type { Scope } from "../support/test.ts";
import { signal, until, within } from "../support/wait.ts";

const PROGRAM = fileURLToPath(new URL("../../src/cli.ts", import.meta.url));

/** What a command is given besides its arguments. */
export interface Surroundings {
  env?: Record<string, string>;
  input?: string;
}

/** A command that ended. */
export interface Ended {
  code: number | null;
  out: string;
  err: string;
}

/** A command that runs. */
export class Running {
  out = "";
  err = "";
  readonly ended: Promise<Ended>;
  hasEnded = false;
  /** Closes the pipe that it writes to, as `head` does. */
  readonly stopReading: () => void;
  readonly #kill: (name: "SIGINT" | "SIGKILL") => void;

  constructor(args: readonly string[], { env = {}, input }: Surroundings) {
    const start = runtime === "deno" ? ["run", "-A", "--no-check", PROGRAM] : [PROGRAM];
    const foreign = /^(PG[A-Z]+|DATABASE_URL|SOCKETIO_PG_.*|COLUMNS|NODE_.*)$/;
    const own = Object.entries(process.env).filter(([name]) => !foreign.test(name));
    const child = spawn(process.execPath, [...start, ...args], {
      env: { ...Object.fromEntries(own), NODE_NO_WARNINGS: "1", ...env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    // Who does not read its input is not told of it.
    child.stdin.on("error", () => {});
    child.stdin.end(input ?? "");
    child.stdout.setEncoding("utf8").on("data", (text: string) => this.out += text);
    child.stderr.setEncoding("utf8").on("data", (text: string) => this.err += text);
    const { promise, resolve } = signal<Ended>();
    child.once("close", (code) => {
      this.hasEnded = true;
      resolve({ code, out: this.out, err: this.err });
    });
    this.stopReading = () => void child.stdout.destroy();
    this.ended = promise;
    this.#kill = (name) => {
      // A child that Deno itself has signalled counts as ended by that, however it ended.
      if (!this.hasEnded && child.pid !== undefined) process.kill(child.pid, name);
    };
  }

  /** Lines of JSON that it has printed. */
  get lines(): Record<string, unknown>[] {
    return this.out.split("\n").slice(0, -1).map((line) => JSON.parse(line));
  }

  /** Presses Ctrl-C, and waits for the end. */
  async interrupt(): Promise<Ended> {
    this.#kill("SIGINT");
    return await this.end();
  }

  /** Waits for the end. */
  async end(): Promise<Ended> {
    return await within(20_000, "the end of a command", this.ended);
  }

  /** Ends it, whatever it does. */
  async kill(): Promise<void> {
    this.#kill("SIGKILL");
    await this.end();
  }
}

/** Starts a command; it ends with the test. */
export function start(
  scope: Scope,
  args: readonly string[],
  surroundings: Surroundings = {},
): Running {
  const running = new Running(args, surroundings);
  scope.after(() => running.kill());
  return running;
}

/** Runs a command to its end. */
export async function execute(
  scope: Scope,
  args: readonly string[],
  surroundings: Surroundings = {},
): Promise<Ended> {
  return await start(scope, args, surroundings).end();
}

/** Starts a monitor, and waits until it listens. */
export async function startMonitor(
  scope: Scope,
  args: readonly string[],
  surroundings: Surroundings = {},
): Promise<Running> {
  const running = start(scope, ["monitor", ...args], surroundings);
  await until("the monitor listens", () => running.err.includes("Listening to "), 20_000);
  return running;
}

/** Streams that remember, and a Ctrl-C. */
export class Memory implements CliIo {
  readonly text = { out: "", err: "" };
  readonly out: CliIo["out"];
  readonly err: CliIo["err"];
  readonly env: Record<string, string>;
  readonly stop = new AbortController();
  readonly #input: string;

  constructor({ env = {}, input = "" }: Surroundings = {}, columns?: number) {
    const isTerminal = columns !== undefined;
    const { text } = this;
    this.out = { write: (more) => void (text.out += more), isTerminal, columns };
    this.err = { write: (more) => void (text.err += more), isTerminal, columns };
    this.env = env;
    this.#input = input;
  }

  readIn(): Promise<string> {
    return Promise.resolve(this.#input);
  }

  stopped(): AbortSignal {
    return this.stop.signal;
  }
}

/** Runs a command in this process. */
export async function runHere(
  args: readonly string[],
  surroundings: Surroundings = {},
): Promise<Ended> {
  const io = new Memory(surroundings);
  const code = await run(args, io);
  return { code, ...io.text };
}
