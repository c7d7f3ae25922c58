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
import { denoManifest, root, staleManifests } from "./manifest.ts";
import { hasVersion, pending, released } from "./release/changelog.ts";
import { requireLater } from "./release/version.ts";

const CHANGELOG = join(root, "CHANGELOG.md");

/** Runs a program in the folder of the project, and requires that it succeeds. */
function run(command: string, ...args: string[]): void {
  console.log(`\n$ ${[command, ...args].join(" ")}`);
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (status !== 0) {
    throw new Error(`Cannot release as "${command} ${args.join(" ")}" failed`, { cause: error });
  }
}

function output(command: string, ...args: string[]): string {
  return spawnSync(command, args, { cwd: root, encoding: "utf8" }).stdout.trim();
}

/** Every check; the tests as CI runs them. */
function check(): void {
  run("bash", ".ci/run");
  run("npm", "run", "build");
  run("npm", "pack", "--dry-run");
}

function prepare(version: string): void {
  requireLater(version, denoManifest().version);
  if (output("git", "status", "--porcelain") !== "") {
    throw new Error("Cannot release as the work tree has changes that are not committed");
  }
  const changelog = released(
    readFileSync(CHANGELOG, "utf8"),
    version,
    new Date().toISOString().slice(0, 10),
  );
  writeFileSync(CHANGELOG, changelog);
  const manifest = join(root, "deno.json");
  const text = readFileSync(manifest, "utf8");
  writeFileSync(manifest, text.replace(/"version": "[^"]*"/, `"version": "${version}"`));
  run(Deno.execPath(), "run", "-A", "scripts/manifest.ts");
  check();
  console.log(`
Everything is in order. Nothing was published; what is left:

  git commit -am "Version ${version}"
  git tag v${version}
  git push --follow-tags origin main v${version}

The workflow "Publish" does the rest. The package of @deno/dnt, which needs JSR, is made by
"deno run -A scripts/build_npm.ts", to compare it with the one of tsup.`);
}

function verify(tag: string): void {
  const { version } = denoManifest();
  const changelog = readFileSync(CHANGELOG, "utf8");
  const problems = [
    ...tag === `v${version}` ? [] : [`the tag is ${tag}, and the version ${version}`],
    ...hasVersion(changelog, version) ? [] : [`CHANGELOG.md has no section of ${version}`],
    ...pending(changelog) === "" ? [] : ['something stands under "Pending" in CHANGELOG.md'],
    ...staleManifests().map((file) => `${file} differs from deno.json`),
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
