/**
 * Emitters beside each other, in each runtime.
 *
 * @module
 */

import type { Runtimes } from "../toolchain.ts";
import { Child } from "./child.ts";
import { close, keep } from "./closing.ts";
import { startPostgresDaemon, startRedisDaemon } from "./daemons.ts";
import type { EMITTERS } from "./emitters.ts";
import { count } from "./figures.ts";

const NAMES = {
  ours: "socketio-pg",
  signed: "socketio-pg, signed",
  postgres: "@socket.io/postgres-emitter",
  redis: "@socket.io/redis-emitter",
} as const;

/** What was measured, and with what. */
export interface EmitterTable {
  readonly databases: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/**
 * Measures them.
 *
 * @param ms For how long each way of emitting is measured.
 * @param bin Where the programs of PostgreSQL are.
 */
export async function measureEmitters(
  found: Runtimes,
  ms: number,
  bin?: string,
): Promise<EmitterTable> {
  const rows: string[][] = [];
  const daemons = {
    postgres: keep(await startPostgresDaemon(bin)),
    redis: keep(await startRedisDaemon()),
  };
  try {
    for (const kind of ["node", "deno", "bun"] as const) {
      for (const [command, name] of Object.entries(NAMES)) {
        const { uri } = daemons[command === "redis" ? "redis" : "postgres"];
        const runner = { kind, path: found[kind] };
        const child = keep(new Child<typeof EMITTERS>(runner, "./emitters.ts"));
        try {
          const rates = await child.tell(command as keyof typeof NAMES, { uri, ms });
          const { notAwaited, awaited, heard } = rates;
          const cells = [notAwaited, awaited, heard].map((rate) =>
            rate === undefined ? "–" : count(rate)
          );
          rows.push([`${name} on ${kind}`, ...cells]);
        } finally {
          await close(child);
        }
      }
    }
  } finally {
    for (const daemon of Object.values(daemons)) await close(daemon);
  }
  return {
    databases: Object.values(daemons).map(({ description }) => description),
    rows: [["messages/s", "not awaited", "awaited one by one", "heard one by one"], ...rows],
  };
}
