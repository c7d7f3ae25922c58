/**
 * A process ends by itself once its emitter has closed, also when the server does not answer any more. This file is also
 * the process: it runs itself with a scenario to play.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Emitter } from "../../src/emitter.ts";
import { uniquePrefix } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { startWay } from "../support/half_open.ts";
import { runtime } from "../support/runtime.ts";
import { type Scope, test } from "../support/test.ts";
import { startTlsProxy } from "../support/tls_proxy.ts";
import { next, within } from "../support/wait.ts";

const SCENARIO = "EMITTER_SCENARIO";

/** What the process does; each says when the server may fall silent and when it is done, and does not exit. */
const SCENARIOS: Record<string, (uri: string) => Promise<void>> = {
  async "a statement that got no answer"(uri) {
    const emitter = new Emitter(uri, { prefix: uniquePrefix(), statementTimeout: 500 });
    await emitter.emit("hello");
    console.log("open");
    let code: unknown;
    while (code === undefined) {
      code = await emitter.emit("hello").then(() => undefined, (error) => error.code);
    }
    assert.equal(code, "CONNECTION_LOST");
    await emitter.close();
  },
  async "close() with statements under way"(uri) {
    const emitter = new Emitter(uri, { prefix: uniquePrefix(), closeTimeout: 500 });
    await emitter.emit("hello");
    console.log("open");
    // Answered as long as the server talks.
    while (await Promise.race([emitter.emit("hello").then(() => true), late(300)]));
    for (let n = 0; n < 3; n++) emitter.emit("hello", "x".repeat(1_000_000));
    await emitter.close();
  },
  async "close() of an idle connection"(uri) {
    const emitter = new Emitter(uri, { prefix: uniquePrefix() });
    await emitter.emit("hello");
    console.log("open");
    await next(process.stdin, "data");
    process.stdin.destroy();
    await emitter.close();
  },
  async "a start that got no answer"(uri) {
    const emitter = new Emitter(uri, { connectTimeout: 500 });
    await assert.rejects(emitter.emit("hello"), { code: "CONNECT_FAILED" });
    await emitter.close();
  },
  async "close() during a start that gets no answer"(uri) {
    const emitter = new Emitter(uri, { closeTimeout: 500, connectTimeout: 60_000 });
    emitter.emit("hello");
    await emitter.close();
  },
};

/** False, after a time in which nothing else keeps the process. */
function late(ms: number): Promise<false> {
  return new Promise((resolve) => setTimeout(() => resolve(false), ms));
}

const scenario = process.env[SCENARIO];
if (scenario === undefined) {
  for (const mode of ["disable", "require"]) {
    for (const name of Object.keys(SCENARIOS)) {
      test(`the process ends by itself after ${name} (sslmode=${mode})`, async (t) => {
        const database = await databaseUri();
        const way = await startWay(
          t,
          mode === "disable" ? database : (await startTlsProxy(t, database)).uri("127.0.0.1"),
        );
        if (name.includes("start")) way.fallSilent();
        const uri = `${way.uri}?sslmode=${mode}`;
        const { code, output } = await play(t, name, uri, () => way.fallSilent());
        assert.match(output, /^done$/m);
        assert.equal(code, 0, output);
      });
    }
  }
} else {
  await SCENARIOS[scenario]?.(await databaseUri());
  console.log("done");
}

/** Runs a scenario in a process of its own, and requires it to end soon after it is done. */
async function play(
  t: Scope,
  name: string,
  uri: string,
  opened: () => void,
): Promise<{ code: number | null; output: string }> {
  const file = fileURLToPath(import.meta.url);
  const args = runtime === "deno" ? ["run", "-A", "--no-check", file] : [file];
  const env = { ...process.env, [SCENARIO]: name, DATABASE_URL: uri };
  const child = spawn(process.execPath, args, { env, stdio: ["pipe", "pipe", "pipe"] });
  t.after(() => child.kill("SIGKILL"));
  let output = "";
  const done = new Promise<void>((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (data: unknown) => {
        const wasOpen = /^open$/m.test(output);
        output += String(data);
        if (!wasOpen && /^open$/m.test(output)) {
          opened();
          child.stdin.end("\n");
        }
        if (/^done$/m.test(output)) resolve();
      });
    }
  });
  const exit = next<[number | null]>(child, "exit", 30_000);
  await within(20_000, `the scenario (${output})`, Promise.race([done, exit]));
  const [code] = await within(2_000, "ending after that", exit);
  return { code, output };
}
