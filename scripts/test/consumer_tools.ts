/**
 * What users of the npm package run and compile it with, for the tests of the package: as JSON in the environment, as
 * they run on Node, and only Deno brings what is missing.
 *
 * @module
 */

import process from "node:process";
import {
  compilerOf,
  NODE_VERSIONS,
  nodeOf,
  type Progress,
  type Runtimes,
  TYPESCRIPT_VERSIONS,
  UnavailableError,
} from "../toolchain.ts";

/** A runtime, or a compiler that Node runs. */
export interface Tool {
  readonly kind: "node" | "bun" | "deno" | "typescript";
  /** As in "Node 26". */
  readonly title: string;
  /** Where it is, unless it cannot be had here. */
  readonly path?: string;
  /** Why it cannot be had here. */
  readonly missing?: string;
}

/** Where the tests find them. */
const VARIABLE = "CONSUMER_TOOLS";

/**
 * Brings all of them.
 *
 * @param found The runtimes of the source.
 * @param onProgress Called before one is fetched.
 * @returns What is set for the tests.
 * @throws {Error} If one cannot be fetched that there is for this machine.
 */
export async function consumerTools(
  { bun, deno }: Runtimes,
  onProgress: Progress,
): Promise<Record<string, string>> {
  const tools: Tool[] = [];
  for (const version of NODE_VERSIONS) {
    const tool: Tool = { kind: "node", title: `Node ${version}` };
    try {
      tools.push({ ...tool, path: await nodeOf(version, onProgress) });
    } catch (fault) {
      if (!(fault instanceof UnavailableError)) throw fault;
      tools.push({ ...tool, missing: fault.message });
    }
  }
  tools.push({ kind: "bun", title: "Bun", path: bun }, { kind: "deno", title: "Deno", path: deno });
  for (const version of TYPESCRIPT_VERSIONS) {
    const path = await compilerOf(version, onProgress);
    tools.push({ kind: "typescript", title: `TypeScript ${version}`, path });
  }
  return { [VARIABLE]: JSON.stringify(tools) };
}

/** What was brought: nothing where a test is not run by the test command. */
export function givenTools(): Tool[] {
  return JSON.parse(process.env[VARIABLE] ?? "[]");
}
