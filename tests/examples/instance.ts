/** An example as a process of its own, as a user starts it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { basename, dirname } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { ManagerOptions, Socket as Client } from "socket.io-client";
import { pgAdapter } from "../../mod.ts";
import { Emitter } from "../../src/emitter.ts";
import { connected, createClient, createNode } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { Inbox } from "../support/inbox.ts";
import { runtime } from "../support/runtime.ts";
import { connectSql, createDatabase } from "../support/sql.ts";
import type { Scope } from "../support/test.ts";
import { signal, until, within } from "../support/wait.ts";

/** A process may be the fourth that starts on one processor. */
const START_LIMIT = 30_000;
const STOP_LIMIT = 10_000;

/** How an example is started. */
export interface InstanceOptions {
  /** The program. @default the runtime of this process */
  command?: readonly [program: string, ...args: string[]];
  env?: Readonly<Record<string, string>>;
}

/** An example that runs. */
export class Instance {
  port = 0;
  output = "";
  #code: number | null | undefined;
  readonly #ended: Promise<void>;
  readonly #signal: (name: "SIGTERM" | "SIGKILL") => void;

  /**
   * Starts it, on a free port.
   *
   * @param file Relative to `examples/`, or absolute.
   * @param uri The database.
   */
  constructor(file: string, uri: string, { command, env = {} }: InstanceOptions) {
    const [program, ...args] = command ?? commandOf(runtime, process.execPath);
    const foreign = /^(PG[A-Z]+|DATABASE_URL|NODE_.*)$/;
    const own = Object.entries(process.env).filter(([name]) => !foreign.test(name));
    const path = fileURLToPath(new URL(file, new URL("../../examples/", import.meta.url)));
    const child = spawn(program, [...args, basename(path)], {
      // Where Bun looks for options of the compiler.
      cwd: dirname(path),
      env: {
        ...Object.fromEntries(own),
        NODE_NO_WARNINGS: "1",
        NO_COLOR: "1",
        DATABASE_URL: uri,
        PORT: "0",
        ...env,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => this.output += text);
    }
    const { promise, resolve } = signal();
    this.#ended = promise;
    // Not before everybody is gone who has its output: those that it has started, too.
    child.once("close", (code) => {
      this.#code = code;
      resolve();
    });
    this.#signal = (name) => {
      // A child that Deno itself has signalled counts as ended by that, however it ended.
      if (this.#code === undefined && child.pid !== undefined) process.kill(child.pid, name);
    };
  }

  /** The address of a path. */
  url(path: string): string {
    return `http://127.0.0.1:${this.port}${path}`;
  }

  /** Waits until it says which port it has. */
  async started(): Promise<void> {
    await until("an example listens", () => {
      if (this.#code !== undefined) throw new Error(`it has ended: ${this.output}`);
      const [, port] = /port: (\d+)|http:\/\/\S+:(\d+)/.exec(this.output)?.filter(Boolean) ?? [];
      this.port = Number(port ?? 0);
      return this.port;
    }, START_LIMIT);
  }

  /** Asks it to end, as whoever deploys does; fails if it has not done so by itself, or has complained. */
  async stop(): Promise<void> {
    this.#signal("SIGTERM");
    // As where all processes are told, and npm passes it on.
    this.#signal("SIGTERM");
    await within(STOP_LIMIT, `the end of an example that has said ${this.output}`, this.#ended);
    assert.equal(this.#code, 0, this.output);
    assert.doesNotMatch(this.output, /error/i);
    assert.equal(await canConnect(this.port), false, `port ${this.port} is open`);
  }

  /** Ends it, whatever it does. */
  async kill(): Promise<void> {
    this.#signal("SIGKILL");
    await this.#ended;
  }
}

/** How often an example is started, and for whom. */
export interface ExampleOptions {
  /** The processes. @default two, alike */
  each?: readonly InstanceOptions[];
  /** The clients at each of them. @default one */
  clients?: readonly Partial<ManagerOptions>[];
}

/** An example that was started several times on a database of its own. */
export interface Running {
  readonly instances: readonly Instance[];
  /** Clients, process by process within each kind, and what they receive. */
  readonly clients: readonly Client[];
  readonly inboxes: readonly Inbox[];
  /** Stops all; fails if anything stays behind. */
  stop(): Promise<void>;
}

/** Starts an example several times, with clients at each; they end with the test. */
export async function startExample(
  scope: Scope,
  file: string,
  { each = [{}, {}], clients: kinds = [{}] }: ExampleOptions = {},
): Promise<Running> {
  const { uri } = await createDatabase(scope, await databaseUri());
  const instances = each.map((options) => new Instance(file, uri, options));
  scope.after(() => Promise.all(instances.map((instance) => instance.kill())));
  await Promise.all(instances.map((instance) => instance.started()));
  const clients: Client[] = [];
  scope.after(() => clients.forEach((client) => client.disconnect()));
  for (const options of kinds) {
    const more = instances.map(({ port }) => createClient(port, "/", options));
    clients.push(...more);
    await Promise.all(more.map(connected));
  }
  const inboxes = clients.map((client) => new Inbox(client));
  await heard(uri, inboxes);
  const sql = connectSql(scope, uri);
  await acquainted(uri, sql);
  const stop = async () => {
    await Promise.all(instances.map(({ port }) => openUnused(scope, port)));
    await Promise.all(instances.map((instance) => instance.stop()));
    // PostgreSQL notices a moment later that a connection was closed.
    await until("no connection is left behind", async () => {
      const [row] = await sql<{ count: number }[]>`
        select count(*)::int from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()`;
      return row?.count === 0;
    });
  };
  return { instances, clients, inboxes, stop };
}

/** Waits until clients hear what others emit: servers take clients before they are connected to the database. */
async function heard(uri: string, inboxes: readonly Inbox[]): Promise<void> {
  const emitter = new Emitter(uri);
  try {
    await until("all clients hear what is emitted", async () => {
      await emitter.emit("hello");
      return inboxes.every((inbox) => inbox.of("hello").length > 0);
    });
  } finally {
    await emitter.close();
  }
}

/**
 * Waits until the servers know each other, and so what one says before a client of another one joins is not said to it:
 * who has answered a newcomer has said before, to all, that it is there.
 */
async function acquainted(uri: string, sql: ReturnType<typeof connectSql>): Promise<void> {
  const newcomer = await createNode(pgAdapter(uri));
  try {
    await until("all servers know each other", async () => {
      const [row] = await sql<{ count: number }[]>`
        select count(*)::int from pg_stat_activity
        where datname = current_database() and application_name like 'socketio-pg:listen:%'`;
      return await newcomer.io.of("/").adapter.serverCount() === row?.count;
    });
  } finally {
    await newcomer.close();
  }
}

/** A connection as a browser opens it, for later. */
async function openUnused(scope: Scope, port: number): Promise<void> {
  const socket = connect(port, "127.0.0.1");
  scope.after(() => socket.destroy());
  socket.on("error", () => {});
  await once(socket, "connect");
}

/** What starts an example: in Deno with the permissions that the examples name. */
export function commandOf(kind: typeof runtime, path: string): [string, ...string[]] {
  if (kind !== "deno") return [path];
  const permissions = ["--allow-net", "--allow-env", "--allow-read", "--allow-sys"];
  return [path, "run", "--no-prompt", "--no-check", ...permissions];
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
