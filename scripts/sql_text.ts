/**
 * Keeps `src/sql_text.ts` in step with the files in `sql/`: `deno run -A scripts/sql_text.ts` writes it, with `--check`
 * it fails when they differ. Packages and bundles have no files to read.
 *
 * @module
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { root } from "./manifest.ts";

/** The module that is made. */
const MODULE = "src/sql_text.ts";

/** The files of SQL in the order in which they are run. */
export function sqlFiles(): string[] {
  return readdirSync(`${root}/sql`).filter((file) => file.endsWith(".sql")).sort();
}

/** The module as it should be. */
export function sqlModule(): string {
  const text = sqlFiles().map((file) => readFileSync(`${root}/sql/${file}`, "utf8")).join("\n");
  // The first two would end the literal, and Flyway takes the second for a placeholder of its own. Bun escapes in
  // String.raw what is not ASCII, and whoever pipes the text somewhere need not think about its encoding.
  if (/`|\$\{|[^\n -~]/.test(text)) {
    throw new Error(
      "Cannot make a module of sql/ as a file has a backtick, ${ or more than ASCII in it",
    );
  }
  return [
    "/** What `sql/` holds. Made by scripts/sql_text.ts: change the files there, and run it. */",
    `export const SQL_TEXT: string = String.raw\`\n${text}\`;\n`,
  ].join("\n");
}

/** Whether the module that is there differs. */
export function isSqlModuleStale(): boolean {
  return readFileSync(`${root}/${MODULE}`, "utf8") !== sqlModule();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (!process.argv.includes("--check")) writeFileSync(`${root}/${MODULE}`, sqlModule());
  else if (isSqlModuleStale()) {
    console.error(`${MODULE} differs from sql/: run scripts/sql_text.ts`);
    process.exitCode = 1;
  }
}
