// What JSR gets. Runs once, on Node 22 and later or on Deno.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { denoManifest, root } from "../../scripts/manifest.ts";
import { run } from "../../scripts/package_suite.ts";
import { givenTools } from "../../scripts/test/consumer_tools.ts";
import { runtime } from "../support/runtime.ts";
import { test } from "../support/test.ts";

const deno = runtime === "deno"
  ? process.execPath
  : givenTools().find(({ kind }) => kind === "deno")?.path ?? "";
const skip = deno === "" && "it needs Deno, which the test command names";
const sources = Object.values(denoManifest().exports);
const base = pathToFileURL(root).href;

/** The files of the project that a program and what it imports are. */
async function closure(source: string): Promise<string[]> {
  const { stdout } = await run(deno, ["info", "--json", source], root);
  const { modules } = JSON.parse(stdout) as { modules: { specifier: string }[] };
  return modules.map(({ specifier }) => specifier)
    .filter((specifier) => specifier.startsWith(base))
    .map((specifier) => specifier.slice(base.length));
}

test("what is published is what entry points import, three texts and the manifest", async () => {
  const { stderr } = await run(
    deno,
    // Types were checked by "deno task check".
    ["publish", "--dry-run", "--allow-dirty", "--no-check"],
    root,
    { NO_COLOR: "1" },
  );
  const published = [...stderr.matchAll(/^ +(file:\S+) \([\d.]+[KM]?B\)$/gm)]
    .map(([, url = ""]) => url.slice(base.length));
  const used = (await Promise.all(sources.map(closure))).flat();
  const expected = [...used, "CHANGELOG.md", "LICENSE", "README.md", "deno.json"];
  assert.deepEqual(published.sort(), [...new Set(expected)].sort());
}, { skip });

for (const source of sources) {
  test(`${source} begins with what it is for, and an example`, () => {
    const text = readFileSync(join(root, source), "utf8").replace(/^#!.*\n/, "");
    const [doc = ""] = /^\/\*\*[\s\S]*?\*\//.exec(text) ?? [];
    assert.match(doc, /\n \* @example\n \* ```\w+\n/);
    assert.match(doc, /\n \* @module\n \*\/$/);
  });
}
