/**
 * Makes everything ready for a release, and stops before anything is published.
 *
 *     deno task release 0.2.0        the version, the changelog, every check; what is left to do is printed
 *     deno task release --tag v0.2.0 whether that is what a tag says it is: run by the workflow that publishes
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { denoManifest, nodeManifest, root, staleManifests } from "./manifest.ts";
import { hasVersion, pending, released } from "./release/changelog.ts";
import { obstacles } from "./release/obstacles.ts";
import { requireLater } from "./release/version.ts";

const CHANGELOG = join(root, "CHANGELOG.md");
/** What a release changes. */
const CHANGED = [
  "CHANGELOG.md",
  "deno.json",
  "package.json",
  "package-lock.json",
  "src/version.ts",
].map((file) => join(root, file));

/** Runs a program in the folder of the project, and requires that it succeeds. */
function run(command: string, ...args: string[]): void {
  console.log(`\n$ ${[command, ...args].join(" ")}`);
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (status !== 0) {
    throw new Error(`Cannot release as "${command} ${args.join(" ")}" failed`, { cause: error });
  }
}

function output(command: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: root,
    encoding: "utf8",
  });
  if (status === 0) return stdout.trim();
  throw new Error(`Cannot release as "${command} ${args.join(" ")}" failed: ${stderr ?? ""}`, {
    cause: error,
  });
}

function prepare(version: string): void {
  const { version: current } = denoManifest();
  // What deno.json names may not be released yet, as the first version is not.
  if (version !== current || hasVersion(readFileSync(CHANGELOG, "utf8"), current)) {
    requireLater(version, current);
  }
  if (output("git", "status", "--porcelain") !== "") {
    throw new Error("Cannot release as the work tree has changes that are not committed");
  }
  const texts = CHANGED.map((file) => readFileSync(file, "utf8"));
  try {
    bump(version);
    // Every check, the tests as CI runs them, and what npm would get; packing builds.
    run("bash", ".ci/run");
    run("npm", "pack", "--dry-run");
  } catch (fault) {
    // What is not released is not left behind, so that it can be tried again.
    for (const [i, file] of CHANGED.entries()) writeFileSync(file, texts[i] ?? "");
    throw fault;
  }
  const before = obstacles(denoManifest(), nodeManifest()).map((each) => `- ${each}\n`).join("");
  console.log(`
Everything is in order. Nothing was published.
${before === "" ? "" : `\nThe registries will refuse it until this is changed:\n${before}`}
What is left:

  git commit -am "Version ${version}"
  git tag v${version}
  git push --follow-tags origin main v${version}

The workflow "Publish" does the rest. The package of @deno/dnt, which needs JSR, is made by
"deno run -A scripts/build_npm.ts", to compare it with the one of tsup.`);
}

/** Makes a version of what is pending. */
function bump(version: string): void {
  const today = new Date().toISOString().slice(0, 10);
  writeFileSync(CHANGELOG, released(readFileSync(CHANGELOG, "utf8"), version, today));
  const manifest = join(root, "deno.json");
  const text = readFileSync(manifest, "utf8");
  writeFileSync(manifest, text.replace(/("version":\s*)"[^"]*"/, `$1"${version}"`));
  run(Deno.execPath(), "run", "-A", "scripts/manifest.ts");
}

function verify(tag: string): void {
  const manifest = denoManifest();
  const { version } = manifest;
  const changelog = readFileSync(CHANGELOG, "utf8");
  const problems = [
    ...tag === `v${version}` ? [] : [`the tag is ${tag}, and the version ${version}`],
    ...hasVersion(changelog, version) ? [] : [`CHANGELOG.md has no section of ${version}`],
    ...pending(changelog) === "" ? [] : ['something stands under "Pending" in CHANGELOG.md'],
    ...staleManifests().map((file) => `${file} differs from deno.json`),
    ...obstacles(manifest, nodeManifest()),
  ];
  if (problems.length > 0) throw new Error(`Cannot publish as ${problems.join(", ")}`);
  run(Deno.execPath(), "task", "check");
}

try {
  const { values, positionals } = parseArgs({
    args: process.argv.slice(2),
    allowPositionals: true,
    options: { tag: { type: "string" } },
  });
  const [version] = positionals;
  if (values.tag !== undefined) verify(values.tag);
  else if (version !== undefined) prepare(version);
  else throw new Error("Which version? deno task release 1.2.3");
} catch (fault) {
  console.error(fault instanceof Error ? fault.message : fault);
  process.exit(1);
}
