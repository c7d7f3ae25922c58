/**
 * How many processes a cluster has: each listening session holds a shared advisory lock, which PostgreSQL releases with
 * the session, however it ends. So a process that starts knows how many answers to its hello to wait for, and does not
 * take a cluster for complete that it has not met yet.
 * https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
 */
import { sha256Hex } from "../wire/sha256.ts";
import type { Session } from "./session.ts";

/** The first half of the key of our advisory locks: "siop" in ASCII. */
const CLASS = 0x73696f70;

/** The lock of one cluster. */
export class Presence {
  readonly #key: number;

  /** @param prefix The prefix of the cluster's channels. */
  constructor(prefix: string) {
    // Locks take signed integers, pg_locks shows them unsigned.
    this.#key = parseInt(sha256Hex(prefix).slice(0, 8), 16);
  }

  /** Takes the lock. It never waits; shared locks do not exclude each other. */
  async take(session: Session): Promise<void> {
    await session.query(`select pg_try_advisory_lock_shared(${CLASS}, ${this.#key | 0})`);
  }

  /** Counts those who hold it. */
  async count(session: Session): Promise<number> {
    const [row] = await session.query(
      `select count(*)::int as processes from pg_locks where locktype = 'advisory' and granted
        and classid = ${CLASS} and objid = ${this.#key} and objsubid = 2
        and database = (select oid from pg_database where datname = current_database())`,
    );
    return Number(row?.processes ?? 1);
  }
}
