/**
 * How many messages a second servers with connection state recovery bring to all their clients: ours, and Socket.IO's
 * adapter for Redis streams; and ours without recovery, to tell what it costs.
 *
 *     deno task bench:recovery
 *     deno task bench:recovery --rounds 3 --ms 1000 --servers 2 --clients 4 --postgres-bin /usr/lib/postgresql/15/bin
 *
 * Servers are processes of their own, on Node, and so are their clients. The first server sends bursts to all, each when
 * all clients have the one before; the contenders take turns. Needs `redis-server`, and Linux for processor times.
 *
 * @module
 */

import { spawn, spawnSync } from "node:child_process";
import { cpus, totalmem } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import postgres from "postgres";
import { freePort, startPostgres } from "../tests/support/postgres.ts";
import { Child } from "./bench/child.ts";
import type { CLIENTS } from "./bench/clients.ts";
import { count, median, quantile, spread } from "./bench/figures.ts";
import { postmasterOf, processorTime } from "./bench/processor.ts";
import type { SERVER, ServerOptions } from "./bench/server.ts";
import { runtimes } from "./toolchain.ts";

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    rounds: { type: "string", default: "7" },
    ms: { type: "string", default: "3000" },
    servers: { type: "string", default: "3" },
    clients: { type: "string", default: "1" },
    size: { type: "string", multiple: true, default: ["100", "1000", "10000"] },
    "postgres-bin": { type: "string" },
  },
});
const [rounds, ms, servers, clients] = [
  values.rounds,
  values.ms,
  values.servers,
  values.clients,
].map(Number) as [number, number, number, number];

/** How many messages a burst has: enough that its end counts for little, and no more than waits anywhere. */
const burstOf = (size: number): number => Math.min(5_000, Math.floor(10_000_000 / size));
/** How many messages are sent one by one, each when all clients have the one before. */
const ALONE = 200;

interface Round {
  readonly rate: number;
  /** Microseconds of processor time for a message. */
  readonly servers: number;
  readonly database: number;
}

/** Servers of one kind with their clients. */
class Contender {
  readonly name: string;
  readonly #options: ServerOptions;
  readonly #database: number;
  readonly #servers: Child<typeof SERVER>[] = [];
  readonly #clients: Child<typeof CLIENTS>;
  #sent = 0;

