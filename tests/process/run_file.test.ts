// The script behind the test command must not take a broken file for a good one. It runs files of this folder's
// `fixtures/` here on the runtime that runs this.
import assert from "node:assert/strict";
import { test } from "node:test";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { type FileResult, runFile } from "../../scripts/test/run_file.ts";
import { runtime } from "../support/runtime.ts";

const folder = fileURLToPath(new URL("../..", import.meta.url));

function run(name: string, limit = 60_000): Promise<FileResult> {
  const file = `tests/process/fixtures/${name}.ts`;
  return runFile({ kind: runtime, path: process.execPath }, {
    file,
    folder,
    env: process.env,
    limit,
  });
}

test("tests are counted once, groups are not, and failures keep their names and messages", async () => {
  const { passed, skipped, failures } = await run("mixed");
  assert.deepEqual([passed, skipped], [3, 1]);
  assert.deepEqual(failures.map(({ name }) => name).sort(), [
    "fails > here",
    "group > inner > fails",
  ]);
  assert.match(failures.find(({ name }) => name === "fails > here")?.message ?? "", /<a b="c">/);
  assert.match(
    failures.find(({ name }) => name !== "fails > here")?.message ?? "",
    /inner failure/,
  );
});

test("a file without tests has failed", async () => {
  const { passed, failures } = await run("empty");
  assert.equal(passed, 0);
  assert.match(failures[0]?.message ?? "", /no test/);
});

test("a file that throws while loading has failed, and its output says why", async () => {
  const { failures, output } = await run("throws");
  assert.equal(failures.length, 1);
  assert.match(output, /thrown while loading/);
});

test("a file that does not end in time has failed", async () => {
  const { failures, milliseconds, output } = await run("hangs", 3_000);
  assert.match(failures[0]?.message ?? "", /did not end within 3 s/);
  if (process.platform === "linux") {
    assert.match(output, /Its main thread, when it was ended: (?!undefined)\w/);
  }
  assert.ok(milliseconds < 30_000, `it took ${milliseconds} ms`);
});

test("a file whose process ends before its tests do has failed", async () => {
  const { failures } = await run("exits");
  assert.equal(failures.length > 0, true);
});

test("what is thrown after its test ended fails the file", async () => {
  const { failures } = await run("late");
  assert.equal(failures.length > 0, true);
});

test("a runtime that does not start has failed", async () => {
  const file = "tests/process/fixtures/mixed.ts";
  const result = await runFile({ kind: "node", path: "/does/not/exist" }, {
    file,
    folder,
    env: process.env,
    limit: 60_000,
  });
  assert.match(result.failures[0]?.message ?? "", /ENOENT/);
});
