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

import process from "node:process";
import { parseArgs } from "node:util";
import { cpus } from "node:os";
import postgres from "postgres";
import type { Runner } from "./bench/child.ts";
import { Cluster } from "./bench/cluster.ts";
import {
  type Daemon,
  processorName,
  startPostgresDaemon,
  startRedisDaemon,
} from "./bench/daemons.ts";
import { count, median, quantile, spread } from "./bench/figures.ts";
import { PEERS } from "./bench/peers.ts";
import { runtimes, versionOf } from "./toolchain.ts";

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
  readonly wrong: number;
}

/** Bursts for a while. */
async function burst(cluster: Cluster, size: number): Promise<Round> {
  const each = burstOf(size);
  let messages = 0, wrong = 0;
  const before = await cluster.used();
  const start = performance.now();
  while (performance.now() - start < ms) {
    const { lost, duplicated, disordered } = await cluster.send({ size, count: each });
    messages += each;
    wrong += lost + duplicated + disordered;
  }
  const seconds = (performance.now() - start) / 1_000;
  const after = await cluster.used();
  const processor = after.servers.reduce(
    (sum, { processor }, i) => sum + processor - before.servers[i]!.processor,
    0,
  );
  return {
    rate: messages / seconds,
    servers: processor / messages,
    database: (after.database - before.database) / messages,
    wrong,
  };
}

/** The milliseconds of messages that are sent one by one, each when all clients have the one before. */
async function alone(cluster: Cluster, size: number): Promise<number[]> {
  const times: number[] = [];
  for (let n = 0; n < ALONE; n++) {
    const { latencies } = await cluster.send({ size, count: 1, rate: 1_000 });
    times.push(Math.max(...latencies));
  }
  return times;
}

const { node } = await runtimes((line) => console.log(line));
const runner: Runner = { kind: "node", path: node };
const daemons: Daemon[] = [];
const clusters = new Map<string, Cluster>();

async function start(name: string, peer: string, hasRecovery: boolean): Promise<Cluster> {
  const daemon = PEERS[peer]!.database === "redis"
    ? await startRedisDaemon()
    : await startPostgresDaemon(values["postgres-bin"]);
  daemons.push(daemon);
  const cluster = new Cluster({
    runner,
    node: runner,
    servers,
    clients,
    server: { peer, uri: daemon.uri, hasRecovery, namespaces: 0 },
    daemon,
  });
  clusters.set(name, cluster);
  await cluster.start(0);
  return cluster;
}

try {
  const ours = await start("socketio-pg", "socketio-pg", true);
  const theirs = await start("redis-streams", "redis-streams", true);
  const plain = await start("socketio-pg, no recovery", "socketio-pg", false);
  console.log(
    `${cpus().length} × ${processorName()}; ${
      [...new Set(daemons.map(({ description }) => description))].join("; ")
    }; Node ${versionOf(node)}\n` +
      `${servers} servers, clients on each: ${clients}; the first server sends to all; ${rounds} rounds of ${ms} ms in turn\n` +
      `redis-streams: ${PEERS["redis-streams"]!.settings}`,
  );
  for (const size of values.size.map(Number)) {
    const found = new Map<Cluster, Round[]>([ours, theirs, plain].map((each) => [each, []]));
    const ratios: number[] = [];
    for (let n = 0; n < rounds; n++) {
      // Each of them is first as often as the others.
      const order = [...found.keys()].map((_, i, all) => all[(i + n) % all.length]!);
      for (const each of order) found.get(each)!.push(await burst(each, size));
      ratios.push(found.get(ours)!.at(-1)!.rate / found.get(theirs)!.at(-1)!.rate);
    }
    console.log(`\n${size} B, bursts of ${burstOf(size)}`);
    for (const [name, each] of clusters) {
      const results = found.get(each)!;
      const rates = results.map(({ rate }) => rate);
      const times = await alone(each, size);
      const wrong = results.reduce((sum, { wrong }) => sum + wrong, 0);
      console.log(
        `${name}: ${count(median(rates))} messages/s (${spread(rates)}); ` +
          `processor µs a message: servers ${
            count(median(results.map(({ servers }) => servers)))
          }, ` +
          `database ${count(median(results.map(({ database }) => database)))}; ` +
          `alone ${count(median(times))} ms (99 %: ${count(quantile(times, 0.99))})` +
          (wrong > 0 ? `; ${wrong} were lost, doubled or out of order` : ""),
      );
    }
    console.log(`socketio-pg / redis-streams: ${count(median(ratios))} (${spread(ratios)})`);
    const factor = [ours, plain].map((each) => median(found.get(each)!.map(({ rate }) => rate)));
    console.log(`with recovery / without: ${count(factor[0]! / factor[1]!)}`);
  }
  const sql = postgres(daemons[0]!.uri, { max: 1, onnotice: () => {} });
  const [log] = await sql<{ size: string }[]>`
    select pg_size_pretty(sum(pg_total_relation_size(oid))) as size from pg_class
    where relname ~ '^recovery_packets_' and relkind = 'r'`;
  console.log(`\nThe log of socketio-pg takes ${log?.size} in the end`);
  await sql.end();
} finally {
  for (const each of clusters.values()) await each.end();
  for (const each of daemons) await each.stop();
}
process.exit();
