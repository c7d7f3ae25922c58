/**
 * Sends over a connection of the emitter's own: made when something is to be sent, and made anew after it was lost.
 */
import { invalidUri, readConnectionString } from "../connection_string.ts";
import type { Notification } from "../wire/frame.ts";
import { type CompletedOptions, Connection, type ConnectionLimits } from "./connection.ts";
import { keepStatementOf } from "./kept.ts";
import { type Statement, statementOf } from "./statement.ts";
import type { Delivery, KeptNotification } from "./transport.ts";

/** Options of libpq that name files, which not every runtime has. */
const FILES = ["sslrootcert", "sslcert", "sslkey"];

/** A connection that is there when it is needed. */
export class OwnConnection implements Delivery {
  readonly #options: CompletedOptions;
  readonly #limits: ConnectionLimits;
  /** The host that worked last. */
  #host = 0;
  #connection: Connection | undefined;
  #isClosed = false;

  /** @throws PgAdapterError `INVALID_URI`. */
  constructor(uri: string, limits: ConnectionLimits) {
    this.#options = readConnectionString(uri, userName) as CompletedOptions;
    this.#limits = limits;
    const { connection } = this.#options;
    const file = FILES.find((name) => name in connection && connection[name] !== "system");
    if (file !== undefined) {
      throw invalidUri(
        uri,
        `an emitter reads no files: leave "${file}" out and give it an instance, postgres(uri, { ssl: { ca } })`,
      );
    }
  }

  /** Sends notifications; when no connection can be made each host is tried once. */
  send(items: readonly Notification[]): Promise<void> {
    return this.run(statementOf(items));
  }

  /** The same with what is to be kept. */
  keep(items: readonly KeptNotification[]): Promise<void> {
    return this.run(keepStatementOf(items));
  }

  /** Ends the connection. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#connection?.end();
  }

  /** Runs a statement; when no connection can be made each host is tried once. */
  async run(statement: Statement): Promise<void> {
    const hosts = this.#options.host.length;
    for (let tried = 1;; tried++) {
      if (this.#connection?.over !== undefined) this.#connection = undefined;
      const connection = this.#connection ??= new Connection(
        this.#options,
        this.#host,
        this.#limits,
      );
      try {
        return await connection.run(statement);
      } catch (fault) {
        const { over } = connection;
        if (over !== undefined) this.#host = (this.#host + 1) % hosts;
        // What was sent may have been committed.
        const isUnsent = over !== undefined && (!connection.wasOpen || over.code === "STANDBY");
        if (!isUnsent || tried >= hosts || this.#isClosed) throw fault;
      }
    }
  }
}

declare const process: { env: Record<string, string | undefined> } | undefined;

/** The name of the user of the operating system, where postgres.js does not know it, as in Bun. */
function userName(): string | undefined {
  if (typeof process === "undefined") return undefined;
  const { PGUSER, USER, LOGNAME, USERNAME } = process.env;
  return PGUSER || USER || LOGNAME || USERNAME;
}
