/**
 * How fast servers reach each other's clients: this adapter, those of Socket.IO for Redis and PostgreSQL, one server
 * alone, and NOTIFY without an adapter.
 *
 *     deno task bench                      all groups: takes an hour
 *     deno task bench core                 one group
 *     deno task bench clients/1KB 100B room
 *                                          some workloads of a group, of "core" where none is named
 *     deno task bench core --rounds 3 --ms 1000 --peer redis --peer postgres
 *     deno task bench core --save          writes docs/bench/ as well
 *     deno task bench core/10KB --peer none --profile /tmp/profiles
 *                                          what the time of Node goes to, for its inspector
 *     deno task bench --list               what there is
 *
 * Servers are processes of their own, and so are all clients together. Those that are compared take turns in each round,
 * and each is first as often as the others. Needs `redis-server`, and Linux for processor times.
 *
 * @module
 */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { BareContender } from "./bench/bare_contender.ts";
import { svg, THEMES } from "./bench/chart.ts";
import type { Runner } from "./bench/child.ts";
import { close, closeAll, isInterrupted, keep } from "./bench/closing.ts";
import { Cluster, type Contender, NotReadyError } from "./bench/cluster.ts";
import {
  type Daemon,
  processorName,
  startPostgresDaemon,
  startRedisDaemon,
} from "./bench/daemons.ts";
import { measureEmitters } from "./bench/emitter_group.ts";
import { type Group, GROUPS } from "./bench/groups.ts";
import { PEERS } from "./bench/peers.ts";
import { pictures } from "./bench/pictures.ts";
import {
  document,
  type Measured,
  MEMORY_TITLE,
  memoryTable,
  plainTable,
  type Results,
  tableOf,
} from "./bench/report.ts";
import { EMITTERS, selection } from "./bench/selection.ts";
import { memoryOf, type Turn, type Workload } from "./bench/workloads.ts";
import { ROOT, type Runtimes, runtimes, versionOf } from "./toolchain.ts";

/** NOTIFY and LISTEN alone. */
const BARE = "bare postgres.js";
/** What it can do: the rest is larger than a payload, or needs rooms. */
const BARE_WORKLOADS = ["100B", "1KB", "steady-500", "steady-3000"];

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "5" },
    ms: { type: "string", default: "2000" },
    peer: { type: "string", multiple: true },
    save: { type: "boolean", default: false },
    list: { type: "boolean", default: false },
    profile: { type: "string" },
    "postgres-bin": { type: "string" },
  },
});
const rounds = Number(values.rounds), ms = Number(values.ms);
const folder = join(ROOT, "docs/bench");
/** How long servers may take until they reach each other: ten thousand namespaces are more than some adapters bear. */
const START_LIMIT_MS = 60_000;

/** One of those that are compared, with what carries its messages. */
interface Started {
  readonly name: string;
  readonly contender: Contender;
  readonly daemon: Daemon | undefined;
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => void closeAll(true).finally(() => process.exit(130)));
}

/** What cannot be measured as it was called, if anything. */
function misuse(): string | undefined {
  if (!(Number.isInteger(rounds) && rounds > 0)) return "--rounds takes a whole number above 0";
  if (!(ms > 0)) return "--ms takes a number of milliseconds";
  const known = [...Object.keys(PEERS).slice(1), "bare", "none"];
  const unknown = values.peer?.find((name) => !known.includes(name));
  return unknown === undefined
    ? undefined
    : `There is no peer "${unknown}": there are ${known.join(", ")}`;
}

/** Whether one of those that are compared can do what is measured. */
function takesPart(name: string, group: Group, workload: Workload): boolean {
  if (name === BARE) return BARE_WORKLOADS.includes(workload.name) && group.name === "core";
  return name !== "in-memory" || workload.isBetweenServers !== true && workload.name !== "idle";
}

