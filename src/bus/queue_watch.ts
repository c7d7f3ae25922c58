/**
 * How full PostgreSQL's queue of notifications is. There is one for the whole server, of 8 GB by default, and once it is
 * full nobody can NOTIFY any more. What fills it is a session that listens and does not come to read, in a transaction
 * that does not end or with its process stopped. Asking how full it is also lets PostgreSQL forget what all have read.
 * https://www.postgresql.org/docs/current/sql-notify.html
 */
import { PgAdapterError } from "../errors.ts";

/** From how much on it is told. */
const WARN_AT = 0.1;

/** Below how much it is well again. */
const CALM_AT = 0.05;

/** Looks at the queue now and then. */
export class QueueWatch {
  readonly #everyMs: number;
  readonly #ask: () => Promise<number | undefined>;
  readonly #tell: (error: PgAdapterError) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #round = 0;
  #isTold = false;
  #usage: number | undefined;

  /**
   * @param everyMs Milliseconds between two looks.
   * @param ask How full it is, between 0 and 1; nothing when that cannot be found out. It never rejects.
   */
  constructor(
    everyMs: number,
    ask: () => Promise<number | undefined>,
    tell: (error: PgAdapterError) => void,
  ) {
    this.#everyMs = everyMs;
    this.#ask = ask;
    this.#tell = tell;
  }

  /** How full it was when it was last looked at, between 0 and 1. */
  get usage(): number | undefined {
    return this.#usage;
  }

  /** Looks now, and then now and then. */
  start(): void {
    this.stop();
    // Rejects never, and is not waited for.
    void this.#look(this.#round);
  }

  /** Looks no more. */
  stop(): void {
    this.#round++;
    clearTimeout(this.#timer);
  }

  async #look(round: number): Promise<void> {
    const usage = await this.#ask();
    if (round !== this.#round) return;
    this.#timer = setTimeout(() => void this.#look(round), this.#everyMs);
    if (usage === undefined) return;
    this.#usage = usage;
    if (usage < CALM_AT) this.#isTold = false;
    if (usage < WARN_AT || this.#isTold) return;
    this.#isTold = true;
    this.#tell(
      new PgAdapterError(
        "QUEUE_FILLING",
        `The queue of notifications of the database server is ${
          Math.round(usage * 100)
        } % full; at 100 % nobody can notify: some session listens and does not read, in a transaction that does not end (see pg_stat_activity) or with its process stopped`,
      ),
    );
  }
}
