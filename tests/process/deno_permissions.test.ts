/** The least permissions that the README names for Deno are enough. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { uniquePrefix } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { runtime } from "../support/runtime.ts";
import { test } from "../support/test.ts";

const SERVER = fileURLToPath(new URL("./permitted_server.ts", import.meta.url));
const README = readFileSync(new URL("../../README.md", import.meta.url), "utf8");

/** Runs the server in Deno, with no question asked. */
async function run(
  permissions: readonly string[],
): Promise<{ code: number | null; output: string }> {
  const environment = {
    ...process.env,
    SERVER_URI: await databaseUri(),
    SERVER_PREFIX: uniquePrefix(),
  };
  const child = spawn(process.execPath, [
    "run",
    "--no-prompt",
    "--no-check",
    ...permissions,
    SERVER,
  ], {
    env: environment,
  });
  let output = "";
  child.stdout.on("data", (data) => output += data);
  child.stderr.on("data", (data) => output += data);
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return { code, output };
}

const skip = runtime === "deno" ? false : "it is about Deno";

test("a server works with the permissions that the README names", async () => {
  const named =
    /deno run (--allow-\S+(?: --allow-\S+)*) server\.ts/.exec(README)?.[1]?.split(" ") ?? [];
  assert.ok(named.length > 0, "the README names permissions");
  const { code, output } = await run(named);
  assert.equal(code, 0, output);
  assert.match(output, /published 1/);
}, { skip });

test("a server does not work with less", async () => {
  for (const permissions of [["--allow-net"], ["--allow-env"]]) {
    const { code } = await run(permissions);
    assert.notEqual(code, 0, permissions.join(" "));
  }
}, { skip });
