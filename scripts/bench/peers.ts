/**
 * The adapters that are compared, each with the settings that its documentation says are the fastest. A server loads
 * nothing but its own, so that no other counts as its memory.
 *
 * @module
 */

import type { ServerOptions } from "socket.io";

/** What carries messages between servers. */
export type Database = "postgres" | "redis" | "none";

/** One of those that are compared. */
export interface Peer {
  readonly database: Database;
  /** The package, and what is not its default. */
  readonly settings: string;
  /** The adapter of a server. */
  create(uri: string): Promise<ServerOptions["adapter"] | undefined>;
}

function tell(error: unknown): void {
  console.error(`${error}`);
}

/** A client that is connected; its type is that of what was passed to the client's function. */
// deno-lint-ignore explicit-module-boundary-types -- the driver's type of it cannot be written down
async function redisClient(url: string) {
  const { createClient } = await import("redis");
  const client = createClient({ url });
  client.on("error", tell);
  return await client.connect();
}

/** All of them by name; the first is ours. */
export const PEERS: Readonly<Record<string, Peer>> = {
  "socketio-pg": {
    database: "postgres",
    settings: "defaults",
    async create(uri) {
      const { pgAdapter } = await import("../../mod.ts");
      const adapter = pgAdapter(uri);
      adapter.on("error", tell);
      return adapter;
    },
  },
  "redis": {
    database: "redis",
    settings: "@socket.io/redis-adapter, publishOnSpecificResponseChannel",
    async create(uri) {
      const { createAdapter } = await import("@socket.io/redis-adapter");
      const options = { publishOnSpecificResponseChannel: true };
      return createAdapter(await redisClient(uri), await redisClient(uri), options);
    },
  },
  "redis-sharded": {
    database: "redis",
    settings: "@socket.io/redis-adapter, createShardedAdapter, subscriptionMode dynamic",
    async create(uri) {
      const { createShardedAdapter } = await import("@socket.io/redis-adapter");
      const options = { subscriptionMode: "dynamic" } as const;
      return createShardedAdapter(await redisClient(uri), await redisClient(uri), options);
    },
  },
  "redis-streams": {
    database: "redis",
    // As many entries as none of a burst is trimmed before it is read, and as many at a time as are fastest. Not
    // "onlyPlaintext", with which bytes arrive as an array of numbers.
    settings: "@socket.io/redis-streams-adapter, maxLen 100,000, readCount 1,000",
    async create(uri) {
      const { createAdapter } = await import("@socket.io/redis-streams-adapter");
      return createAdapter(await redisClient(uri), {
        maxLen: 100_000,
        readCount: 1_000,
      });
    },
  },
  "postgres": {
    database: "postgres",
    settings: "@socket.io/postgres-adapter, pool of 10",
    async create(uri) {
      const { createAdapter } = await import("@socket.io/postgres-adapter");
      const { default: pg } = await import("pg");
      const pool = new pg.Pool({ connectionString: uri, max: 10 });
      pool.on("error", tell);
      await pool.query(`create table if not exists socket_io_attachments (
        id bigserial unique, created_at timestamptz default now(), payload bytea)`)
        // Servers that start at once may both create it.
        .catch(() => {});
      return createAdapter(pool, { errorHandler: tell });
    },
  },
  "in-memory": {
    database: "none",
    settings: "socket.io-adapter, one server",
    create: () => Promise.resolve(undefined),
  },
};
