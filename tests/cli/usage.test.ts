/** What is said to who calls it wrongly, and what is never said. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { COMMON_OPTIONS } from "../../src/cli/command.ts";
import { COMMANDS } from "../../src/cli/main.ts";
import { test } from "../support/test.ts";
import { execute, runHere } from "./command_line.ts";

const { version } = JSON.parse(
  readFileSync(new URL("../../deno.json", import.meta.url), "utf8"),
);

const MISUSES: readonly [args: string[], sentence: RegExp][] = [
  [["emot"], /Cannot run "emot" as there is no such command: there are emit, monitor/],
  [["--uri", "x", "emit"], /Cannot read --uri there as the command comes first/],
  [["emit"], /Cannot emit without the name of an event/],
  [["emit", "a", "--rom", "b"], /Cannot read --rom as "emit" has no such option: it has --to,/],
  [["emit", "a", "--secret", "x"], /Cannot take a secret from the command line as every user/],
  [["emit", "a", "--to"], /Cannot read --to without a value/],
  [["emit", "a", "--to", "--nsp"], /Cannot read --to as what follows looks like an option/],
  [["emit", "a", "--volatile=yes"], /Cannot read --volatile with a value as it takes none/],
  [["emit", "a", "-5"], /Cannot read -5 as an option: put "--" before/],
  [["emit", "a", "--json", "{"], /Cannot take "\{" as JSON\n/],
  [["emit", "a", "--json", "--string"], /both --string and --json/],
  [["emit", "a", "-", "-"], /Cannot take "-" twice/],
  [["emit", "a", "--encrypt"], /Cannot encrypt without a secret/],
  [["emit", "a", "--recovery", "--volatile"], /Cannot keep what is volatile: give either/],
  [["emit", "a", "--prefix", "x".repeat(30)], /Cannot take the value of --prefix/],
  [["emit", "a", "--uri", "mysql://x"], /Cannot read the connection string "mysql:\/\/x"/],
  [["emit", "a", "--secret-file", "/nowhere/secret"], /Cannot read the file of --secret-file/],
  [["install-sql", "now"], /Cannot run "install-sql" with 1 arguments as it takes none/],
  [["install-sql", "--durable"], /Cannot take --durable without --recovery/],
  [["monitor", "--all"], /Cannot take --all without --room/],
  [["monitor", "--count", "0"], /Cannot take "0" as --count: it is a whole number above 0/],
  [["monitor", "--count", "1.5"], /a whole number above 0/],
  [["monitor", "--rates", "often"], /Cannot take "often" as --rates: it is a number above 0/],
  [["doctor", "a", "b"], /Cannot run "doctor" with 2 arguments as it takes at most 1/],
  [["doctor", "postgresql://h", "--uri", "x"], /Cannot take the database twice/],
  [["doctor", "mysql://x"], /Cannot read the connection string "mysql:\/\/x"/],
  [["doctor", "--wait", "0"], /Cannot take "0" as --wait: it is a number above 0/],
  [["nodes", "--wait", "long"], /Cannot take "long" as --wait: it is a number above 0/],
  [["nodes", "--prefix", ""], /Cannot take the value of --prefix/],
  [["bench", "--seconds", "-1"], /Cannot read --seconds as what follows looks like an option/],
  [["bench", "--seconds", "0"], /Cannot take "0" as --seconds: it is a number above 0/],
  [["bench", "--encrypt"], /Cannot encrypt without a secret/],
  [["bench", "--prefix", "x"], /Cannot read --prefix as "bench" has no such option/],
  [["trigger"], /Cannot print a trigger without a table/],
  [["trigger", "t", "--everyone"], /Cannot print a trigger without --columns/],
  [["trigger", "t", "--columns", "a"], /give either --room or --everyone/],
  [["trigger", "t", "--columns", "a", "--room", "r", "--everyone"], /give either --room or/],
  [["trigger", "t", "--columns", "a", "--room", ""], /Cannot take an empty --room/],
  [["trigger", "t", "--columns", "*,a", "--everyone"], /both a list and all of them/],
  [["trigger", "t", "upsert"], /Cannot take "upsert" as an operation/],
  [["trigger", "t", "truncate", "--columns", "a", "--everyone"], /add --statement/],
  [["trigger", "t", "--columns", "a", "--everyone", "--name", ""], /Cannot take an empty --name/],
  [["trigger", "a.b.c", "--columns", "a", "--everyone"], /Cannot take "a\.b\.c" as a table/],
  [["trigger", ".a", "--columns", "a", "--everyone"], /Cannot take "\.a" as a table/],
  [["trigger", 'a"b', "--columns", "a", "--everyone"], /Cannot take "a"b" as a table/],
  [["trigger", "t", "--columns", "a", "--everyone", "--old", "new"], /one of none, changed, all/],
  [
    ["trigger", "t", "--columns", "a", "--everyone", "--max-bytes", "33554433"],
    /Cannot take "33554433" as --max-bytes: at most 33554432 are allowed/,
  ],
];

test("a wrong call is a sentence, where to read more, and exit code 2", async () => {
  for (const [args, sentence] of MISUSES) {
    const { code, out, err } = await runHere(args);
    assert.deepEqual([code, out], [2, ""], args.join(" "));
    assert.match(err, sentence);
    assert.match(err, /^socketio-pg: [^\n]+\n"socketio-pg [^\n]*--help" says more\n$/);
  }
});

test("a process exits with that code", async (scope) => {
  const { code, out, err } = await execute(scope, ["emit"]);
  assert.deepEqual([code, out], [2, ""]);
  assert.match(err, /without the name of an event/);
});

test("help and version", async (scope) => {
  const { code, out, err } = await execute(scope, ["--help"]);
  assert.deepEqual([code, err], [0, ""]);
  for (const { name, summary } of COMMANDS) assert.ok(out.includes(summary), name);
  assert.deepEqual(await runHere(["--version"]), { code: 0, out: `${version}\n`, err: "" });
  const none = await runHere([]);
  assert.deepEqual([none.code, none.out, none.err], [2, "", out]);
});

test("the help of each command has its examples and every option", async () => {
  for (const { name, options } of COMMANDS) {
    const { code, out, err } = await runHere([name, "--help"]);
    assert.deepEqual([code, err], [0, ""], name);
    assert.match(out, /\nExamples:\n {2}socketio-pg /, name);
    for (const option of Object.keys({ ...options, ...COMMON_OPTIONS })) {
      assert.match(out, new RegExp(`--${option}\\b`), `${name} --${option}`);
    }
    for (const line of out.split("\n")) assert.ok(line.length <= 100, line);
  }
});

test("passwords and secrets are not repeated", async (scope) => {
  const uri = "postgresql://me:hush-hush@127.0.0.1:1/nowhere";
  const folder = mkdtempSync(join(tmpdir(), "socketio-pg-secret-"));
  scope.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "secret");
  writeFileSync(file, "hush-hush\n");
  const wrong: [string[], Record<string, string>?][] = [
    [[uri]],
    [["emit", "a", `--url=${uri}`]],
    [["emit", "a", "--uri", uri.replace("postgresql:", "mysql:")]],
    [["emit", "a", "--uri", "postgresql://me:hush-hush@[::1"]],
    [["emit", "a", "--to", `-${uri}`]],
    [["emit", "a", "--json", uri]],
    [["emit", "a", "--json", "postgres://me:hush@h"]],
    [["emit", "a", "--json", "host=h password=hush-hush"]],
    [["host=h PASSWORD = 'hush hush'"]],
    [["trigger", "password=hush.a.b"]],
    [["doctor", uri.replace("postgresql:", "mysql:")]],
    [["nodes", uri, "--uri", uri]],
    [["bench", uri, uri]],
    [["monitor", "--count", uri]],
    [["emit", "a", "--secret", "hush-hush-hush-hush"]],
    [["emit", "a", "--secret-file", file]],
    [["emit", "a"], { SOCKETIO_PG_SECRET: "hush-hush" }],
  ];
  for (const [args, env = {}] of wrong) {
    const { code, out, err } = await runHere(args, { env });
    assert.deepEqual([code, out], [2, ""], args.join(" "));
    assert.doesNotMatch(err, /hush/, args.join(" "));
  }
});
