/**
 * Servers that never stop talking: each emits numbered messages of many sizes and kinds, and each has a client that
 * writes down what it gets. What comes of it is a history, see `history.ts`.
 *
 * @module
 */

import { createHash } from "node:crypto";
import postgres from "postgres";
import type { Socket as Client } from "socket.io-client";
import { pgAdapter, type PgAdapterOptions } from "../../mod.ts";
import {
  connected,
  createClient,
  createNode,
  knowEachOther,
  type Node,
  uniquePrefix,
} from "./cluster.ts";
import { databaseUri } from "./database.ts";
import { FaultProxy } from "./fault_proxy.ts";
import type { Entry, Gap, History, Sent } from "./history.ts";
import type { Scope } from "./test.ts";
import { until } from "./wait.ts";

/** What traffic may differ in. */
export interface TrafficOptions {
  /** How many servers. @default 3 */
  size?: number;
  /** Messages per second of each server. @default 100 */
  rate?: number;
  /** The database. @default the one of all tests */
  uri?: string;
  /** The channel prefix. @default a unique one */
  prefix?: string;
  /** Whether each server has a fault proxy of its own. @default false */
  proxied?: boolean;
  /** Options of the adapters. */
  adapter?: PgAdapterOptions;
  /** The most bytes of a message. @default 100000 */
  maxSize?: number;
  /** Whether it waits for the servers to be ready and to know each other. @default true */
  wait?: boolean;
  /** Whether the clean-up fails when PostgreSQL still has sessions of the servers after they were closed. @default true */
  checksEnd?: boolean;
}

/** Something that an adapter told. */
export interface Told {
  /** `performance.now()`. */
  readonly at: number;
  readonly event: "error" | "ready" | "disconnect" | "reconnect" | "gap" | "node-up" | "node-down";
  readonly detail: unknown;
}

/** One server of the traffic. */
export interface Talker {
  readonly node: Node;
  readonly io: Node["io"];
  readonly adapter: Node["adapter"];
  /** The adapter's id, which is the name of sender and receiver in the history. */
  readonly uid: string;
  /** Only where `proxied` is set. */
  readonly proxy: FaultProxy;
  readonly client: Client;
  readonly second: Client;
  readonly told: Told[];
  /** What its client got so far. */
  readonly received: Entry[];
  /** How many messages of each sender that is. */
  readonly counts: ReadonlyMap<string, number>;
  /** The number of the last message of each sender. */
  readonly latest: ReadonlyMap<string, number>;
}

/** Timers that are short enough to see faults noticed in a test. */
export const QUICK: Required<
  Pick<
    PgAdapterOptions,
    "heartbeatInterval" | "heartbeatTimeout" | "statementTimeout" | "connectTimeout"
  >
> = {
  heartbeatInterval: 300,
  heartbeatTimeout: 1_500,
  statementTimeout: 500,
  connectTimeout: 500,
};

const ROOM = "room";
const SECOND = "/second";
/** Bytes; small ones are the rule. */
const SIZES = [0, 5, 40, 300, 10, 1_500, 80, 2, 7_000, 120, 30, 8_000, 60, 400, 20_000, 15];
/** Every so many messages one is very large. */
const LARGE_EVERY = 250;
const LARGE = 100_000;
const TICK_MS = 10;
/** Traffic that makes no progress for so long does not arrive any more. */
const STILL_MS = 4_000;

/** Starts servers, with a client each, that know each other; they talk after {@linkcode Traffic.run}. */
export async function createTraffic(scope: Scope, options: TrafficOptions = {}): Promise<Traffic> {
  const { size = 3, proxied = false, prefix = uniquePrefix(), wait = true } = options;
  const uri = options.uri ?? await databaseUri();
  const talkers: Talker[] = [];
  // Runs last, when all servers and proxies are closed.
  if (options.checksEnd !== false) {
    scope.after(() => noSessionsLeft(uri, talkers.map(({ uid }) => uid)));
  }
  for (let i = 0; i < size; i++) {
    const proxy = proxied ? await FaultProxy.start(uri) : undefined;
    // Closed after the server, which it must not hinder from saying goodbye.
    scope.after(() => proxy?.close());
    talkers.push(
      await createTalker(scope, proxy?.uri ?? uri, { prefix, ...options.adapter }, proxy),
    );
  }
  const traffic = new Traffic(talkers, options, prefix, uri);
  scope.after(() => traffic.pause());
  await Promise.all(
    talkers.flatMap(({ client, second }) => [connected(client), connected(second)]),
  );
  if (!wait) return traffic;
  await Promise.all(talkers.map(({ adapter }) => adapter.ready()));
  await traffic.acquainted();
  return traffic;
}

