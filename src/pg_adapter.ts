/**
 * `pgAdapter()`: options in, what Socket.IO takes as an adapter out.
 */
import { type AdapterNamespace, NamespaceAdapter } from "./adapter.ts";
import { Bus } from "./bus/bus.ts";
import { metricsText } from "./bus/metrics_text.ts";
import { connectionSettings, type PostgresInstance } from "./bus/settings.ts";
import type { PgAdapterStats } from "./bus/stats.ts";
import { PgAdapterError } from "./errors.ts";
import { Events, type PgAdapterEvents, type PgAdapterListener } from "./events.ts";
import { TransitionalBus } from "./official/bus.ts";
import { resolveOfficial } from "./official/options.ts";
import { type PgAdapterOptions, resolveOptions } from "./options.ts";
import { RecoveringAdapter, recoveryOptions, type ServerRecovery } from "./recovery/adapter.ts";

/**
 * The adapter of one namespace, at `io.of("/").adapter`: an adapter of socket.io-adapter, and what it says of itself.
 *
 * @example
 * ```ts
 * import { Server } from "socket.io";
 * import { PgAdapter, pgAdapter } from "@x/socketio-pg";
 *
 * const io = new Server({ adapter: pgAdapter("postgresql://") });
 * const { adapter } = io.of("/");
 * if (adapter instanceof PgAdapter) console.log(adapter.uid, adapter.prefix, adapter.channel);
 * ```
 */
export type PgAdapter = InstanceType<typeof import("socket.io-adapter")["Adapter"]> & {
  /** The id of this process in the cluster: the same for all its namespaces. */
  readonly uid: string;
  /** The start of the names of all channels. */
  readonly prefix: string;
  /** The channel of this namespace. */
  readonly channel: string;
};

/** The class of {@linkcode PgAdapter}, for `instanceof`. */
export const PgAdapter: {
  readonly prototype: PgAdapter;
  [Symbol.hasInstance](value: unknown): value is PgAdapter;
} = NamespaceAdapter as unknown as {
  readonly prototype: PgAdapter;
  [Symbol.hasInstance](value: unknown): value is PgAdapter;
};

/**
 * What `pgAdapter()` returns: given to a Socket.IO server it makes an adapter for each of its namespaces. It is one
 * process of the cluster, with two connections to PostgreSQL.
 */
