/** The examples of docs/cli.md and of `--help` are commands that work. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { COMMON_OPTIONS } from "../../src/cli/command.ts";
import { readArguments } from "../../src/cli/arguments.ts";
import { COMMANDS, HELP } from "../../src/cli/main.ts";
import { databaseUri } from "../support/database.ts";
import { createDatabase } from "../support/sql.ts";
import { test } from "../support/test.ts";
import { runHere } from "./command_line.ts";

const PAGE = readFileSync(new URL("../../docs/cli.md", import.meta.url), "utf8");

/** The commands of a text, as a shell understands them, without what comes before and after a pipe. */
function commandsIn(text: string): string[][] {
  const lines = [...text.matchAll(/^ *(?:[^ ].* \| )?(socketio-pg [a-z][^\n]*)$/gm)]
    .map(([, line = ""]) => line.replace(/ {3,}[^'"]*$/, "").replace(/ (\| (jq|psql)|>).*$/, ""))
    // These stand for something.
    .filter((line) => !/[A-Z]{4}|…/.test(line) && !line.includes("[options]"));
  return lines.map((line) => {
    const script = line.replace(/^socketio-pg/, "printf '%s\\0'");
    return execFileSync("sh", ["-c", script], { encoding: "utf8" }).split("\0").slice(0, -1);
  });
}

test("every example runs", async (scope) => {
  const { uri } = await createDatabase(scope, await databaseUri());
  // What keeps events needs its tables.
  await runHere(["install-sql", "--recovery", "--uri", uri]);
  const texts = [PAGE, HELP, ...COMMANDS.map(({ help }) => help)];
  const examples = texts.flatMap(commandsIn);
  assert.ok(examples.length > 40, `there are ${examples.length}`);
  for (const [name = "", ...args] of examples) {
    const command = COMMANDS.find((each) => each.name === name);
    assert.ok(command, name);
    // Those that need somebody who emits, or time, are only read.
    if (name === "monitor" || name === "bench" || args.includes("--help")) {
      readArguments(name, args, { ...command.options, ...COMMON_OPTIONS });
      continue;
    }
    const isToConnect = name !== "trigger";
    const without = args.filter((each) => !each.startsWith("postgresql://") || name === "emit");
    const own = without.includes("--uri") ? without.slice(0, without.indexOf("--uri")) : without;
    const at = own.includes("--") ? own.indexOf("--") : own.length;
    const all = isToConnect ? [...own.slice(0, at), "--uri", uri, ...own.slice(at)] : own;
    const { code, err } = await runHere([name, ...all], { input: "x\n" });
    assert.deepEqual([code, err], [0, ""], `${name} ${args.join(" ")}`);
  }
});

test("the page shows what a trigger looks like, and how lines look", async () => {
  const [first] = commandsIn(PAGE).filter(([name]) => name === "trigger");
  const { out } = await runHere(first ?? []);
  assert.ok(PAGE.includes(`\`\`\`sql\n${out}\`\`\``), out);
  const shown = [...PAGE.matchAll(/```text\n(.*?)```/gs)].map(([, text = ""]) => text);
  const tests = ["view", "findings", "census"];
  assert.equal(shown.length, tests.length);
  tests.forEach((name, i) => {
    const lines = readFileSync(new URL(`./${name}.test.ts`, import.meta.url), "utf8");
    assert.ok(lines.includes(`\`${shown[i]}\``), `tests/cli/${name}.test.ts`);
  });
});
