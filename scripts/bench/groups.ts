/**
 * Which clusters the workloads are measured in.
 *
 * @module
 */

import type { Runner } from "./child.ts";

/** Clusters of one make, and what is measured in them. */
export interface Group {
  readonly name: string;
  readonly title: string;
  readonly runtime: Runner["kind"];
  readonly servers: number;
  /** Clients of each server. */
  readonly clients: number;
  /** Namespaces beside the main one. */
  readonly namespaces: number;
  /** First that in which nothing is done. */
  readonly workloads: readonly string[];
}

const BASE = { runtime: "node", servers: 3, clients: 1, namespaces: 0 } as const;
const SIZES = ["100B", "1KB", "10KB"];

/** All of them, by name. */
export const GROUPS: ReadonlyMap<string, Group> = new Map(
  [
    {
      ...BASE,
      name: "core",
      title: "Three servers on Node, a client each",
      workloads: [
        "idle",
        ...SIZES,
        "100KB",
        "1MB",
        "binary",
        "room",
        "rooms",
        "steady-500",
        "steady-3000",
        "fetchSockets",
        "serverSideEmit",
      ],
    },
    ...(["deno", "bun"] as const).map((runtime): Group => ({
      ...BASE,
      name: runtime,
      title: `Three servers on ${runtime === "deno" ? "Deno" : "Bun"}, a client each`,
      runtime,
      workloads: [...SIZES, "room", "steady-500", "steady-3000"],
    })),
    {
      ...BASE,
      name: "clients",
      title: "Three servers on Node, 100 clients each",
      clients: 100,
      workloads: ["100B", "1KB"],
    },
    ...[2, 8, 16].map((servers): Group => ({
      ...BASE,
      name: `servers-${servers}`,
      title: `${servers} servers on Node, a client each`,
      servers,
      workloads: ["idle", "100B", "room"],
    })),
    ...[1, 100, 10_000].map((namespaces): Group => ({
      ...BASE,
      name: `namespaces-${namespaces}`,
      title: `Three servers on Node with ${namespaces.toLocaleString("en")} namespaces each`,
      namespaces: namespaces - 1,
      workloads: ["idle", "100B"],
    })),
  ].map((group) => [group.name, group]),
);
