/**
 * Which test files there are, and what runs them where.
 *
 * @module
 */

import { readdirSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { nodeOf, type Progress, ROOT, type Runtimes, versionOf } from "../toolchain.ts";
import { plainPath, type Suite } from "./arguments.ts";
import { consumerTools } from "./consumer_tools.ts";
import type { Runner } from "./run_file.ts";

/** Files to run, all in one way. */
export interface Plan {
  readonly title: string;
  readonly runner: Runner;
  /** Where they run. */
  readonly folder: string;
  /** Relative to `folder`. */
  readonly files: readonly string[];
  /** Set for them alone. */
  readonly env: Readonly<Record<string, string>>;
}

/** Why a suite cannot run on this machine, through no fault of the project. */
export class SkippedSuite extends Error {
  override readonly name: string = "SkippedSuite";
}

/** Folders of `tests/` whose files are not for every runtime. */
const APART = ["package", "browser"];

/**
 * What a suite consists of.
 *
 * @param suite Which one.
 * @param found The runtimes.
 * @param filters Parts of the paths of the files that are wanted; none means all.
 * @param onProgress Called before what takes a while.
 * @returns What is to be run, one after another; nothing if no file is wanted.
 * @throws {SkippedSuite} If this machine lacks what it needs.
 */
export async function plansOf(
  suite: Suite,
  found: Runtimes,
  filters: readonly string[],
  onProgress: Progress,
): Promise<Plan[]> {
  const plans = suite === "package"
    ? await packagePlans(found, filters, onProgress)
    : [sourcePlan(suite, found)];
  return plans.map((plan) => ({ ...plan, files: wanted(plan.files, filters) }))
    .filter(({ files }) => files.length > 0);
}

function sourcePlan(suite: Exclude<Suite, "package">, found: Runtimes): Plan {
  const kind = suite === "browser" ? "node" : suite;
  const name = { deno: "Deno", bun: "Bun", node: "Node" }[kind];
  return {
    title: `${suite === "browser" ? "Chromium and " : ""}${name} ${numberOf(found[kind])}`,
    runner: { kind, path: found[kind] },
    folder: ROOT,
    files: testFiles(
      suite === "browser" ? (folder) => folder === "browser" : (folder) => !APART.includes(folder),
    ),
    // Some of what is shown in a browser is served by all of them.
    env: suite === "browser" ? { TEST_DENO: found.deno, TEST_BUN: found.bun } : {},
  };
}

/** The packed package under the contract suite, and then the tests of what is in it. */
async function packagePlans(
  found: Runtimes,
  filters: readonly string[],
  onProgress: Progress,
): Promise<Plan[]> {
  if (
    wanted(testFiles((folder) => ["contract", "package"].includes(folder)), filters).length === 0
  ) {
    return []; // nothing that needs the package to be built
  }
  if (!process.env["PATH"]?.split(delimiter).some((folder) => versionOf(join(folder, "npm")))) {
    throw new SkippedSuite("packing the npm package needs npm, which is not on the PATH");
  }
  // The oldest that the npm package supports.
  const path = await nodeOf("20", onProgress);
  const tools = await consumerTools(found, onProgress);
  onProgress("\nBuilding and packing the npm package");
  const { packageSuite } = await import("../package_suite.ts");
  const { dir, files } = await packageSuite();
  const version = numberOf(path);
  return [
    {
      title: `npm package on Node ${version}`,
      runner: { kind: "node", path },
      folder: dir,
      files,
      env: {},
    },
    {
      ...sourcePlan("node", found),
      title: `npm package and its users, on Node ${version}`,
      files: testFiles((folder) => folder === "package"),
      // They call `node` and `npm` as users do.
      env: { PATH: [dirname(path), process.env["PATH"]].join(delimiter), ...tools },
    },
  ];
}

/** The test files in those folders of `tests/` that are asked for. */
function testFiles(isAskedFor: (folder: string) => boolean): string[] {
  return (readdirSync(join(ROOT, "tests"), { recursive: true }) as string[])
    .filter((file) => file.endsWith(".test.ts") && isAskedFor(file.split(/[\\/]/)[0] ?? ""))
    .map((file) => join("tests", file))
    // Outages take longest: they begin first.
    .sort((a, b) => Number(isOutage(b)) - Number(isOutage(a)) || (a < b ? -1 : 1));
}

function isOutage(file: string): boolean {
  return plainPath(file).startsWith("faults/");
}

function wanted(files: readonly string[], filters: readonly string[]): string[] {
  return files.filter((file) =>
    filters.length === 0 || filters.some((filter) => plainPath(file).includes(filter))
  );
}

function numberOf(program: string): string {
  const version = versionOf(program);
  return /\d+(\.\d+)+/.exec(version)?.[0] ?? version;
}
