/** What `stats()` tells. */
import type { PgAdapterErrorCode } from "../errors.ts";
import type { InboxStats } from "./inbox.ts";
import type { LatencyStats } from "./latency.ts";
import type { PublisherStats } from "./publisher.ts";
import type { BusPhase } from "./readiness.ts";
import type { OfficialStats } from "../official/wire.ts";
import type { RecoveryStats } from "../recovery/recovery.ts";

export type { BusPhase, InboxStats, LatencyStats, OfficialStats, PublisherStats, RecoveryStats };

/** One of the two connections of a process. */
export interface ConnectionStats {
  /** Whether it works at the moment. */
  isUp: boolean;
  /** How often it worked again after it was lost. */
  reconnects: number;
}

/** Counts of what a process has done, and where it stands. */
export interface PgAdapterStats {
  /** The id of this process in the cluster. */
  uid: string;
  /** The start of the names of all channels. */
  prefix: string;
  /** Where it stands. */
  phase: BusPhase;
  /** Its two connections. */
  connections: { listen: ConnectionStats; publish: ConnectionStats };
  /** The ids of the other processes. */
  nodes: string[];
  /** How many namespaces it has. */
  namespaces: number;
  /** How many channels it listens to: two of its own, and those of namespaces and rooms. */
  channels: number;
  /** Messages, frames, bytes and statements that were sent; messages that were dropped. */
  published: PublisherStats;
  /** Messages, frames and characters that were received from others; duplicates and malformed ones that were dropped. */
  received: InboxStats;
  /** What waits to be sent. */
  queued: { messages: number; bytes: number };
  /** How full the queue of notifications of the database server was when last looked at, between 0 and 1. */
  notifyQueueUsage: number | undefined;
  /**
   * How long its heartbeats took to come back: from when one was due until it was heard on the listening connection, as
   * a message takes that is sent at that moment. One that was under way when a connection was lost does not count.
   */
  latency: LatencyStats;
  /** How many `error` events there were, by code: what has not happened is not in it. */
  errors: { [code in PgAdapterErrorCode]?: number };
  /** What connection state recovery has done, where the server has it. */
  recovery: RecoveryStats | undefined;
  /** What it has done on the wire of `@socket.io/postgres-adapter`, where it speaks that, too. */
  official?: OfficialStats;
}
