/**
 * What is measured: bursts, steady streams, requests, and doing nothing.
 *
 * @module
 */

import { setTimeout as delay } from "node:timers/promises";
import { type Contender, MOST_DELIVERIES, spreadRooms, type Used } from "./cluster.ts";
import { quantile } from "./figures.ts";
import type { Kind, Requests } from "./server.ts";

/** What one turn of one of those that are compared came to. */
export interface Turn {
  /** Messages, requests, or what an idle database is given to do, a second. */
  readonly rate: number;
  /** Milliseconds, where they are measured. */
  readonly p50?: number;
  readonly p99?: number;
  /** Microseconds of processor time a message; a second where nothing is sent. */
  readonly processor: {
    readonly sender: number;
    /** The server whose clients get the messages. */
    readonly receiver?: number;
    /** One whose clients do not. */
    readonly uninterested?: number;
    readonly database: number;
  };
  /** Bytes that are resident in the end: the sender, and the mean of the others. */
  readonly memory: { readonly sender: number; readonly receiver?: number };
  readonly lost: number;
  readonly duplicated: number;
  readonly disordered: number;
}

/** One thing that is measured. */
export interface Workload {
  readonly name: string;
  readonly title: string;
  /** What {@linkcode Turn.rate} counts. */
  readonly unit: string;
  /** Rooms that are spread over the servers. */
  readonly rooms?: number;
  /** Whether it needs more than one server. */
  readonly isBetweenServers?: boolean;
  /** Milliseconds until what is compiled once is compiled, before it is measured. */
  readonly warmUpMs: number;
  /** Measures for about so long; `operations` counts what the database did. */
  run(contender: Contender, ms: number, operations: () => Promise<number>): Promise<Turn>;
}

/**
 * Enough that the end of a burst counts for little, and no more than waits anywhere: a server that is busy with its
 * clients for seconds lets commands of its database time out.
 */
function burstOf(size: number, clients: number): number {
  const most = Math.min(5_000, 10_000_000 / size, MOST_DELIVERIES / clients);
  return Math.max(10, Math.floor(most));
}

function cost(before: Used, after: Used, count: number, isSingle: boolean): Turn["processor"] {
  const [sender = 0, ...others] = after.servers.map(({ processor }, i) =>
    (processor - before.servers[i]!.processor) / count
  );
  const mean = (values: readonly number[]) =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  const [receivers, strangers] = isSingle ? [others.slice(0, 1), others.slice(1)] : [others, []];
  return {
    sender,
    ...receivers.length > 0 && { receiver: mean(receivers) },
    ...strangers.length > 0 && { uninterested: mean(strangers) },
    database: (after.database - before.database) / count,
  };
}

/** What is resident: the first server, and the mean of the others. */
export function memoryOf({ servers }: Used): Turn["memory"] {
  const [sender = NaN, ...others] = servers.map(({ memory }) => memory);
  const sum = others.reduce((total, bytes) => total + bytes, 0);
  return { sender, ...others.length > 0 && { receiver: sum / others.length } };
}

function burst(name: string, title: string, kind: Kind, rooms?: number): Workload {
  return {
    name,
    title,
    unit: "messages/s",
    ...rooms !== undefined && { rooms },
    warmUpMs: 300,
    async run(contender, ms) {
      const count = burstOf(kind.size, contender.clients);
      let [lost, duplicated, disordered, messages] = [0, 0, 0, 0];
      const before = await contender.used();
      const start = performance.now();
      while (performance.now() - start < ms) {
        const arrived = await contender.send({ ...kind, count });
        messages += count;
        lost += arrived.lost;
        duplicated += arrived.duplicated;
        disordered += arrived.disordered;
      }
      const seconds = (performance.now() - start) / 1_000;
      const after = await contender.used();
      return {
        rate: messages / seconds,
        processor: cost(before, after, messages, kind.rooms?.length === 1),
        memory: memoryOf(after),
        lost,
        duplicated,
        disordered,
      };
    },
  };
}

function steady(rate: number): Workload {
  return {
    name: `steady-${rate}`,
    title: `100 B to all, ${rate.toLocaleString("en")} a second`,
    unit: "messages/s",
    // Few messages a second are many seconds until those who send them are what they are after an hour.
    warmUpMs: 5_000_000 / rate,
    async run(contender, ms) {
      const count = Math.max(1, Math.round(rate * ms / 1_000));
      const before = await contender.used();
      const start = performance.now();
      const { latencies, ...arrived } = await contender.send({ size: 100, count, rate });
      const seconds = (performance.now() - start) / 1_000;
      const after = await contender.used();
      return {
        rate: count / seconds,
        ...latencies.length > 0 &&
          { p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99) },
        processor: cost(before, after, count, false),
        memory: memoryOf(after),
        ...arrived,
      };
    },
  };
}

function requests(what: Requests["what"]): Workload {
  return {
    name: what,
    title: `${what}, answered by all, one after the other`,
    unit: "requests/s",
    isBetweenServers: true,
    warmUpMs: 3_000,
    async run(contender, ms) {
      const before = await contender.used();
      const times = await contender.ask({ what, ms });
      const after = await contender.used();
      return {
        rate: times.length / ms * 1_000,
        p50: quantile(times, 0.5),
        p99: quantile(times, 0.99),
        processor: cost(before, after, times.length, false),
        memory: memoryOf(after),
        lost: 0,
        duplicated: 0,
        disordered: 0,
      };
    },
  };
}

/** Node tidies up what its start, or the workload before, has left: that is not of a server that does nothing. */
const SETTLING_MS = 11_000;

const idle: Workload = {
  name: "idle",
  title: "Nothing is sent",
  unit: "statements/s that change or notify, or commands of Redis",
  warmUpMs: 0,
  async run(contender, ms, operations) {
    await delay(SETTLING_MS);
    const [from, before, start] = [await operations(), await contender.used(), performance.now()];
    // Heartbeats come every few seconds.
    await delay(Math.max(20_000, ms));
    const after = await contender.used();
    const seconds = (performance.now() - start) / 1_000;
    const count = await operations() - from;
    return {
      rate: count / seconds,
      processor: cost(before, after, seconds, false),
      memory: memoryOf(after),
      lost: 0,
      duplicated: 0,
      disordered: 0,
    };
  },
};

/** Everything that can be measured, by name. */
export const WORKLOADS: ReadonlyMap<string, Workload> = new Map(
  [
    burst("100B", "100 B to all", { size: 100 }),
    burst("1KB", "1 KB to all", { size: 1_000 }),
    burst("10KB", "10 KB to all", { size: 10_000 }),
    burst("100KB", "100 KB to all", { size: 100_000 }),
    burst("1MB", "1 MB to all", { size: 1_000_000 }),
    burst("binary", "binary, 1 KB to all", { size: 1_000, isBinary: true }),
    burst("room", "100 B to a room that one server has", { size: 100, rooms: ["room"] }),
    burst(
      "rooms",
      "100 B to 1,000 rooms, spread over the servers",
      { size: 100, rooms: spreadRooms(1_000) },
      1_000,
    ),
    steady(500),
    steady(3_000),
    requests("fetchSockets"),
    requests("serverSideEmit"),
    idle,
  ].map((workload) => [workload.name, workload]),
);
