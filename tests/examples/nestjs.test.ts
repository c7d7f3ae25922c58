import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { runtime } from "../support/runtime.ts";
import { type Scope, test } from "../support/test.ts";
import { startExample } from "./instance.ts";

const FOLDER = new URL("../../examples/nestjs/", import.meta.url);

/** The program for Node, in a folder that its packages are found from. */
async function built(t: Scope): Promise<string> {
  const cache = fileURLToPath(new URL("../../.cache/", import.meta.url));
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, "nestjs-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const outfile = join(folder, "main.mjs");
  await build({
    entryPoints: [fileURLToPath(new URL("main.ts", FOLDER))],
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    outfile,
  });
  return pathToFileURL(outfile).href;
}

test("what is said to a gateway or posted reaches the clients of both servers", async (t) => {
  const { instances, clients, inboxes, stop } = await startExample(
    t,
    runtime === "node" ? await built(t) : "nestjs/main.ts",
  );
  clients[0]!.emit("say", "Hello");
  for (const inbox of inboxes) assert.deepEqual(await inbox.count("said", 1), [["Hello"]]);
  const { status } = await fetch(instances[1]!.url("/news"), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ text: "It works" }),
  });
  assert.equal(status, 202);
  for (const inbox of inboxes) {
    assert.deepEqual(await inbox.count("news", 1), [[{ text: "It works" }]]);
  }
  await stop();
});
