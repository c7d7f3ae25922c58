// One description of the package, in deno.json: what else says the same must say the same. Runs once, on Node 22 and
// later or on Deno.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { dntManifest } from "../../scripts/build_npm.ts";
import { denoManifest, nodeManifest, root, staleManifests } from "../../scripts/manifest.ts";

function readJson(file: string): { compilerOptions: Record<string, unknown> } {
  return JSON.parse(readFileSync(join(root, file), "utf8"));
}

test("what follows from deno.json has its name, version, entry points and programs", () => {
  assert.deepEqual(staleManifests(), []);
});

test("both builders export what deno.json exports and can be imported, and package.json", () => {
  const expected = Object.keys(denoManifest().exports).filter((key) => key !== "./cli");
  for (const { exports } of [nodeManifest(), dntManifest()]) {
    assert.deepEqual(Object.keys(exports as object), [...expected, "./package.json"]);
  }
});

test("both builders have the program as a command", () => {
  assert.deepEqual(nodeManifest()["bin"], { "socketio-pg": "dist/cli.js" });
  assert.deepEqual(dntManifest()["bin"], { "socketio-pg": "esm/src/cli.js" });
});

test("a resolver is offered declarations first, and code of the same format", () => {
  for (const { exports } of [nodeManifest(), dntManifest()]) {
    for (const entry of Object.values(exports as object)) {
      if (typeof entry === "string") continue;
      assert.deepEqual(Object.keys(entry), ["import", "require"]);
      for (const target of Object.values<Record<string, string>>(entry)) {
        assert.deepEqual(Object.keys(target), ["types", "default"]);
        const stem = (file = "") => file.replace(/(\.d)?\.(c?)[tj]s$/, ".$2js");
        assert.equal(stem(target["types"]), target["default"]);
      }
    }
  }
});

test("the package made by dnt has no tools and no scripts of this repository", () => {
  const { devDependencies, scripts, files, ...fields } = dntManifest();
  assert.deepEqual([devDependencies, scripts, files], [undefined, undefined, undefined]);
  const { version, dependencies, engines } = nodeManifest();
  assert.deepEqual(
    [fields["version"], fields["dependencies"], fields["engines"]],
    [version, dependencies, engines],
  );
});

test("the npm build checks types as strictly as Deno does", () => {
  const { compilerOptions: deno } = readJson("deno.json");
  const { compilerOptions: npm } = readJson("tsconfig.json");
  const same = Object.fromEntries(Object.keys(deno).map((option) => [option, npm[option]]));
  assert.deepEqual(same, deno);
});

test("the tools that build the package have exact versions", () => {
  const { devDependencies } = nodeManifest();
  for (
    const tool of ["tsup", "esbuild", "rollup", "typescript", "publint", "@arethetypeswrong/cli"]
  ) {
    assert.match(devDependencies[tool] ?? "", /^\d+\.\d+\.\d+$/, tool);
  }
});
