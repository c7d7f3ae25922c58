/**
 * Keeps `src/sql_text.ts` in step with the files in `sql/`, and the modules in `src/recovery/` with those in
 * `sql/recovery/`: `deno run -A scripts/sql_text.ts` writes them, with `--check` it fails when they differ. Packages and bundles have no files to read.
 *
 * @module
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { root } from "./manifest.ts";

/** A module that is made. */
interface Module {
  readonly path: string;
  /** What it exports. */
  readonly name: string;
  /** Where its files are. */
  readonly folder: string;
}

const MODULES: readonly Module[] = [
  { path: "src/sql_text.ts", name: "SQL_TEXT", folder: "sql" },
  { path: "src/recovery/schema_text.ts", name: "RECOVERY_SQL_TEXT", folder: "sql/recovery" },
  {
    path: "src/recovery/durable_text.ts",
    name: "DURABLE_SQL_TEXT",
    folder: "sql/recovery/durable",
  },
];

/** A module as it should be: files in the order in which they are run. */
function sqlModule({ name, folder }: Module): string {
  const files = readdirSync(`${root}/${folder}`).filter((file) => file.endsWith(".sql")).sort();
  const text = files.map((file) => readFileSync(`${root}/${folder}/${file}`, "utf8")).join("\n");
  // The first two would end the literal, and Flyway takes the second for a placeholder of its own. Bun escapes in
  // String.raw what is not ASCII, and whoever pipes the text somewhere need not think about its encoding.
  if (/`|\$\{|[^\n -~]/.test(text)) {
    throw new Error(
      `Cannot make a module of ${folder}/ as a file has a backtick, \${ or more than ASCII in it`,
    );
  }
  return [
    `/** What \`${folder}/\` holds. Made by scripts/sql_text.ts: change the files there, and run it. */`,
    `export const ${name}: string = String.raw\`\n${text}\`;\n`,
  ].join("\n");
}

/** Whether a module that is there differs. */
export function isSqlModuleStale(): boolean {
  return MODULES.some((module) =>
    readFileSync(`${root}/${module.path}`, "utf8") !== sqlModule(module)
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (!process.argv.includes("--check")) {
    for (const module of MODULES) writeFileSync(`${root}/${module.path}`, sqlModule(module));
  } else if (isSqlModuleStale()) {
    console.error("A module differs from sql/: run scripts/sql_text.ts");
    process.exitCode = 1;
  }
}
