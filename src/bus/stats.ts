/** What `stats()` tells. */
import type { InboxStats } from "./inbox.ts";
import type { PublisherStats } from "./publisher.ts";
import type { BusPhase } from "./readiness.ts";
import type { RecoveryStats } from "../recovery/recovery.ts";

export type { BusPhase, InboxStats, PublisherStats, RecoveryStats };

/** Counts of what a process has done, and where it stands. */
export interface PgAdapterStats {
  /** The id of this process in the cluster. */
  uid: string;
  /** Where it stands. */
  phase: BusPhase;
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
  /** What connection state recovery has done, where the server has it. */
  recovery: RecoveryStats | undefined;
}
