/**
 * The Socket.IO cluster adapter on nothing but PostgreSQL: servers share their broadcasts, rooms and requests through
 * LISTEN and NOTIFY, with nothing to create in the database.
 *
 * @example
 * ```ts
 * import { Server } from "socket.io";
 * import { pgAdapter } from "@x/socketio-pg";
 *
 * const io = new Server(3000, { adapter: pgAdapter("postgresql://") });
 * io.emit("hello", "to all clients of all servers");
 * ```
 *
 * @module
 */
export {
  PgAdapter,
  pgAdapter,
  pgAdapter as default,
  type PgAdapterFactory,
} from "./src/pg_adapter.ts";
export type { AdapterNamespace } from "./src/adapter.ts";
export { PgAdapterError, type PgAdapterErrorCode } from "./src/errors.ts";
export type { PgAdapterDiagnostics } from "./src/diagnostics.ts";
export type { PgAdapterTrace, PgAdapterVerb } from "./src/trace.ts";
export type {
  IncomingTrace,
  OutgoingTrace,
  PgAdapterTracing,
  TraceContext,
} from "./src/tracing.ts";
export type { PgAdapterEvents, PgAdapterListener } from "./src/events.ts";
export type { PgAdapterOptions } from "./src/options.ts";
export type { OfficialServerOptions, OfficialWireOptions } from "./src/official/options.ts";
export type {
  BusPhase,
  ConnectionStats,
  InboxStats,
  LatencyStats,
  OfficialStats,
  PgAdapterStats,
  PublisherStats,
  RecoveryStats,
} from "./src/bus/stats.ts";
export type { PostgresInstance } from "./src/bus/settings.ts";
