import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type { Ready, ServerId } from "./events.ts";

/** How a server's process is doing; what the page and the terminal show. */
export interface ChildState {
  id: ServerId;
  state: "starting" | "running" | "down" | "failed";
  version?: string;
  port?: number;
  pid?: number;
  /** Why it is not running, as the rest of a sentence about it. */
  note?: string;
}

/** How a server is started. */
export interface ChildOptions {
  id: ServerId;
  command: string;
  args: string[];
  /** The port to ask for at the first start; later starts ask for the one it got. */
  port: number;
  env: NodeJS.ProcessEnv;
  /** Called after each change of state. */
  onChange: (state: ChildState) => void;
}

const RESTART_DELAY_MS = 1_500;
const STOP_DEADLINE_MS = 4_000;
/** A process that lived less than this counts as one that cannot start. */
const SHORT_LIFE_MS = 10_000;
const MOST_SHORT_LIVES = 3;

/** A server's process: started, watched, started again when it dies, stopped. */
export class Child {
  readonly #options: ChildOptions;
  readonly #lastLines: string[] = [];
  #state: ChildState;
  #process: ChildProcess | undefined;
  #gone: Promise<void> = Promise.resolve();
  #startedAt = 0;
  #shortLives = 0;
  #killed = false;
  #stopping = false;
  #restart: ReturnType<typeof setTimeout> | undefined;

  constructor(options: ChildOptions) {
    this.#options = options;
    this.#state = { id: options.id, state: "starting" };
  }

  /** How it is doing now. */
  get state(): ChildState {
    return this.#state;
  }

  /** The last lines that the process printed. */
  get lastLines(): readonly string[] {
    return this.#lastLines;
  }

  /** Starts the process, unless it runs. */
  start(): void {
    if (this.#process || this.#stopping) return;
    clearTimeout(this.#restart);
    const { command, args, env, id } = this.#options;
    const port = String(this.#state.port ?? this.#options.port);
    const child = spawn(command, args, {
      env: { ...env, SERVER_PORT: port },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#process = child;
    this.#startedAt = Date.now();
    this.#killed = false;
    this.#lastLines.length = 0;
    this.#enter({ ...this.#state, state: "starting", pid: child.pid ?? 0 });

    const listen = (stream: Readable) => {
      createInterface(stream).on("line", (line) => {
        const ready = readyOf(line, id);
        if (ready) {
          const { note: _, ...known } = this.#state;
          this.#enter({ ...known, state: "running", version: ready.version, port: ready.port });
        } else if (line.trim() !== "" && !this.#stopping) {
          this.#lastLines.push(line);
          if (this.#lastLines.length > 12) this.#lastLines.shift();
        }
      });
    };
    listen(child.stdout!);
    listen(child.stderr!);
    // A process that died before it read: its exit says what there is to say.
    child.stdin!.on("error", () => {});

    this.#gone = new Promise((resolve) => {
      child.once("error", (error) => {
        this.#died(`cannot be started: ${error.message}`);
        resolve();
      });
      child.once("close", (code, signal) => {
        this.#died(signal ? `was ended by ${signal}` : `ended with exit code ${code}`);
        resolve();
      });
    });
  }

  /**
   * Kills the process without a chance to say goodbye, after which it is started again; starts it at
   * once when it is not running.
   */
  toggle(): void {
    if (!this.#process) {
      this.#shortLives = 0;
      return this.start();
    }
    this.#killed = true;
    this.#process.kill("SIGKILL");
  }

  /** Stops the process for good; settles when it is gone. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#restart);
    const child = this.#process;
    if (!child) return;
    child.stdin!.end();
    const impatience = setTimeout(() => child.kill("SIGKILL"), STOP_DEADLINE_MS);
    await this.#gone;
    clearTimeout(impatience);
  }

  #died(how: string): void {
    if (!this.#process) return;
    this.#process = undefined;
    const { pid: _, ...known } = this.#state;
    if (this.#stopping) return this.#enter({ ...known, state: "down", note: "stopped" });
    if (this.#killed || Date.now() - this.#startedAt > SHORT_LIFE_MS) this.#shortLives = 0;
    else this.#shortLives++;
    if (this.#shortLives >= MOST_SHORT_LIVES) {
      // Runtimes print the error's name first, its stack and their own version after it.
      const why = this.#lastLines.findLast((line) => /error\b/i.test(line));
      const note = `${how}, ${this.#shortLives} times in a row${why ? `: ${why.trim()}` : ""}`;
      return this.#enter({ ...known, state: "failed", note });
    }
    this.#enter({ ...known, state: "down", note: how });
    this.#restart = setTimeout(() => this.start(), RESTART_DELAY_MS);
  }

  #enter(state: ChildState): void {
    this.#state = state;
    this.#options.onChange(state);
  }
}

function readyOf(line: string, id: ServerId): Ready | undefined {
  if (!line.startsWith(`{"ready":"${id}"`)) return undefined;
  return JSON.parse(line) as Ready;
}
