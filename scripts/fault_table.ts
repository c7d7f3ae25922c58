/**
 * Puts what the tests in `tests/faults` measured into docs/RELIABILITY.md:
 *
 *     FAULT_FIGURES=/tmp/figures.jsonl deno task test deno bun node faults/ hostile/
 *     deno run -A scripts/fault_table.ts /tmp/figures.jsonl
 *
 * Of several runs of a row the worst time counts, and the sums of messages. Rows without figures are not measured.
 *
 * @module
 */

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Row, ROWS } from "./fault_table/rows.ts";
import { ROOT } from "./toolchain.ts";

const PAGE = join(ROOT, "docs", "RELIABILITY.md");
const BEGIN = "<!-- faults: made by scripts/fault_table.ts -->";
const END = "<!-- /faults -->";
const RUNTIMES = ["deno", "bun", "node"] as const;
/** Names of figures that have columns of their own. */
const COUNTS = ["sent", "lost", "doubled", "reordered"] as const;
const TIMES = ["notice", "recover"] as const;
/** What is in other columns under another name, or always zero where the history is right. */
const ELSEWHERE = ["longest outage", "altered", "reported"];
/** Figures that are summed over the runs of a row; of others the worst counts. */
const NUMBERS = ["kills", "cut", "cuts", "attempts", "disconnects", "resent", "node-down"];
/** Figures in milliseconds. */
const MILLISECONDS = [
  ["buffer empty", "downtime", "recovered", "away", "ms", "milliseconds", "back", "local"],
  ["close", "exit", "blocked", "filled", "ejected", "noticed", "outage", "first", "all", "took"],
  ["refused", "statementTimeout", "requestsTimeout", "request fails after", "slowest request"],
  ["last one back", "caught up", "longest close", "arrive", "repair"],
].flat();
const NOT_MEASURED = "not measured";
/** Where one runtime of several has no figure. */
const NONE = "–";

type Figures = Record<string, number | string | boolean>;

/** A line of the file that the tests write. */
interface Line {
  readonly row: number;
  readonly runtime: string;
  readonly figures: Figures;
}

if (import.meta.main) {
  const text = Deno.args.map((file) => readFileSync(file, "utf8")).join("\n");
  const page = readFileSync(PAGE, "utf8");
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) {
    throw new Error(`Cannot write the table as ${PAGE} lacks "${BEGIN}" and "${END}" after it`);
  }
  const made = table(read(text));
  writeFileSync(PAGE, `${page.slice(0, begin)}${BEGIN}\n\n${made}\n\n${page.slice(end)}`);
  await new Deno.Command(Deno.execPath(), { args: ["fmt", "--quiet", PAGE] }).output();
}

/**
 * The lines of the tests.
 *
 * @throws {SyntaxError} When one of them is not JSON.
 */
export function read(text: string): Line[] {
  return text.split("\n").filter((line) => line.trim() !== "").map((line) =>
    JSON.parse(line) as Line
  );
}

/** The table in Markdown. */
export function table(lines: readonly Line[], rows: readonly Row[] = ROWS): string {
  const runtimes = RUNTIMES.filter((name) => lines.some(({ runtime }) => runtime === name));
  const order = runtimes.length > 1 ? ` Where runtimes differ: ${runtimes.join(" / ")}.` : "";
  const head = ["", "fault", "promise", ...TIMES, ...COUNTS, "more", "shown by"];
  return [
    `Times in milliseconds, the worst of all runs; messages summed over them.${order}`,
    "",
    lineOf(head),
    lineOf(head.map(() => "---")),
    ...rows.map((row) => {
      const measured = runtimes.map((name) => figuresOf(lines, row.row, name));
      return lineOf([`${row.row}`, row.fault, row.promise, ...cells(measured), testOf(row)]);
    }),
  ].join("\n");
}

function cells(measured: readonly (Map<string, number> | undefined)[]): string[] {
  if (measured.every((figures) => figures === undefined)) {
    return [NOT_MEASURED, ...[...TIMES.slice(1), ...COUNTS].map(() => ""), ""];
  }
  const own = [...TIMES, ...COUNTS].map((name) =>
    joined(measured.map((figures) => {
      // An outage ends when it works again.
      return rounded(
        figures?.get(name) ?? (name === "recover" ? figures?.get("longest outage") : undefined),
      );
    }))
  );
  const names = new Set(measured.flatMap((figures) => [...figures?.keys() ?? []]));
  for (const name of [...TIMES, ...COUNTS, ...ELSEWHERE]) names.delete(name);
  const more = [...names].map((name) => {
    const text = joined(measured.map((figures) => rounded(figures?.get(name))));
    return `${name} ${text}${MILLISECONDS.includes(name) ? " ms" : ""}`;
  });
  return [...own, more.join(", ")];
}

function rounded(value: number | undefined): string {
  return value === undefined ? NONE : `${Math.round(value)}`;
}

/** One value where all runtimes have the same. */
function joined(values: readonly string[]): string {
  return new Set(values).size === 1 ? values[0] ?? "" : values.join(" / ");
}

/** Of all runs of a row in a runtime. */
function figuresOf(
  lines: readonly Line[],
  row: number,
  runtime: string,
): Map<string, number> | undefined {
  const runs = lines.filter((line) => line.row === row && line.runtime === runtime);
  if (runs.length === 0) return undefined;
  const all = new Map<string, number>();
  for (const [name, value] of runs.flatMap(({ figures }) => Object.entries(figures))) {
    if (typeof value !== "number") continue;
    const isSum = [...COUNTS, ...ELSEWHERE.slice(1), ...NUMBERS].some((each) => each === name);
    const before = all.get(name);
    if (before === undefined) all.set(name, value);
    else all.set(name, isSum ? before + value : Math.max(before, value));
  }
  return all;
}

function testOf({ shownBy }: Row): string {
  if (shownBy === undefined) return "";
  const path = `tests/${shownBy}.test.ts`;
  if (!existsSync(join(ROOT, path))) throw new Error(`Cannot name ${path} as it is not there`);
  return `[${shownBy}](../${path})`;
}

function lineOf(columns: readonly string[]): string {
  return `| ${columns.map((column) => column.replaceAll("|", "\\|")).join(" | ")} |`;
}