  /**
   * @param node The program of Node.
   * @param database The process of the database.
   */
  constructor(node: string, name: string, options: ServerOptions, database: number) {
    this.name = name;
    this.#options = options;
    this.#database = database;
    const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));
    for (let i = 0; i < servers; i++) {
      this.#servers.push(new Child(node, file("./bench/server.ts")));
    }
    this.#clients = new Child(node, file("./bench/clients.ts"));
  }

  /** Settles when what the first server sends arrives everywhere. */
  async start(): Promise<void> {
    const ports: number[] = [];
    for (const server of this.#servers) ports.push(await server.tell("start", this.#options));
    await this.#clients.tell("connect", { ports, each: clients });
    do await this.#servers[0]!.tell("burst", { from: this.#sent++, count: 1, size: 100 }); while (
      !await this.#clients.tell("soon", this.#sent)
    );
    await this.#clients.tell("align");
    // What is compiled once is compiled now.
    for (let n = 0; n < 3; n++) await this.#burst(2_000, 100);
  }

  /** Bursts for a while. */
  async round(size: number): Promise<Round> {
    const burst = burstOf(size);
    const before = await this.#times();
    const start = performance.now();
    const from = this.#sent;
    while (performance.now() - start < ms) await this.#burst(burst, size);
    const seconds = (performance.now() - start) / 1_000;
    const after = await this.#times();
    const messages = this.#sent - from;
    return {
      rate: messages / seconds,
      servers: (after.servers - before.servers) / messages,
      database: (after.database - before.database) / messages,
    };
  }

  /** The milliseconds of messages that are sent one by one. */
  async alone(size: number): Promise<number[]> {
    const times = await this.#clients.tell("alone", { count: ALONE, size });
    this.#sent += ALONE;
    return times;
  }

  /** How many messages were missing or not in order. */
  async wrong(): Promise<number> {
    return await this.#clients.tell("wrong");
  }

  end(): void {
    for (const child of [...this.#servers, this.#clients]) child.end();
  }

  async #burst(messages: number, size: number): Promise<void> {
    const from = this.#sent;
    this.#sent += messages;
    await this.#servers[0]!.tell("burst", { from, count: messages, size });
    await this.#clients.tell("until", this.#sent);
  }

  async #times(): Promise<{ servers: number; database: number }> {
    const each = await Promise.all(this.#servers.map((server) => server.tell("processor")));
    return {
      servers: each.reduce((sum, time) => sum + time, 0),
      database: processorTime(this.#database),
    };
  }
}

const redisVersion = /v=(\S+)/.exec(
  spawnSync("redis-server", ["--version"], { encoding: "utf8" }).stdout ?? "",
)?.[1];
if (redisVersion === undefined) throw new Error("Cannot compare as there is no redis-server");

const { node } = await runtimes((line) => console.log(line));
const bin = values["postgres-bin"];
const database = await startPostgres({
  ...bin !== undefined && { bin },
  settings: { fsync: "on", full_page_writes: "on" },
});
const port = await freePort();
const redis = spawn("redis-server", ["--port", `${port}`, "--save", "", "--appendonly", "no"], {
  stdio: "ignore",
});
const sql = postgres(database.uri, { max: 1, onnotice: () => {} });
const contenders: Contender[] = [];
try {
  await sql`create database plain`;
  const postmaster = await postmasterOf(sql);
  const [ours, theirs, plain] = [
    ["socketio-pg", "socketio-pg", database.uri, true, postmaster],
    ["redis-streams", "redis-streams", `redis://127.0.0.1:${port}`, true, redis.pid!],
    [
      "socketio-pg, no recovery",
      "socketio-pg",
      database.uri.replace(/postgres$/, "plain"),
      false,
      postmaster,
    ],
  ].map(([name, adapter, uri, hasRecovery, pid]) => {
    const options = { adapter, uri, hasRecovery } as ServerOptions;
    const contender = new Contender(node, name as string, options, pid as number);
    contenders.push(contender);
    return contender;
  }) as [Contender, Contender, Contender];
  for (const contender of contenders) await contender.start();

  console.log(
    `${cpus().length} × ${cpus()[0]?.model.trim()}, ${
      Math.round(totalmem() / 2 ** 30)
    } GiB; PostgreSQL ${database.version} (fsync on, otherwise its defaults), Redis ${redisVersion} ` +
      `(no persistence), Node ${
        spawnSync(node, ["--version"], { encoding: "utf8" }).stdout.trim()
      }\n` +
      `${servers} servers, clients on each: ${clients}; the first server sends to all; ${rounds} rounds of ${ms} ms in turn\n` +
      `socketio-pg: defaults, unlogged tables. redis-streams: maxLen 100,000, readCount 1,000, onlyPlaintext`,
  );
  for (const size of values.size.map(Number)) {
    const found = new Map<Contender, Round[]>(contenders.map((each) => [each, []]));
    const ratios: number[] = [];
    for (let n = 0; n < rounds; n++) {
      // Each of them is first as often as the others.
      const order = contenders.map((_, i) => contenders[(i + n) % contenders.length]!);
      for (const each of order) found.get(each)!.push(await each.round(size));
      ratios.push(found.get(ours)!.at(-1)!.rate / found.get(theirs)!.at(-1)!.rate);
    }
    console.log(`\n${size} B, bursts of ${burstOf(size)}`);
    for (const [each, results] of found) {
      const rates = results.map(({ rate }) => rate);
      const times = await each.alone(size);
      console.log(
        `${each.name}: ${count(median(rates))} messages/s (${spread(rates)}); ` +
          `processor µs a message: servers ${
            count(median(results.map(({ servers }) => servers)))
          }, ` +
          `database ${count(median(results.map(({ database }) => database)))}; ` +
          `alone ${count(median(times))} ms (99 %: ${count(quantile(times, 0.99))})`,
      );
    }
    console.log(`socketio-pg / redis-streams: ${count(median(ratios))} (${spread(ratios)})`);
    const factor = [ours, plain].map((each) => median(found.get(each)!.map(({ rate }) => rate)));
    console.log(`with recovery / without: ${count(factor[0]! / factor[1]!)}`);
  }
  for (const each of contenders) {
    const wrong = await each.wrong();
    if (wrong > 0) console.log(`${each.name}: ${wrong} messages were missing or not in order`);
  }
  const [log] = await sql<{ size: string }[]>`
    select pg_size_pretty(sum(pg_total_relation_size(oid))) as size from pg_class
    where relname ~ '^recovery_packets_' and relkind = 'r'`;
  console.log(`\nThe log of socketio-pg takes ${log?.size} in the end`);
} finally {
  for (const each of contenders) each.end();
  redis.kill();
  await sql.end();
  await database.stop();
}
process.exit();