async function start(name: string, group: Group, found: Runtimes, rooms: number): Promise<Started> {
  const flags = values.profile === undefined
    ? []
    : ["--cpu-prof", `--cpu-prof-dir=${values.profile}`];
  const node: Runner = { kind: "node", path: found.node, flags };
  const runner: Runner = group.runtime === "node"
    ? node
    : { kind: group.runtime, path: found[group.runtime] };
  const kind = name === BARE ? "postgres" : PEERS[name]!.database;
  const daemon = kind === "postgres"
    ? await startPostgresDaemon(values["postgres-bin"])
    : kind === "redis"
    ? await startRedisDaemon()
    : undefined;
  if (daemon !== undefined) keep(daemon);
  const contender = keep(
    name === BARE ? new BareContender(node, daemon!) : new Cluster({
      runner,
      node,
      servers: kind === "none" ? 1 : group.servers,
      clients: group.clients,
      server: {
        peer: name,
        uri: daemon?.uri ?? "",
        hasRecovery: false,
        namespaces: group.namespaces,
      },
      daemon,
    }),
  );
  const starting = contender.start(rooms);
  try {
    await inTime(starting, `not ready after ${START_LIMIT_MS / 1_000} s`);
  } catch (fault) {
    // It does not take part: nothing of it may run beside the others.
    starting.catch(() => {});
    await close(contender);
    if (daemon !== undefined) await close(daemon);
    throw fault;
  }
  return { name, contender, daemon };
}

async function inTime(starting: Promise<void>, words: string): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new NotReadyError(words)), START_LIMIT_MS);
  });
  try {
    await Promise.race([starting, late]);
  } finally {
    clearTimeout(timer);
  }
}

function configuration(started: readonly Started[], group: Group, found: Runtimes): string[] {
  const databases = new Set(started.flatMap(({ daemon }) => daemon?.description ?? []));
  const packages = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")).packages;
  const version = (name: string) => `${name} ${packages[`node_modules/${name}`]?.version}`;
  return [
    machine(),
    `servers: ${versionOf(found[group.runtime]).split("\n")[0]}; clients: Node ${
      versionOf(found.node)
    }`,
    [...databases].join("; "),
    [
      "socket.io",
      "postgres",
      "redis",
      "pg",
      "@socket.io/redis-adapter",
      "@socket.io/redis-streams-adapter",
      "@socket.io/postgres-adapter",
    ].map(version).join(", "),
    ...started.flatMap(({ name }) => name in PEERS ? [`${name}: ${PEERS[name]!.settings}`] : []),
    `${rounds} rounds of ${ms} ms in turn`,
  ];
}

async function runGroup(
  group: Group,
  workloads: readonly Workload[],
  found: Runtimes,
): Promise<Results[string]> {
  console.log(`\n# ${group.title}\n`);
  const names = [...Object.keys(PEERS), ...group.name === "core" ? [BARE] : []]
    .filter((name, i) =>
      i === 0 || values.peer === undefined || values.peer.includes(name.split(" ")[0]!)
    );
  const rooms = Math.max(0, ...workloads.map(({ rooms = 0 }) => rooms));
  const started: Started[] = [];
  const leftOut: string[] = [];
  try {
    for (const name of names) {
      if (!workloads.some((each) => takesPart(name, group, each))) continue;
      try {
        started.push(await start(name, group, found, rooms));
      } catch (fault) {
        // Without ours there is nothing to compare.
        if (!(fault instanceof NotReadyError) || name === names[0]) throw fault;
        leftOut.push(`${name} is left out: ${fault.message}`);
      }
    }
    const lines = [...configuration(started, group, found), ...leftOut];
    console.log(lines.join("\n"));
    const measured: Record<string, Measured> = {};
    for (const workload of workloads) {
      const { name, title, unit } = workload;
      const run = name === "idle" ? runIdle : runWorkload;
      const turns = await run(workload, group, started);
      measured[name] = { title, unit, turns };
      console.log(`\n${title} (${group.name}/${name})\n${plainTable(tableOf(measured[name]))}`);
    }
    const memory = await resident(started);
    console.log(`\n${MEMORY_TITLE}\n${plainTable(memoryTable(memory))}`);
    return {
      title: group.title,
      configuration: lines,
      date: today(),
      workloads: measured,
      // Memory is that of the whole group, or is not compared.
      ...group.workloads.every((name) => name in measured) && { memory },
    };
  } finally {
    await closeAll();
  }
}

