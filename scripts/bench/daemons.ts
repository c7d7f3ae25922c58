/**
 * The databases of a benchmark: PostgreSQL and Redis.
 *
 * @module
 */

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import postgres from "postgres";
import { createClient } from "redis";
import { freePort, startPostgres } from "../../tests/support/postgres.ts";
import { postmasterOf, processorTime } from "./processor.ts";

/** A database that runs. */
export interface Daemon {
  readonly uri: string;
  /** Its name, version and what is not its default. */
  readonly description: string;
  /** Microseconds of processor time so far, of all its processes. */
  processor(): number;
  /** How many transactions that change something or notify there were, or commands. */
  operations(): Promise<number>;
  stop(): Promise<void>;
}

/** Where Debian's packages have their programs. */
const DEBIAN = "/usr/lib/postgresql";

/**
 * The programs of the newest PostgreSQL that Debian has installed, if there is one: Redis is Debian's, too, and the
 * binaries that the tests bring have a function of a byte at a time in the way of each notification.
 */
function debianBin(): string | undefined {
  if (!existsSync(DEBIAN)) return undefined;
  const versions = readdirSync(DEBIAN).map(Number).filter((version) => version > 0);
  return versions.length === 0 ? undefined : `${DEBIAN}/${Math.max(...versions)}/bin`;
}

/**
 * Starts a PostgreSQL.
 *
 * @param bin Where its programs are.
 */
export async function startPostgresDaemon(bin: string | undefined = debianBin()): Promise<Daemon> {
  const server = await startPostgres({
    ...bin !== undefined && { bin },
    settings: { fsync: "on", full_page_writes: "on" },
  });
  const sql = postgres(server.uri, { max: 1, onnotice: () => {} });
  const postmaster = await postmasterOf(sql);
  return {
    uri: server.uri,
    description: `PostgreSQL ${server.version}${
      bin?.startsWith(DEBIAN) ? " of Debian" : ""
    } (fsync on, otherwise its defaults)`,
    processor: () => processorTime(postmaster),
    async operations() {
      // A transaction that notifies has an id. Counts of transactions would have those in which sessions hear of it, too,
      // and those come late.
      const [row] = await sql<{ count: string }[]>`
        select pg_snapshot_xmax(pg_current_snapshot()) as count`;
      return Number(row?.count);
    },
    async stop() {
      await sql.end({ timeout: 1 });
      await server.stop();
    },
  };
}

/**
 * Ends Redis when its standard input ends, which the system closes however the benchmark ends. The input is passed on
 * by another number as commands in the background have none.
 */
const REDIS_KEEPER = `
exec 3<&0
redis-server "$@" 3<&- &
redis=$!
{ read -r _ <&3; kill $redis; } &
keeper=$!
wait $redis
kill $keeper
`;

/** Starts a Redis. */
export async function startRedisDaemon(): Promise<Daemon> {
  const { stdout } = spawnSync("redis-server", ["--version"], { encoding: "utf8" });
  const version = /v=(\S+)/.exec(stdout ?? "")?.[1];
  if (version === undefined) {
    throw new Error("Cannot compare as there is no redis-server: apt-get install redis-server");
  }
  const port = await freePort();
  const settings = ["--port", `${port}`, "--save", "", "--appendonly", "no"];
  const child = spawn("/bin/sh", ["-c", REDIS_KEEPER, "redis-keeper", ...settings], {
    // Ctrl-C reaches a whole process group: Redis outlives those who still use it.
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  child.stdin?.on("error", () => {});
  const ended = once(child, "exit");
  const uri = `redis://127.0.0.1:${port}`;
  const client = createClient({ url: uri });
  // Until it is up the client tries again.
  client.on("error", () => {});
  const tooEarly = ended.then(() => {
    throw new Error(`Cannot compare as redis-server on port ${port} has ended at once`);
  });
  tooEarly.catch(() => {});
  await Promise.race([client.connect(), tooEarly]);
  return {
    uri,
    description: `Redis ${version} (no persistence, otherwise its defaults)`,
    processor: () => processorTime(child.pid!),
    async operations() {
      const info = await client.info("stats");
      return Number(/total_commands_processed:(\d+)/.exec(info)?.[1]);
    },
    async stop() {
      client.destroy();
      child.stdin?.end();
      await ended;
    },
  };
}

/** The name of the processor, as Linux tells it. */
export function processorName(): string {
  const info = readFileSync("/proc/cpuinfo", "utf8");
  return /model name\s*: (.*)/.exec(info)?.[1]?.trim() ?? "unknown processor";
}
