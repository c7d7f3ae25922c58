/**
 * What tests of faults measured, to make a table of.
 *
 * @module
 */

import { appendFileSync } from "node:fs";
import process from "node:process";
import { runtime } from "./runtime.ts";

/** Named numbers; milliseconds where the name says nothing else. */
export type Figures = Readonly<Record<string, number | string | boolean | undefined>>;

/** Appends the figures of a row of the matrix to the file that `FAULT_FIGURES` names, if it names one. */
export function record(row: number, figures: Figures): void {
  const file = process.env["FAULT_FIGURES"];
  if (file === undefined || file === "") return;
  const rounded = Object.fromEntries(
    Object.entries(figures).map((
      [name, value],
    ) => [name, typeof value === "number" ? Math.round(value * 10) / 10 : value]),
  );
  appendFileSync(file, `${JSON.stringify({ row, runtime, figures: rounded })}\n`);
}
