/** Two servers with recovery, a client that stays, and one that is away, for whatever emits to them. */
import assert from "node:assert/strict";
import type { PgAdapterOptions } from "../../mod.ts";
import { uniquePrefix } from "./cluster.ts";
import { createRecoveryCluster, type RecoveryCluster, type Wanderer } from "./recovery.ts";
import type { Scope } from "./test.ts";

/** Two servers, a client that stays at the second one, and one that was cut off from the first one. */
export interface Away {
  readonly cluster: RecoveryCluster;
  readonly prefix: string;
  readonly stays: Wanderer;
  readonly goes: Wanderer;
  /** The id of the latter, which it gets again. */
  readonly id: string;
  /** Lets it come back, to the other server, and waits until both have an event. */
  comeBack(last: string): Promise<void>;
}

/**
 * Starts them. Both clients are in the rooms "a" and "b".
 *
 * @param uri A database of its own.
 */
export async function oneAway(
  t: Scope,
  adapter: PgAdapterOptions = {},
  uri?: string,
): Promise<Away> {
  // As the function that the documentation has for HTTP wants it.
  const prefix = `socket.io:${uniquePrefix()}`;
  const cluster = await createRecoveryCluster(t, {
    size: 2,
    adapter: { prefix, ...adapter },
    ...uri !== undefined && { uri },
  });
  const stays = await cluster.client(1);
  const goes = await cluster.client(0);
  const id = goes.client.id!;
  for (const [i, wanderer] of [[1, stays], [0, goes]] as const) {
    await cluster.io(i).sockets.sockets.get(wanderer.client.id!)!.join(["a", "b"]);
  }
  await goes.cut();
  await cluster.gone(0, id);
  return {
    cluster,
    prefix,
    stays,
    goes,
    id,
    async comeBack(last) {
      await goes.comeTo(cluster.port(1));
      await goes.has(last);
      await stays.has(last);
      assert.ok(goes.client.recovered);
      assert.equal(goes.client.id, id);
    },
  };
}
