/**
 * A server in a process of its own, told what to do by lines of JSON, for faults of whole processes. It ends when its
 * standard input does. Started by `child.ts`.
 *
 * @module
 */

import process from "node:process";
import { createInterface } from "node:readline";
import type { PgAdapterOptions } from "../../mod.ts";
import type { Scope } from "./test.ts";
import { createTraffic, type Traffic } from "./traffic.ts";

/** How a server in a process of its own is started. */
export interface ChildOptions {
  uri: string;
  prefix: string;
  adapter?: PgAdapterOptions;
  /** Messages per second once it runs. */
  rate?: number;
  maxSize?: number;
  /** Whether it waits to be ready. @default true */
  wait?: boolean;
}

/** What the process can be told to do: by name, with an argument and a result that are JSON. */
export const COMMANDS = {
  /** Starts the server and its client; the first command, and given once. */
  async start(options: ChildOptions): Promise<{ uid: string; pid: number; port: number }> {
    // Which others there are, and what is left in the end, is the parent's to know.
    traffic = await createTraffic(scope, { ...options, size: 1, wait: false, checksEnd: false });
    const { uid, node } = traffic.at(0);
    if (options.wait !== false) await node.adapter.ready();
    for (
      const event of ["error", "disconnect", "reconnect", "gap", "node-up", "node-down"] as const
    ) {
      node.adapter.on(event, (detail?: unknown) => {
        const what = detail instanceof Error ? plain(detail) : detail;
        write({ event, detail: what });
      });
    }
    return { uid, pid: process.pid, port: node.port };
  },
  /** Talks. */
  run: () => running().run(),
  /** Talks no more. */
  pause: () => running().pause(),
  /** Sends so many messages now. */
  emit(count: number) {
    for (let i = 0; i < count; i++) running().emit();
  },
  /** `stats()` of the adapter. */
  stats: () => running().at(0).adapter.stats(),
  /** What it sent, and its client received. */
  history: () => running().history(),
  /** How many messages its client has received. */
  received: () => running().at(0).received.length,
  /** The ids of all sockets of the cluster, or why there is no answer. */
  async fetchSockets() {
    return (await running().at(0).io.fetchSockets()).map(({ id }) => id);
  },
  /** Blocks the event loop for so many milliseconds, with a statement under way. */
  async block(ms: number) {
    running().emit();
    // The driver writes at the end of the turn.
    await new Promise((resolve) => setImmediate(resolve));
    const end = performance.now() + ms;
    while (performance.now() < end);
  },
  /** Memory of the process, in bytes. */
  memory: () => process.memoryUsage().rss,
  /** Closes the server; the process stays until its input ends. */
  async close() {
    for (const undo of undos.splice(0).reverse()) await undo();
  },
  /** Closes the server and lets the process end by itself. */
  async leave() {
    await COMMANDS.close();
    input.close();
    process.stdin.destroy();
  },
};

/** The names of the commands. */
export type Command = keyof typeof COMMANDS;

let traffic: Traffic | undefined;
const undos: (() => unknown)[] = [];
const scope: Scope = { after: (undo) => void undos.push(undo) };
const input = createInterface({ input: process.stdin });
let isLeaving = false;

for (const event of ["uncaughtException", "unhandledRejection"] as const) {
  process.on(event, (fault: unknown) => {
    write({ fault: fault instanceof Error ? fault.stack ?? fault.message : String(fault) });
  });
}
input.on("line", (line) => {
  const { id, command, argument } = JSON.parse(line) as {
    id: number;
    command: Command;
    argument: never;
  };
  isLeaving ||= command === "leave";
  const run = async (): Promise<unknown> => await COMMANDS[command](argument);
  run().then(
    (result) => write({ id, result: result ?? null }),
    (fault: unknown) => write({ id, error: plain(fault) }),
  );
});
input.on("close", () => {
  if (!isLeaving) process.exit(0);
});

function running(): Traffic {
  if (traffic === undefined) throw new Error(`the first command is "start"`);
  return traffic;
}

/** An error as JSON takes it, with its code. */
function plain(fault: unknown): { message: string } {
  return { ...Object(fault), message: fault instanceof Error ? fault.message : String(fault) };
}

function write(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}
