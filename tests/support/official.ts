/** Servers of `@socket.io/postgres-adapter`, and of ours that speak its wire, too. */
import { createAdapter } from "@socket.io/postgres-adapter";
import pg from "pg";
import { pgAdapter, type PgAdapterOptions } from "../../mod.ts";
import { type Adapter, type Cluster, type ClusterOptions, createCluster } from "./cluster.ts";
import type { Scope } from "./test.ts";
import { until } from "./wait.ts";

/** Theirs, ours with `wire: "official"`, and ours without. */
export type Kind = "theirs" | "both" | "ours";

/** Timers that are short enough to see a server go in a test. */
const QUICK = { heartbeatInterval: 500, heartbeatTimeout: 2_000 };

/** The table of a cluster. */
export function tableOf(prefix: string): string {
  return `attachments_${prefix}`;
}

/** A pool of theirs: one connection listens, one sends, so that what is small keeps its order. */
export function createPool(uri: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: uri, max: 2 });
  // Of connections that end while they are idle.
  pool.on("error", () => {});
  return pool;
}

/** Ends a pool once what was asked of it is done: a server that leaves says so by it. */
export async function endPool(pool: pg.Pool): Promise<void> {
  await until(
    "a pool is idle",
    () => pool.waitingCount === 0 && pool.idleCount === pool.totalCount,
  );
  await pool.end();
}

/** An adapter of theirs, with what tests need of one of ours. */
export function theirAdapter(
  uri: string,
  prefix: string,
  { heartbeatTimeout = QUICK.heartbeatTimeout }: PgAdapterOptions = {},
): Adapter {
  const pool = createPool(uri);
  const listeners: ((error: Error) => void)[] = [];
  let ended: Promise<void> | undefined;
  // Its servers need the table before anything binary or large is sent.
  const table = pool.query(
    `create table if not exists ${tableOf(prefix)} (
      id bigserial unique, created_at timestamptz default now(), payload bytea)`,
  );
  // Servers that start at once may both create it.
  const ready = table.then(() => {}, () => {});
  const create = createAdapter(pool, {
    channelPrefix: prefix,
    tableName: tableOf(prefix),
    // Closed twice, it says goodbye twice.
    errorHandler: (error) => {
      if (ended === undefined) listeners.forEach((listener) => listener(error));
    },
    heartbeatInterval: QUICK.heartbeatInterval,
    heartbeatTimeout,
  });
  // Socket.IO calls it with `new`, which a method or an arrow function refuses.
  const adapter = Object.assign(function (nsp: unknown) {
    return create(nsp);
  }, {
    on: (event: string, listener: (error: Error) => void) => {
      if (event === "error") listeners.push(listener);
    },
    ready: () => ready,
    close: () => ended ??= ready.then(() => endPool(pool)),
  });
  return adapter as unknown as Adapter;
}

/** An adapter of a kind. */
export function adapterOf(
  kind: Kind,
  uri: string,
  prefix: string,
  options: PgAdapterOptions = {},
): Adapter {
  if (kind === "theirs") return theirAdapter(uri, prefix, options);
  if (kind === "ours") return pgAdapter(uri, { prefix, ...QUICK, ...options });
  return pgAdapter(uri, {
    prefix,
    wire: "official",
    channelPrefix: prefix,
    tableName: tableOf(prefix),
    ...QUICK,
    ...options,
  });
}

/** The options of a cluster of servers of these kinds, over and over. */
export function kindsOf(kinds: readonly Kind[], options: PgAdapterOptions = {}): ClusterOptions {
  return {
    size: kinds.length,
    make: (server, uri, prefix) => adapterOf(kinds[server % kinds.length]!, uri, prefix, options),
  };
}

/** A cluster of servers of these kinds, which know each other. */
export async function createMixed(
  scope: Scope,
  kinds: readonly Kind[],
  options: ClusterOptions & { adapter?: PgAdapterOptions } = {},
): Promise<Cluster> {
  const { adapter, ...others } = options;
  return await createCluster(scope, { ...kindsOf(kinds, adapter), ...others });
}
