/**
 * Checks what the documentation says: `deno run -A scripts/docs.ts`, a part of `deno task check`. Types of the blocks in
 * TypeScript, the syntax of those in SQL, commands, links. No block is passed over: one in a language that is not known
 * here is an error, and so is a fragment that does not say what precedes it (`<!-- before`, see CONTRIBUTING.md).
 *
 * @module
 */

import process from "node:process";
import { unknownCommands } from "./docs/commands.ts";
import { brokenLinks } from "./docs/links.ts";
import { type Block, blocksOf, markdownFiles } from "./docs/markdown.ts";
import { syntaxFaults } from "./docs/sql.ts";
import { isCommonJs, typeFaults } from "./docs/type_check.ts";

/** Languages of blocks that are there to be read. */
const PROSE = ["text", "mermaid", "nginx", "ini", "yaml"];

const pages = markdownFiles();
const blocks = pages.flatMap(blocksOf);
const inLanguage = (...languages: string[]): Block[] =>
  blocks.filter(({ language }) => languages.includes(language));

const typed = inLanguage("ts", "js").filter((block) => !isCommonJs(block));
const faults = [
  ...blocks
    .filter(({ language }) => !["ts", "js", "sql", "sh", ...PROSE].includes(language))
    .map(({ file, line, language }) =>
      `${file}:${line - 1}: nothing here checks blocks in the language "${language}"`
    ),
  ...brokenLinks(pages),
  ...unknownCommands(inLanguage("sh")),
  ...await syntaxFaults(inLanguage("sql")),
  typeFaults(typed),
].filter((fault) => fault !== "");

if (faults.length > 0) {
  console.error(faults.join("\n"));
  process.exit(1);
}
console.log(
  `Checked ${pages.length} files: ${typed.length} blocks of TypeScript, ${
    inLanguage("sql").length
  } of SQL, ${inLanguage("sh").length} for a shell, all links`,
);
