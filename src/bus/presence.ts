/**
 * Which processes a cluster has: each listening session holds a shared advisory lock, which PostgreSQL releases with
 * the session, however it ends. So a process that starts knows how many answers to its hello to wait for, and does not
 * take a cluster for complete that it has not met yet; and one that waits for an answer in vain tells a process that is
 * gone from one that does not answer.
 * https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
 */
import { sha256Hex } from "../wire/sha256.ts";
import type { Session } from "./session.ts";

/** The lock of one process of a cluster. */
export class Presence {
  /** The rows of pg_locks of the cluster. */
  readonly #locks: string;
  readonly #take: string;

  /** @param prefix The prefix of the cluster's channels. */
  constructor(prefix: string, uid: string) {
    const cluster = keyOf(sha256Hex(prefix));
    // Locks take signed integers, pg_locks shows them unsigned.
    this.#take = `select pg_try_advisory_lock_shared(${cluster | 0}, ${keyOf(uid) | 0})`;
    this.#locks = `pg_locks where locktype = 'advisory' and granted and objsubid = 2
      and classid = ${cluster}
      and database = (select oid from pg_database where datname = current_database())`;
  }

  /** Takes the lock. It never waits; shared locks do not exclude each other. */
  async take(session: Session): Promise<void> {
    await session.query(this.#take);
  }

  /** Counts the processes. One that the server has not seen leaving its last session counts once all the same. */
  async count(session: Session): Promise<number> {
    const [row] = await session.query(
      `select count(distinct objid)::int as processes from ${this.#locks}`,
    );
    return Number(row?.processes ?? 1);
  }

  /** The sessions of the server that listen for a process, by the key of that. */
  async sessions(session: Session): Promise<Map<number, number>> {
    const rows = await session.query(
      `select objid as key, pid from ${this.#locks} order by pid`,
    );
    return new Map(rows.map(({ key, pid }) => [Number(key), Number(pid)]));
  }

  /** Which of these processes do not listen at the moment: they are gone, or connect again. */
  async absent(session: Session, uids: readonly string[]): Promise<string[]> {
    const rows = await session.query(
      `select distinct objid from ${this.#locks} and objid in (${uids.map(keyOf).join(",")})`,
    );
    const present = new Set(rows.map(({ objid }) => Number(objid)));
    return uids.filter((uid) => !present.has(keyOf(uid)));
  }
}

/** The first 32 bits of hexadecimal digits: of a uid, the key by which `pg_locks` shows a process. */
export function keyOf(hexadecimal: string): number {
  return parseInt(hexadecimal.slice(0, 8), 16);
}
