/**
 * What a benchmark says: results, and tables of them.
 *
 * @module
 */

import { count, median, spread } from "./figures.ts";
import type { Turn } from "./workloads.ts";

/** The turns of those that were compared, by name; the first is ours. */
export type Compared = Readonly<Record<string, readonly Turn[]>>;

/** What was measured of one workload. */
export interface Measured {
  readonly title: string;
  readonly unit: string;
  readonly turns: Compared;
}

/** What was measured in one group. */
export interface GroupResults {
  readonly title: string;
  /** Machine, versions and settings. */
  readonly configuration: readonly string[];
  /** When. */
  readonly date: string;
  readonly workloads: Readonly<Record<string, Measured>>;
  /** What was resident when all workloads were done, by name. */
  readonly memory?: Readonly<Record<string, Turn["memory"]>>;
  /** A table of its own sort. */
  readonly rows?: readonly (readonly string[])[];
}

/** All that was measured, by group. */
export type Results = Readonly<Record<string, GroupResults>>;

/** The median over rounds of something that a turn has. */
export function medianOf(
  turns: readonly Turn[],
  pick: (turn: Turn) => number | undefined,
): number | undefined {
  const values = turns.map(pick).filter((value) => value !== undefined);
  return values.length === 0 ? undefined : median(values);
}

/** How one relates to another in each round. */
export function ratios(
  ours: readonly Turn[],
  theirs: readonly Turn[],
  pick: (turn: Turn) => number | undefined = ({ rate }) => rate,
): number[] {
  return ours.flatMap((turn, round) => {
    const [a, b] = [pick(turn), theirs[round] === undefined ? undefined : pick(theirs[round])];
    return a === undefined || b === undefined || b === 0 ? [] : [a / b];
  });
}

/** A table of one workload, as rows of cells. */
export function tableOf({ unit, turns }: Measured): string[][] {
  const names = Object.keys(turns);
  const ours = turns[names[0]!]!;
  const has = (pick: (turn: Turn) => unknown) =>
    Object.values(turns).some((each) => each.some((turn) => pick(turn) !== undefined));
  const columns: [string, (turns: readonly Turn[], name: string) => string][] = [
    [unit, (each) => {
      const rates = each.map(({ rate }) => rate);
      return `${count(median(rates))} (${spread(rates)})`;
    }],
    ["ours / this", (each, name) => {
      if (name === names[0]) return "";
      const found = ratios(ours, each);
      return found.length === 0 ? "–" : `${count(median(found))} (${spread(found)})`;
    }],
  ];
  const add = (title: string, pick: (turn: Turn) => number | undefined) => {
    if (!has(pick)) return;
    columns.push([title, (each) => {
      const value = medianOf(each, pick);
      return value === undefined ? "–" : count(value);
    }]);
  };
  add("p50 ms", ({ p50 }) => p50);
  add("p99 ms", ({ p99 }) => p99);
  add("sender µs", ({ processor }) => processor.sender);
  add("receiver µs", ({ processor }) => processor.receiver);
  add("uninterested µs", ({ processor }) => processor.uninterested);
  add("database µs", ({ processor }) => processor.database);
  add("sender MB", ({ memory }) => memory.sender / 1e6);
  add(
    "receiver MB",
    ({ memory }) => memory.receiver === undefined ? undefined : memory.receiver / 1e6,
  );
  for (const kind of ["lost", "duplicated", "disordered"] as const) {
    if (!Object.values(turns).some((each) => each.some((turn) => turn[kind] > 0))) continue;
    columns.push([kind, (each) => String(each.reduce((sum, turn) => sum + turn[kind], 0))]);
  }
  return [
    ["", ...columns.map(([title]) => title)],
    ...names.map((name) => [name, ...columns.map(([, cell]) => cell(turns[name]!, name))]),
  ];
}

/** A table of what is resident in the end, as rows of cells; the first is ours. */
export function memoryTable(memory: NonNullable<GroupResults["memory"]>): string[][] {
  const [ours] = Object.values(memory);
  const ratio = (a?: number, b?: number) =>
    a === undefined || b === undefined || b === 0 ? "–" : count(a / b);
  const megabytes = (bytes?: number) => bytes === undefined ? "–" : count(bytes / 1e6);
  return [
    ["", "sender MB", "ours / this", "receiver MB", "ours / this"],
    ...Object.entries(memory).map(([name, { sender, receiver }], i) => [
      name,
      megabytes(sender),
      i === 0 ? "" : ratio(ours?.sender, sender),
      megabytes(receiver),
      i === 0 ? "" : ratio(ours?.receiver, receiver),
    ]),
  ];
}

/** What {@linkcode memoryTable} is headed by. */
export const MEMORY_TITLE = "Resident when all of the group was done";

/** Rows for a terminal. */
export function plainTable(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  return rows.map((row) =>
    row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)).join("  ")
  ).join("\n");
}

/** Rows for a document. */
export function markdownTable(rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const [head, ...body] = rows;
  return [line(head!), line(head!.map((_, i) => i === 0 ? "---" : "--:")), ...body.map(line)]
    .join("\n");
}

/** The document of all results. */
export function document(results: Results): string {
  const parts = [
    "# Benchmark\n",
    "Made by `deno task bench --save`; change nothing here. [How to read it, and what was tried](NOTES.md).\n",
    'Medians of rounds, lowest and highest in parentheses; "ours / this" is the median of the ratios within ' +
    "each round. Processor time is for one message (for one second where nothing is sent); memory is what is " +
    "resident after the workload. Nothing was lost, doubled or out of order where no column says so.\n",
  ];
  for (const [name, group] of Object.entries(results)) {
    const { title, configuration, date, workloads, memory, rows } = group;
    parts.push(`## ${title}\n`, `\`deno task bench ${name}\`, ${date}\n`);
    parts.push(configuration.map((line) => `- ${line}`).join("\n") + "\n");
    if (rows !== undefined) parts.push(`${markdownTable(rows)}\n`);
    for (const measured of Object.values(workloads)) {
      parts.push(`### ${measured.title}\n`, markdownTable(tableOf(measured)) + "\n");
    }
    if (memory !== undefined) {
      parts.push(`### ${MEMORY_TITLE}\n`, markdownTable(memoryTable(memory)) + "\n");
    }
  }
  return parts.join("\n");
}
