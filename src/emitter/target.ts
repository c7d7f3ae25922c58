/**
 * What an emitter may be given to send by.
 */
import { PgAdapterError } from "../errors.ts";
import type { ResolvedEmitterOptions } from "./options.ts";
import { OwnConnection } from "./own_connection.ts";
import {
  InstanceDelivery,
  isTransaction,
  type Queryable,
  TransactionDelivery,
} from "./postgres_js.ts";
import type { Delivery, Transport } from "./transport.ts";

/**
 * How to send by a target.
 *
 * @throws PgAdapterError `INVALID_URI` or `INVALID_OPTION`.
 */
export function deliveryOf(
  target: string | URL | Queryable | Transport,
  { connectTimeout, statementTimeout }: ResolvedEmitterOptions,
): Delivery {
  if (typeof target === "string" || target instanceof URL) {
    return new OwnConnection(String(target), {
      connect: connectTimeout,
      statement: statementTimeout,
    });
  }
  // An instance of postgres.js is a function.
  const given: unknown = target;
  if (given !== null && (typeof given === "object" || typeof given === "function")) {
    if ("send" in given && typeof given.send === "function") {
      const transport = given as Transport;
      return {
        send: (items) => transport.send(items),
        ...typeof transport.keep === "function" && { keep: (items) => transport.keep!(items) },
        ...typeof transport.run === "function" && { run: (statement) => transport.run!(statement) },
      };
    }
    if ("unsafe" in given && typeof given.unsafe === "function") {
      const sql = given as Queryable;
      return isTransaction(sql) ? new TransactionDelivery(sql) : new InstanceDelivery(sql);
    }
  }
  throw new PgAdapterError(
    "INVALID_OPTION",
    `Cannot create emitter as its target must be a connection string, an instance or a transaction of postgres.js, or an object with send(): current value is ${
      given === null ? "null" : `of type ${typeof given}`
    }`,
  );
}
