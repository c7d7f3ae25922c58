/**
 * Blocks of SQL, read by PostgreSQL's own parser.
 *
 * @module
 */

import { PGlite } from "@electric-sql/pglite";
import type { Block } from "./markdown.ts";

/** Raised before anything of a block runs, and after all of it has been read. */
const READ = "DOC01";

/**
 * Finds what is no SQL. Nothing is executed, and the bodies of functions are not looked into.
 *
 * @returns What is wrong, a line for each.
 */
export async function syntaxFaults(blocks: readonly Block[]): Promise<string[]> {
  const database = await PGlite.create();
  const faults: string[] = [];
  for (const { file, line, before, code } of blocks) {
    // All statements of one text are read before the first of them is executed.
    const stop = `do $$ begin raise exception 'read' using errcode = '${READ}'; end $$; `;
    try {
      await database.exec(stop + before.trim() + code);
      faults.push(`${file}:${line}: it was executed`);
    } catch (fault) {
      if ((fault as { code?: string }).code === READ) continue;
      faults.push(`${file}:${line}: ${(fault as Error).message}`);
    }
  }
  await database.close();
  return faults;
}
