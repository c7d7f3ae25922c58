import { keepStatementOf } from "./kept.ts";
import { type Statement, statementOf } from "./statement.ts";
import type { Transport } from "./transport.ts";

/** What `Client` and `Pool` of node-postgres, `Client` and `Pool` of Neon, and PGlite have in common. */
export interface PgQueryable {
  /** Runs a statement. */
  query(text: string, parameters: string[]): PromiseLike<unknown>;
}

/**
 * Sends by a `Client` or a `Pool` of [node-postgres](https://node-postgres.com), by those of Neon's driver, or by PGlite.
 * It is used and not closed. A client in a transaction takes part in it, where each emit has to be awaited.
 *
 * @param client The client, or the pool.
 *
 * @example
 * ```ts ignore
 * import { Pool } from "pg";
 * import { Emitter, fromPg } from "@x/socketio-pg/emitter";
 *
 * const emitter = new Emitter(fromPg(new Pool({ connectionString: "postgresql://" })));
 * await emitter.emit("hello");
 * ```
 */
export function fromPg(client: PgQueryable): Transport {
  const run = ({ text, parameters }: Statement) => client.query(text, parameters);
  return {
    send: (items) => run(statementOf(items)),
    keep: (items) => run(keepStatementOf(items)),
    run,
  };
}
