/**
 * The processes of a cluster as text: a table for somebody who looks at it, or lines of JSON. Names come from strangers.
 */
import type { ClusterNode } from "./census.ts";
import { jsonLine, safe } from "./view.ts";

/** What stands for what is not known. */
const UNKNOWN = "?";

/** How many namespaces of a process are named. */
const MAX_NAMESPACES = 10;

const COLUMNS: readonly [title: string, cell: (node: ClusterNode) => string][] = [
  ["UID", ({ uid }) => uid],
  ["PHASE", ({ phase }) => phase],
  ["SINCE", ({ since }) => since?.toISOString().slice(0, 19).concat("Z") ?? UNKNOWN],
  [
    "HEARD",
    ({ heardMs }) => heardMs === undefined ? "never" : `${(heardMs / 1_000).toFixed(1)} s ago`,
  ],
  ["ADDRESS", ({ address }) => address ?? UNKNOWN],
  ["USER", ({ user }) => user ?? UNKNOWN],
  ["APPLICATION", ({ application }) => application ?? "-"],
  [
    "MODE",
    ({ roomChannels }) =>
      roomChannels === undefined ? UNKNOWN : roomChannels ? "dynamic" : "static",
  ],
  ["NAMESPACES", namespacesOf],
];

/** Two blanks between columns, as wide as what is in them. */
export function nodesAsText(nodes: readonly ClusterNode[]): string {
  const rows = nodes.map((node) => COLUMNS.map(([, cell]) => safe(cell(node))));
  const titles = COLUMNS.map(([title]) => title);
  const widths = titles.map((title, i) =>
    Math.max(title.length, ...rows.map((row) => row[i]!.length))
  );
  const line = (cells: readonly string[]) =>
    `${cells.map((cell, i) => cell.padEnd(widths[i]!)).join("  ").trimEnd()}\n`;
  const table = nodes.length === 0 ? "" : [titles, ...rows].map(line).join("");
  return `${table}${countsAsText(nodes)}\n`;
}

/** A line for each process, and a summary. */
export function nodesAsJson(nodes: readonly ClusterNode[]): string {
  const lines = nodes.map(({ since, ...node }) =>
    jsonLine("node", { ...node, ...(since === undefined ? {} : { since: since.toISOString() }) })
  );
  return lines.join("") + jsonLine("summary", { nodes: nodes.length, ...counts(nodes) });
}

/** What cannot be seen, and why: a line for each reason. */
export function remarksOn(nodes: readonly ClusterNode[]): string[] {
  const remarks = new Set<string>();
  for (const { uid, error, pid, since } of nodes) {
    if (error !== undefined) remarks.add(`Cannot read what ${uid} says: ${error}`);
    if (pid !== undefined && since === undefined) {
      remarks.add(
        "Cannot see since when connections of other roles are there, and from where: that needs pg_read_all_stats",
      );
    }
  }
  return [...remarks].map(safe);
}

function namespacesOf({ namespaces }: ClusterNode): string {
  if (namespaces === undefined) return UNKNOWN;
  const more = namespaces.length - MAX_NAMESPACES;
  const named = namespaces.slice(0, MAX_NAMESPACES).join(", ");
  return more > 0 ? `${named} and ${more} more` : named || "-";
}

function counts(nodes: readonly ClusterNode[]): Record<string, number> {
  const count: Record<string, number> = {};
  for (const { phase } of nodes) count[phase] = (count[phase] ?? 0) + 1;
  return count;
}

function countsAsText(nodes: readonly ClusterNode[]): string {
  const { length } = nodes;
  if (length === 0) return "No process of the cluster is there";
  const each = Object.entries(counts(nodes)).map(([phase, count]) => `${count} ${phase}`);
  return `${length} process${length === 1 ? "" : "es"}: ${each.join(", ")}`;
}