export interface PgAdapterFactory {
  /** Called by Socket.IO for each namespace. */
  (nsp: AdapterNamespace): PgAdapter;
  /** Called by Socket.IO for each namespace. */
  new (nsp: AdapterNamespace): PgAdapter;
  /** Adds a listener of an event. What it throws is logged and goes no further. */
  on<E extends keyof PgAdapterEvents>(event: E, listener: PgAdapterListener<E>): PgAdapterFactory;
  /** Adds a listener of an event for one time. */
  once<E extends keyof PgAdapterEvents>(event: E, listener: PgAdapterListener<E>): PgAdapterFactory;
  /** Removes a listener of an event. */
  off<E extends keyof PgAdapterEvents>(event: E, listener: PgAdapterListener<E>): PgAdapterFactory;
  /**
   * Settles when both connections work and what is published comes back. It rejects when the attempt that is under way
   * fails, with the reason; the adapter goes on trying, and `ready()` can be called again.
   */
  ready(): Promise<void>;
  /**
   * Publishes what was emitted before, leaves the cluster and closes both connections. The same promise for all who
   * call it; it never rejects. `io.close()` does it, too.
   */
  close(): Promise<void>;
  /** Counts of what this process has done, and where it stands. */
  stats(): PgAdapterStats;
  /**
   * The same counts as Prometheus reads them, of the whole process: text in its exposition format 0.0.4, to be served as
   * `text/plain; version=0.0.4; charset=utf-8`. All names begin with `socketio_pg_`, so it can be joined with what other
   * libraries return for Prometheus, but not with that of another adapter: serve each by itself.
   *
   * @example
   * ```ts
   * import { createServer } from "node:http";
   * import { Server } from "socket.io";
   * import { pgAdapter } from "@x/socketio-pg";
   *
   * const adapter = pgAdapter("postgresql://");
   * const http = createServer((request, response) => {
   *   if (request.url !== "/metrics") return response.writeHead(404).end();
   *   response.setHeader("content-type", "text/plain; version=0.0.4; charset=utf-8");
   *   response.end(adapter.metrics());
   * });
   * const io = new Server(http, { adapter });
   * http.listen(3000);
   * ```
   */
  metrics(): string;
  /** The same as `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Makes the adapter of a Socket.IO server over PostgreSQL.
 *
 * @param target Where PostgreSQL is: a connection string, a URL, an instance of postgres.js (whose options are taken,
 * not its connections), options, or nothing: the environment is asked then (`DATABASE_URL`, `PGHOST` …).
 * @param options See {@linkcode PgAdapterOptions}.
 * @returns What `io.adapter()` and the option `adapter` of a server take.
 * @throws PgAdapterError `INVALID_URI` or `INVALID_OPTION`. Failures to connect are told by `ready()` and `error`.
 *
 * @example
 * ```ts
 * import { Server } from "socket.io";
 * import { pgAdapter } from "@x/socketio-pg";
 *
 * const adapter = pgAdapter("postgresql://");
 * adapter.on("error", (error) => console.error(error.code, error.message));
 *
 * const io = new Server(3000, { adapter });
 * await adapter.ready();
 * io.emit("hello", "to all clients of all servers");
 * ```
 */
export function pgAdapter(
  target?: string | URL | PostgresInstance | PgAdapterOptions,
  options?: PgAdapterOptions,
): PgAdapterFactory {
  const isTarget = typeof target === "string" || target instanceof URL || isPostgres(target);
  if (!isTarget) {
    checkOptions(
      "first argument",
      "a connection string, an instance of postgres.js or options",
      target,
    );
  }
  checkOptions("second argument", "options", options);
  const resolved = resolveOptions({
    ...isTarget ? {} : target as PgAdapterOptions | undefined,
    ...options,
  });
  const main = isTarget ? target as string | URL | PostgresInstance : resolved.uri;
  const events = new Events();
  const official = resolveOfficial(resolved);
  const listen = connectionSettings(resolved.listen ?? main);
  const publish = connectionSettings(resolved.publish ?? main);
  const bus = official === undefined
    ? new Bus(resolved, listen, publish, events)
    : new TransitionalBus(resolved, official, listen, publish, events);
  let server: unknown;

  // Socket.IO calls it with `new`, which an arrow function refuses; what it returns is what `new` gives then.
  function factory(nsp: AdapterNamespace & { server?: unknown }): PgAdapter {
    server ??= nsp.server;
    if (server !== nsp.server) {
      throw new PgAdapterError(
        "ALREADY_ATTACHED",
        "Cannot use one adapter for two servers: call pgAdapter() for each",
      );
    }
    const recovery = recoveryOptions(
      (nsp.server as { opts?: ServerRecovery })?.opts,
      resolved.recovery.durable,
    );
    if (recovery === undefined) return new NamespaceAdapter(nsp, bus);
    const adapter = new RecoveringAdapter(nsp, bus);
    // It says at once what it is, and with which parser.
    bus.recover(recovery);
    return adapter;
  }
  const methods: Omit<PgAdapterFactory, never> = {
    on(event, listener) {
      events.on(event, listener);
      return self;
    },
    once(event, listener) {
      events.once(event, listener);
      return self;
    },
    off(event, listener) {
      events.off(event, listener);
      return self;
    },
    ready: () => bus.ready(),
    close: () => bus.close(),
    stats: () => bus.stats(),
    metrics: () => metricsText(bus.stats()),
    [Symbol.asyncDispose]: () => bus.close(),
  };
  const self = Object.assign(factory, methods) as unknown as PgAdapterFactory;
  return self;
}

function checkOptions(what: string, wanted: string, value: unknown): void {
  if (
    value === undefined || (value !== null && typeof value === "object" && !Array.isArray(value))
  ) return;
  throw new PgAdapterError(
    "INVALID_OPTION",
    `Cannot create adapter as its ${what} must be ${wanted}: current value is ${String(value)}`,
  );
}

function isPostgres(target: unknown): target is PostgresInstance {
  return typeof target === "function" && "options" in target && "unsafe" in target;
}