async function runWorkload(
  workload: Workload,
  group: Group,
  all: readonly Started[],
): Promise<Record<string, Turn[]>> {
  const started = all.filter(({ name }) => takesPart(name, group, workload));
  const turns: Record<string, Turn[]> = Object.fromEntries(started.map(({ name }) => [name, []]));
  const run = (each: Started, ms: number) =>
    workload.run(each.contender, ms, () => each.daemon!.operations());
  if (workload.warmUpMs > 0) { for (const each of started) await run(each, workload.warmUpMs); }
  for (let round = 0; round < rounds; round++) {
    for (const [i] of started.entries()) {
      const each = started[(i + round) % started.length]!;
      turns[each.name]!.push(await run(each, ms));
    }
  }
  return turns;
}

/** Those that do nothing do not disturb each other. */
async function runIdle(
  workload: Workload,
  group: Group,
  all: readonly Started[],
): Promise<Record<string, Turn[]>> {
  const started = all.filter(({ name }) => takesPart(name, group, workload));
  return Object.fromEntries(
    await Promise.all(started.map(async ({ name, contender, daemon }) => {
      return [name, [await workload.run(contender, ms, () => daemon!.operations())]];
    })),
  );
}

/** What servers have in memory; of those with one server, or without any, there is nothing to compare. */
async function resident(all: readonly Started[]): Promise<Record<string, Turn["memory"]>> {
  const found: Record<string, Turn["memory"]> = {};
  for (const { name, contender } of all) {
    if (name !== BARE && name !== "in-memory") found[name] = memoryOf(await contender.used());
  }
  return found;
}

async function runEmitters(found: Runtimes): Promise<Results[string]> {
  const title = "Emitters, about 100 B a message, at a raw listener";
  console.log(`\n# ${title}\n`);
  const { databases, rows } = await measureEmitters(found, ms, values["postgres-bin"]);
  console.log(plainTable(rows));
  return {
    title,
    configuration: [machine(), databases.join("; "), `${ms} ms each`],
    date: today(),
    workloads: {},
    rows,
  };
}

function machine(): string {
  return `${cpus().length} × ${processorName()}, ${
    Math.round(totalmem() / 2 ** 30)
  } GiB, for everything`;
}

function today(): string {
  return new Date().toISOString().slice(0, 10);
}

function save(found: Results): void {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, "results.json");
  const before: Results = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {};
  const merged: Record<string, Results[string]> = { ...before };
  for (const [name, group] of Object.entries(found)) {
    merged[name] = {
      // That of the last time when all of the group was done.
      ...before[name]?.memory && { memory: before[name].memory },
      ...group,
      workloads: { ...before[name]?.workloads, ...group.workloads },
    };
  }
  const order = [...GROUPS.keys(), EMITTERS];
  const results: Results = Object.fromEntries(
    Object.entries(merged).sort(([a], [b]) => order.indexOf(a) - order.indexOf(b)),
  );
  const rounded = (_key: string, value: unknown) =>
    typeof value === "number" ? Number(value.toPrecision(5)) : value;
  writeFileSync(file, `${JSON.stringify(results, rounded)}\n`);
  writeFileSync(join(folder, "RESULTS.md"), document(results));
  for (const [name, chart] of Object.entries(pictures(results))) {
    writeFileSync(join(folder, `${name}.svg`), svg(chart, THEMES.light));
    writeFileSync(join(folder, `${name}-dark.svg`), svg(chart, THEMES.dark));
  }
}

if (values.list) {
  for (const { name, title, workloads } of GROUPS.values()) {
    console.log(`${name}: ${title}\n  ${workloads.join(" ")}`);
  }
  console.log(`${EMITTERS}: emitters in each runtime`);
  console.log(`\nPeers: ${Object.keys(PEERS).slice(1).join(" ")} bare`);
  process.exit();
}
try {
  const wrong = misuse();
  if (wrong !== undefined) throw new Error(wrong);
  const { groups, hasEmitters } = selection(positionals);
  const found = await runtimes((line) => console.log(line));
  for (const [group, workloads] of groups) {
    const results = { [group.name]: await runGroup(group, workloads, found) };
    // Each group by itself: what is measured is kept when a later one fails.
    if (values.save) save(results);
  }
  if (hasEmitters) {
    const results = { [EMITTERS]: await runEmitters(found) };
    if (values.save) save(results);
  }
  process.exit();
} catch (fault) {
  // What is cut off by Ctrl-C fails, too, which is no news.
  if (!isInterrupted()) console.error(fault instanceof Error ? fault.message : fault);
  await closeAll();
  process.exit(isInterrupted() ? 130 : 1);
}
