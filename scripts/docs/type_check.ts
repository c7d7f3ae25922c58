/**
 * Blocks of TypeScript and JavaScript, checked against the sources as a user's project would be: each is a module of its
 * own, with what its hidden comment says before it, and each line where it is in the file.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { denoManifest } from "../manifest.ts";
import { ROOT } from "../toolchain.ts";
import type { Block } from "./markdown.ts";

/** Within the project, so that modules are found as they are there. */
const FOLDER = join(ROOT, ".cache", "docs");

/** Whether a block is for `require()`: it is checked against the built package, by the tests of that. */
export function isCommonJs({ language, code }: Block): boolean {
  return language === "js" && /\brequire\(/.test(code);
}

/**
 * Checks the types of blocks.
 *
 * @returns What is wrong, as Deno prints it; empty if nothing is.
 */
export function typeFaults(blocks: readonly Block[]): string {
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(join(FOLDER, "deno.json"), JSON.stringify(configuration()));
  copyFileSync(join(ROOT, "package.json"), join(FOLDER, "package.json"));
  symlinkSync(join(ROOT, "node_modules"), join(FOLDER, "node_modules"), "dir");
  const names = blocks.map((block) => {
    const name = `${block.file.replaceAll(/[\\/]/g, "~")}@${block.line}.ts`;
    writeFileSync(join(FOLDER, name), moduleOf(block));
    return name;
  });
  const { status, stderr, error } = spawnSync(Deno.execPath(), ["check", "--quiet", ...names], {
    cwd: FOLDER,
    encoding: "utf8",
    env: { ...Deno.env.toObject(), NO_COLOR: "1" },
  });
  if (error !== undefined) throw error;
  if (status === 0) return "";
  return stderr.replace(
    /file:\/\/\S*\/([^/\s]+)@\d+\.ts(:\d+)/g,
    (_all, file: string, line: string) => file.replaceAll("~", "/") + line,
  );
}

/** A module in which each line has the number that it has in the file. */
export function moduleOf({ before, beforeLine, code, line }: Block): string {
  const lines: string[] = [];
  const put = (text: string, at: number) => {
    text.trimEnd().split("\n").forEach((each, i) => lines[at - 1 + i] = each);
  };
  if (before !== "") put(before, beforeLine);
  put(code, line);
  return `${Array.from(lines, (each = "") => each).join("\n")}\nexport {};\n`;
}

/** The settings of a user's project, with the package where it is here. */
function configuration(): object {
  const { name, exports } = denoManifest();
  const source = (path: string) => relative(FOLDER, join(ROOT, path));
  return {
    nodeModulesDir: "manual",
    imports: Object.fromEntries(
      Object.entries(exports).map(([key, path]) => [name + key.slice(1), source(path)]),
    ),
    compilerOptions: { strict: true },
  };
}
