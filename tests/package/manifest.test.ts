// One description of the package, in deno.json: what else says the same must say the same. Runs once, on Node 22 and
// later or on Deno.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { test } from "node:test";
import { dntEntryPoints, dntManifest } from "../../scripts/build_npm.ts";
import { denoManifest, nodeManifest, root, staleManifests } from "../../scripts/manifest.ts";
import tsup from "../../tsup.config.ts";

function readJson(file: string): { compilerOptions: Record<string, unknown> } {
  return JSON.parse(readFileSync(join(root, file), "utf8"));
}

function checkCommand(): string {
  const { tasks } = readJson("deno.json") as unknown as { tasks: { check: { command: string } } };
  return tasks.check.command;
}

test("what follows from deno.json has its name, version, entry points and programs", () => {
  assert.deepEqual(staleManifests(), []);
});

test('both builders build, and "deno task check" looks at, what deno.json exports', () => {
  const sources = Object.values(denoManifest().exports).sort();
  const { entry } = tsup as { entry: Record<string, string> };
  assert.deepEqual(Object.values(entry).sort(), sources);
  assert.deepEqual(dntEntryPoints().map(({ path }) => `./${relative(root, path)}`).sort(), sources);
  const [, documented = ""] = / deno doc --lint ([^&]+) && /.exec(checkCommand()) ?? [];
  assert.deepEqual(documented.split(" ").map((path) => `./${path}`).sort(), sources);
});

test("both builders export what can be imported, and package.json, and have the rest as commands", () => {
  const commands = { "socketio-pg": "./cli" };
  const expected = Object.keys(denoManifest().exports)
    .filter((key) => !Object.values(commands).includes(key));
  for (const { exports, bin } of [nodeManifest(), dntManifest()]) {
    assert.deepEqual(Object.keys(exports as object), [...expected, "./package.json"]);
    assert.deepEqual(Object.keys(bin as object), Object.keys(commands));
  }
  assert.deepEqual(nodeManifest()["bin"], { "socketio-pg": "dist/cli.js" });
  assert.deepEqual(dntManifest()["bin"], { "socketio-pg": "esm/src/cli.js" });
});

test('package-lock.json is that of package.json, as "npm ci" requires', () => {
  const { packages: { "": lock } } = readJson("package-lock.json") as unknown as {
    packages: { "": Record<string, unknown> };
  };
  const { dependencies, devDependencies, engines } = nodeManifest();
  assert.deepEqual(
    [lock["dependencies"], lock["devDependencies"], lock["engines"]],
    [dependencies, devDependencies, engines],
  );
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
