/**
 * How many processes a cluster has: each listening session holds a shared advisory lock, which PostgreSQL releases with
 * the session, however it ends. So a process that starts knows how many answers to its hello to wait for, and does not
 * take a cluster for complete that it has not met yet. A second lock says the same of a single process, so that one that
 * died is told from one that does not answer.
 * https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
 */
import { sha256Hex } from "../wire/sha256.ts";
import type { Session } from "./session.ts";

/** The first half of the keys of a cluster: "siop" in ASCII. */
const CLASS = 0x73696f70;

/** The first half of the keys of single processes: "sioq". */
const PROCESS_CLASS = 0x73696f71;

/** The rows of pg_locks that are ours. */
const LOCKS = `pg_locks where locktype = 'advisory' and granted and objsubid = 2
  and database = (select oid from pg_database where datname = current_database())`;

/** The locks of one process of a cluster. */
export class Presence {
  readonly #cluster: number;
  readonly #process: number;

  /** @param prefix The prefix of the cluster's channels. */
  constructor(prefix: string, uid: string) {
    // Locks take signed integers, pg_locks shows them unsigned.
    this.#cluster = parseInt(sha256Hex(prefix).slice(0, 8), 16);
    this.#process = keyOf(uid);
  }

  /** Takes the locks. It never waits; shared locks do not exclude each other. */
  async take(session: Session): Promise<void> {
    await session.query(
      `select pg_try_advisory_lock_shared(${CLASS}, ${this.#cluster | 0}),
        pg_try_advisory_lock_shared(${PROCESS_CLASS}, ${this.#process | 0})`,
    );
  }

  /** Counts the processes. */
  async count(session: Session): Promise<number> {
    const [row] = await session.query(
      `select count(*)::int as processes from ${LOCKS} and classid = ${CLASS} and objid = ${this.#cluster}`,
    );
    return Number(row?.processes ?? 1);
  }

  /** Which of these processes do not listen at the moment: they are gone, or connect again. */
  async absent(session: Session, uids: readonly string[]): Promise<string[]> {
    const rows = await session.query(
      `select objid from ${LOCKS} and classid = ${PROCESS_CLASS} and objid in (${
        uids.map(keyOf).join(",")
      })`,
    );
    const present = new Set(rows.map(({ objid }) => Number(objid)));
    return uids.filter((uid) => !present.has(keyOf(uid)));
  }
}

/** The beginning of an id that is random. */
function keyOf(uid: string): number {
  return parseInt(uid.slice(0, 8), 16);
}
