/**
 * The Markdown files of the project, and what is in them that can be checked.
 *
 * @module
 */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../toolchain.ts";

/** A block of code between fences. */
export interface Block {
  /** The path of the file, from the root of the project. */
  readonly file: string;
  /** The line of the file with the first line of the code; the first one of the file is 1. */
  readonly line: number;
  /** What stands behind the opening fence. */
  readonly language: string;
  /** The code, with a newline at its end. */
  readonly code: string;
  /** What a hidden comment before the block says that precedes it; empty without one. */
  readonly before: string;
  /** The line of the file with the first line of `before`. */
  readonly beforeLine: number;
}

/** A file. */
export interface Page {
  /** Its path, from the root of the project. */
  readonly file: string;
  readonly text: string;
}

/** A comment that begins with this line says what precedes the block behind it. */
const BEFORE = "<!-- before";

/** All Markdown files of the project: those in its folder, in `docs/` and in `examples/`. */
export function markdownFiles(): Page[] {
  const files = [
    ...readdirSync(ROOT),
    ...["docs", "examples"].filter((folder) => existsSync(join(ROOT, folder))).flatMap((folder) =>
      (readdirSync(join(ROOT, folder), { recursive: true }) as string[])
        .map((file) => join(folder, file))
    ),
  ];
  return files.filter((file) => file.endsWith(".md")).sort()
    .map((file) => ({ file, text: readFileSync(join(ROOT, file), "utf8") }));
}

/**
 * The blocks of code of a file.
 *
 * @throws {SyntaxError} If a fence or a comment is not closed, or a comment precedes no block.
 */
export function blocksOf({ file, text }: Page): Block[] {
  const lines = text.split("\n");
  const blocks: Block[] = [];
  let before = { text: "", line: 0 };
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!;
    if (line === BEFORE) {
      const end = lines.indexOf("-->", i);
      if (end < 0) throw new SyntaxError(`${file}:${i + 1}: the comment is not closed`);
      before = { text: `${lines.slice(i + 1, end).join("\n")}\n`, line: i + 2 };
      i = end;
      continue;
    }
    const fence = /^( *)(`{3,})(.*)$/.exec(line);
    if (fence === null) {
      if (before.line > 0 && line.trim() !== "") {
        throw new SyntaxError(`${file}:${before.line - 1}: the comment precedes no block of code`);
      }
      continue;
    }
    const [, indent = "", ticks = "", language = ""] = fence;
    const end = lines.findIndex((other, at) => at > i && other === indent + ticks);
    if (end < 0) throw new SyntaxError(`${file}:${i + 1}: the block is not closed`);
    const code = lines.slice(i + 1, end).map((each) => each.slice(indent.length)).join("\n");
    blocks.push({
      file,
      line: i + 2,
      language: language.trim(),
      code: `${code}\n`,
      before: before.text,
      beforeLine: before.line,
    });
    before = { text: "", line: 0 };
    i = end;
  }
  if (before.line > 0) {
    throw new SyntaxError(`${file}:${before.line - 1}: the comment precedes no block of code`);
  }
  return blocks;
}

/** The text of a file without its blocks of code and its comments, each line in its place. */
export function proseOf({ text }: Page): string[] {
  let isCode = false, isComment = false;
  return text.split("\n").map((line) => {
    if (!isComment && /^ *`{3,}/.test(line)) {
      isCode = !isCode;
      return "";
    }
    if (isCode) return "";
    if (line.startsWith("<!--")) isComment = true;
    const isHidden = isComment;
    if (line.endsWith("-->")) isComment = false;
    return isHidden ? "" : line;
  });
}
