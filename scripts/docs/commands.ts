/**
 * Blocks for a shell: the tasks, scripts and commands that they call exist.
 *
 * @module
 */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { COMMANDS } from "../../src/cli/main.ts";
import { denoManifest } from "../manifest.ts";
import { ROOT } from "../toolchain.ts";
import type { Block } from "./markdown.ts";

/** A way to call something of the project. */
interface Call {
  /** What it looks like; the first group is the name of what is called. */
  readonly form: RegExp;
  readonly what: string;
  isKnown(name: string): boolean;
}

/**
 * Finds calls of what there is not.
 *
 * @returns What is wrong, a line for each.
 */
export function unknownCommands(blocks: readonly Block[]): string[] {
  const calls = callsOfTheProject();
  return blocks.flatMap(({ file, line, code }) =>
    code.split("\n").flatMap((text, i) =>
      calls.flatMap(({ form, what, isKnown }) =>
        [...text.matchAll(form)].map(([, name = ""]) => name)
          .filter((name) => !isKnown(name))
          .map((name) => `${file}:${line + i}: there is no ${what} "${name}"`)
      )
    )
  );
}

function callsOfTheProject(): Call[] {
  const { name } = denoManifest();
  const { tasks } = manifest("deno.json"), { scripts } = manifest("package.json");
  const isCommand = (name: string) => COMMANDS.some((command) => command.name === name);
  return [
    { form: /\bdeno task ([\w:-]+)/g, what: "task", isKnown: (name) => name in tasks! },
    { form: /\bnpm run ([\w:-]+)/g, what: "npm script", isKnown: (name) => name in scripts! },
    {
      form: /\b(scripts\/[\w/]+\.ts)\b/g,
      what: "file",
      isKnown: (name) => existsSync(join(ROOT, name)),
    },
    ...["socketio-pg", `npx ${name}`, "deno task cli"].map((program): Call => ({
      form: new RegExp(`(?:^|[|&;] )${program} ([a-z][\\w-]*)`, "g"),
      what: "command of the command line",
      isKnown: isCommand,
    })),
  ];
}

function manifest(file: string): Record<string, Record<string, string>> {
  return JSON.parse(readFileSync(join(ROOT, file), "utf8"));
}