async function createTalker(
  scope: Scope,
  uri: string,
  options: PgAdapterOptions,
  proxy: FaultProxy | undefined,
): Promise<Talker> {
  const adapter = pgAdapter(uri, options);
  const node = await createNode(adapter);
  const told: Told[] = [];
  for (
    const event of [
      "error",
      "ready",
      "disconnect",
      "reconnect",
      "gap",
      "node-up",
      "node-down",
    ] as const
  ) {
    adapter.on(event, (detail?: unknown) => {
      told.push({ at: performance.now(), event, detail });
    });
  }
  for (const nsp of ["/", SECOND]) {
    node.io.of(nsp).on("connection", (socket) => void socket.join(ROOM));
  }
  const client = createClient(node.port);
  const second = client.io.socket(SECOND);
  const received: Entry[] = [];
  const [counts, latest] = [new Map<string, number>(), new Map<string, number>()];
  for (const each of [client, second]) {
    each.on("n", (sender: string, n: number, content: unknown) => {
      received.push({ sender, n, digest: digestOf(content) });
      counts.set(sender, (counts.get(sender) ?? 0) + 1);
      latest.set(sender, n);
    });
  }
  scope.after(async () => {
    client.disconnect();
    second.disconnect();
    await node.close();
  });
  return {
    node,
    io: node.io,
    adapter,
    uid: adapter.stats().uid,
    get proxy() {
      if (proxy === undefined) throw new Error(`there is no proxy: set the option "proxied"`);
      return proxy;
    },
    client,
    second,
    told,
    received,
    counts,
    latest,
  };
}

/** Servers that talk, see {@linkcode createTraffic}. */
export class Traffic {
  readonly talkers: readonly Talker[];
  readonly prefix: string;
  /** The server's uri, without any proxy. */
  readonly uri: string;
  readonly #rate: number;
  readonly #maxSize: number;
  readonly #sent: Sent[] = [];
  readonly #counts: Map<Talker, number> = new Map();
  readonly #silent: Set<Talker> = new Set();
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(talkers: readonly Talker[], options: TrafficOptions, prefix: string, uri: string) {
    this.talkers = talkers;
    this.prefix = prefix;
    this.uri = uri;
    this.#rate = options.rate ?? 100;
    this.#maxSize = options.maxSize ?? LARGE;
  }

  /** The server of this number. */
  at(number: number): Talker {
    const talker = this.talkers[number];
    if (talker === undefined) throw new RangeError(`there is no server ${number}`);
    return talker;
  }

  /** How many messages were sent so far. */
  get sent(): number {
    return this.#sent.length;
  }

  /** How many messages this server has sent. */
  sentBy(talker: Talker): number {
    return this.#counts.get(talker) ?? 0;
  }

  /** Waits until each server counts so many. */
  async acquainted(count: number = this.talkers.length, ms = 20_000): Promise<void> {
    if (count === this.talkers.length) {
      await knowEachOther(this.talkers.map(({ node }) => node));
      return await knowEachOther(this.talkers.map(({ node }) => node), SECOND);
    }
    await until(`each server counts ${count}`, async () => {
      const counts = await Promise.all(
        this.talkers.flatMap(({ io }) =>
          ["/", SECOND].map((nsp) => io.of(nsp).adapter.serverCount())
        ),
      );
      return counts.every((each) => each === count);
    }, ms);
  }

