/**
 * Findings as text: a line for each, and what to do below it; or lines of JSON.
 */
import type { Finding, Level } from "./findings.ts";
import { jsonLine, safe } from "./view.ts";

const LEVELS: readonly Level[] = ["ok", "warning", "broken", "unknown"];

const COLOURS: Readonly<Record<Level, string>> = {
  ok: "\x1b[32m",
  warning: "\x1b[33m",
  broken: "\x1b[31m",
  unknown: "\x1b[2m",
};

const RESET = "\x1b[0m";

/** The width of a column. */
const LEVEL_WIDTH = 9, CHECK_WIDTH = 14;

/** Findings for somebody who looks at them. */
export function findingsAsText(findings: readonly Finding[], isColoured: boolean): string {
  const lines = findings.map(({ check, level, text, remedy }) => {
    const word = level.padEnd(LEVEL_WIDTH);
    const line = `${isColoured ? `${COLOURS[level]}${word}${RESET}` : word}${
      check.padEnd(CHECK_WIDTH)
    }${safe(text)}\n`;
    const indent = " ".repeat(LEVEL_WIDTH + CHECK_WIDTH);
    return remedy === undefined ? line : `${line}${indent}-> ${safe(remedy)}\n`;
  });
  const { ok, ...others } = counts(findings);
  const bad = Object.entries(others).filter(([, count]) => count > 0)
    .map(([level, count]) => `, ${count} ${level}`);
  return `${lines.join("")}${ok} of ${findings.length} ok${bad.join("")}\n`;
}

/** A line for each finding, and a summary. */
export function findingsAsJson(findings: readonly Finding[]): string {
  const lines = findings.map((finding) => jsonLine("finding", finding));
  return lines.join("") + jsonLine("summary", counts(findings));
}

function counts(findings: readonly Finding[]): Record<Level, number> {
  const count = (level: Level) => findings.filter((each) => each.level === level).length;
  return Object.fromEntries(LEVELS.map((level) => [level, count(level)])) as Record<Level, number>;
}
