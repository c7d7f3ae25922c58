/**
 * Links from one file of the project to another one, and to headings.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { join, normalize } from "node:path";
import { ROOT } from "../toolchain.ts";
import { type Page, proseOf } from "./markdown.ts";

/**
 * Finds links that lead nowhere within the project.
 *
 * @returns What is wrong, a line for each.
 */
export function brokenLinks(pages: readonly Page[]): string[] {
  const anchors = new Map(pages.map((page) => [page.file, anchorsOf(page)]));
  return pages.flatMap((page) =>
    proseOf(page).flatMap((line, i) =>
      targetsIn(line).flatMap((target) => {
        const wrong = faultOf(page, target, anchors);
        return wrong === undefined ? [] : [`${page.file}:${i + 1}: ${target}: ${wrong}`];
      })
    )
  );
}

/** Where the links of a line lead to, if not to another site. */
function targetsIn(line: string): string[] {
  const plain = line.replace(/`[^`]*`/g, "");
  const found = [
    ...plain.matchAll(/\]\(([^)\s]+)\)/g),
    ...plain.matchAll(/(?:src|srcset)="([^"]+)"/g),
  ];
  return found.map(([, target = ""]) => target).filter((target) => !/^[a-z]+:/.test(target));
}

function faultOf(
  { file }: Page,
  target: string,
  anchors: ReadonlyMap<string, ReadonlySet<string>>,
): string | undefined {
  const [path = "", anchor] = target.split("#");
  const to = path === "" ? file : normalize(join(file, "..", path));
  if (!existsSync(join(ROOT, to))) return "there is no such file";
  const known = anchors.get(to);
  if (anchor === undefined || known === undefined || known.has(anchor)) return undefined;
  return "there is no such heading";
}

/** The names that GitHub gives to the headings of a file. */
function anchorsOf(page: Page): Set<string> {
  const anchors = new Set<string>();
  for (const line of proseOf(page)) {
    const [, title] = /^#{1,6} (.*)$/.exec(line) ?? [];
    if (title === undefined) continue;
    const name = title
      .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\p{M}\s_-]/gu, "")
      .replaceAll(" ", "-");
    for (let n = 0;; n++) {
      const each = n === 0 ? name : `${name}-${n}`;
      if (anchors.has(each)) continue;
      anchors.add(each);
      break;
    }
  }
  return anchors;
}
