import { keepStatementOf } from "./kept.ts";
import { statementOf } from "./statement.ts";
import type { Transport } from "./transport.ts";

/**
 * Sends by a function that runs a statement with parameters, as nearly every library has one.
 *
 * @param run Runs a statement: its text has `$1`, `$2`… for the parameters, which are all text.
 *
 * @example Neon over HTTP, Drizzle over node-postgres, Kysely
 * ```ts ignore
 * import { Emitter, fromTag } from "@x/socketio-pg/emitter";
 *
 * new Emitter(fromTag((text, parameters) => neon(url).query(text, parameters)));
 * new Emitter(fromTag((text, parameters) => drizzle.$client.query(text, parameters)));
 * new Emitter(fromTag((text, parameters) => kysely.executeQuery(CompiledQuery.raw(text, parameters))));
 * ```
 */
export function fromTag(
  run: (text: string, parameters: string[]) => PromiseLike<unknown>,
): Transport {
  return {
    send(items) {
      const { text, parameters } = statementOf(items);
      return run(text, parameters);
    },
    keep(items) {
      const { text, parameters } = keepStatementOf(items);
      return run(text, parameters);
    },
    run: ({ text, parameters }) => run(text, parameters),
  };
}
