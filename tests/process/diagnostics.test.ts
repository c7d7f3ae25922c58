import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { uniquePrefix } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { runtime } from "../support/runtime.ts";
import { test } from "../support/test.ts";

test("subscribers of diagnostics channels that throw disturb nothing, and the runtime hears of it", async () => {
  const file = fileURLToPath(new URL("./traced_server.ts", import.meta.url));
  const args = runtime === "deno" ? ["run", "-A", "--no-check", file] : [file];
  const child = spawn(process.execPath, args, {
    env: {
      ...process.env,
      NODE_NO_WARNINGS: "1",
      SERVER_URI: await databaseUri(),
      SERVER_PREFIX: uniquePrefix(),
    },
  });
  let output = "";
  child.stdout.on("data", (data) => output += data);
  child.stderr.on("data", (data) => output += data);
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  assert.equal(code, 0, output);
  const channels = ["echo", "error", "node-down", "node-up", "publish", "ready", "receive"]
    .map((name) => `socketio-pg:${name}`).join(" ");
  assert.deepEqual(output.trim().split("\n"), [
    "heard 0",
    "heard 1",
    "heard 2",
    "errors PAYLOAD_TOO_LARGE",
    `thrown ${channels}`,
    `uncaught ${channels}`,
  ]);
});