  /** Starts to talk. */
  run(): void {
    this.pause();
    const start = performance.now();
    let done = 0;
    this.#timer = setInterval(() => {
      const due = Math.floor((performance.now() - start) * this.#rate / 1_000);
      // Who was held up does not catch up with everything at once.
      const count = Math.min(due - done, Math.max(1, Math.ceil(this.#rate / 10)));
      done = due;
      for (let i = 0; i < count; i++) this.emit();
    }, TICK_MS);
  }

  /** Talks no more; `run()` goes on. */
  pause(): void {
    clearInterval(this.#timer);
  }

  /** One server talks no more. */
  silence(talker: Talker): void {
    this.#silent.add(talker);
  }

  /** One message of each server, or of some, now. */
  emit(talkers: readonly Talker[] = this.talkers): void {
    for (const talker of talkers) if (!this.#silent.has(talker)) this.#emit(talker);
  }

  /** Waits until at least so many more messages were sent, all servers together. */
  async more(count: number, ms = 30_000): Promise<void> {
    const goal = this.#sent.length + count;
    await until(`${count} more messages are sent`, () => this.#sent.length >= goal, ms);
  }

  /** Everything so far; what is still on its way is missing in it. */
  history(): History {
    return {
      sent: [...this.#sent],
      received: Object.fromEntries(this.talkers.map(({ uid, received }) => [uid, [...received]])),
      gaps: this.talkers.flatMap((talker) => gapsOf(talker)),
    };
  }

  /**
   * Stops talking and waits for what is on its way: until every receiver has everything, or nothing has come for a
   * while.
   *
   * @param ms How long at most.
   */
  async stop(ms = 30_000): Promise<History> {
    this.pause();
    await this.settle(ms);
    // Whatever comes twice comes before what is sent now.
    this.emit();
    await this.#still(ms, (talker, sender) => talker.latest.get(sender.uid));
    return this.history();
  }

  /** Waits until every receiver has got as many messages as were sent here, or nothing has come for a while. */
  async settle(ms = 30_000): Promise<void> {
    // Others may talk, too.
    await this.#still(ms, (talker, sender) => (talker.counts.get(sender.uid) ?? 0) - 1);
  }

  async #still(
    ms: number,
    reached: (talker: Talker, sender: Talker) => number | undefined,
  ): Promise<void> {
    const end = performance.now() + ms;
    let before = -1;
    let since = performance.now();
    await until("the traffic has arrived", () => {
      const now = performance.now();
      const isComplete = this.talkers.every((talker) =>
        this.talkers.every((sender) => (reached(talker, sender) ?? -1) >= this.sentBy(sender) - 1)
      );
      if (isComplete) return true;
      const sum = this.talkers.reduce((total, { received }) => total + received.length, 0);
      const isWorking = this.talkers.every(({ adapter }) => {
        const { phase, queued } = adapter.stats();
        return phase === "closed" || (phase === "ready" && queued.messages === 0);
      });
      if (sum !== before || !isWorking) [before, since] = [sum, now];
      return now - since > STILL_MS || now > end;
    }, ms + 5_000);
  }

  /** What an adapter told of this kind since a time, `performance.now()`. */
  told(event: Told["event"], since = 0, talkers: readonly Talker[] = this.talkers): Told[] {
    return talkers.flatMap((talker) =>
      talker.told.filter((told) => told.event === event && told.at >= since)
    );
  }

  #emit(talker: Talker): void {
    const n = this.sentBy(talker);
    this.#counts.set(talker, n + 1);
    const content = contentOf(n, this.#maxSize);
    this.#sent.push({ sender: talker.uid, n, digest: digestOf(content) });
    switch (n % 5) {
      case 1:
        talker.io.to(ROOM).emit("n", talker.uid, n, content);
        break;
      case 3:
        talker.io.of(SECOND).emit("n", talker.uid, n, content);
        break;
      case 4:
        talker.io.of(SECOND).to(ROOM).emit("n", talker.uid, n, content);
        break;
      default:
        talker.io.emit("n", talker.uid, n, content);
    }
  }
}

/**
 * Waits until PostgreSQL has no sessions of these adapters any more.
 *
 * @throws {Error} When some are left.
 */
export async function noSessionsLeft(uri: string, uids: readonly string[]): Promise<void> {
  const sql = postgres(uri, { max: 1, fetch_types: false, connect_timeout: 5 });
  const names = uids.flatMap((uid) => [`socketio-pg:listen:${uid}`, `socketio-pg:publish:${uid}`]);
  try {
    await until("no session is left", async () => {
      const rows = await sql`select 1 from pg_stat_activity where application_name in ${
        sql(names)
      }`;
      return rows.length === 0;
    }, 5_000);
  } catch (error) {
    // A server that is gone has none.
    if ((error as { code?: string }).code !== "ECONNREFUSED") throw error;
  } finally {
    await sql.end({ timeout: 1 });
  }
}

function gapsOf({ uid, told }: Talker): Gap[] {
  return told.filter(({ event }) => event === "gap").map(({ detail }) => {
    const { uid: sender, missed } = detail as { uid: string; missed: number };
    return { receiver: uid, sender, missed };
  });
}

/** What message `n` says: text or binary, of many sizes. */
function contentOf(n: number, maxSize: number): string | Buffer {
  const wanted = n % LARGE_EVERY === LARGE_EVERY - 1 ? LARGE : SIZES[n % SIZES.length] ?? 0;
  const size = Math.min(wanted, maxSize);
  // Not in step with the sizes, so that each size comes in each kind.
  return n % 3 === 0
    ? Buffer.alloc(size, Buffer.from([n & 255, 0, 255, n >> 8 & 255]))
    : `${n}é "`.repeat(Math.ceil(size / 5)).slice(0, size);
}

/** What tells a content from all others. */
function digestOf(content: unknown): string {
  const hash = createHash("sha1");
  if (typeof content === "string") return hash.update("text").update(content).digest("hex");
  if (content instanceof ArrayBuffer) return digestOf(new Uint8Array(content));
  if (content instanceof Uint8Array) return hash.update("bytes").update(content).digest("hex");
  return `neither text nor bytes: ${typeof content}`;
}
