/** The script that releases, in a copy of what it changes: with checks that pass or fail, and nothing to build. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { obstacles } from "../../scripts/release/obstacles.ts";
import { runtime } from "../support/runtime.ts";
import { type Scope, test } from "../support/test.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const COPIED = [
  ...["scripts/release.ts", "scripts/release", "scripts/manifest.ts", "src/version.ts"],
  ...["deno.json", "package.json", "package-lock.json", "CHANGELOG.md", ".ci/run"],
];
const skip = runtime === "deno" ? false : "the script is Deno's";

/** A repository of Git with a project that can be released, of version 0.1.0. */
class Copy {
  readonly folder: string = mkdtempSync(join(tmpdir(), "socketio-pg-release-"));

  constructor(scope: Scope, checks = "exit 0") {
    scope.after(() => rmSync(this.folder, { recursive: true, force: true }));
    for (const path of COPIED) {
      cpSync(join(ROOT, path), join(this.folder, path), { recursive: true });
    }
    this.write("README.md", "");
    this.write("mod.ts", "");
    this.write(".ci/run", checks);
    this.write("CHANGELOG.md", "# Changelog\n\n## Pending\n\n- New.\n\n## 0.1.0 (2026-11-01)\n");
    this.change("deno.json", {
      name: "@scope/name",
      version: "0.1.0",
      tasks: { check: "exit 0" },
      // Nothing is imported, and nothing is to be fetched.
      nodeModulesDir: "manual",
    });
    this.change("package.json", {
      repository: "https://github.com/scope/name",
      ...{ files: [], scripts: { prepack: "exit 0" } },
    });
    this.run(process.execPath, "run", "-A", "scripts/manifest.ts");
    this.git("init", "--quiet");
    this.commit();
  }

  run(command: string, ...args: string[]): { status: number | null; output: string } {
    const { status, stdout, stderr } = spawnSync(command, args, {
      cwd: this.folder,
      encoding: "utf8",
    });
    return { status, output: stdout + stderr };
  }

  git(...args: string[]): string {
    const { status, output } = this.run("git", ...args);
    assert.equal(status, 0, output);
    return output.trim();
  }

  commit(): void {
    this.git("add", "--all");
    this.git("-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "--quiet", "-m", "All");
  }

  release(...args: string[]): { status: number | null; output: string } {
    return this.run(process.execPath, "run", "-A", "scripts/release.ts", ...args);
  }

  read(file: string): string {
    return readFileSync(join(this.folder, file), "utf8");
  }

  write(file: string, text: string): void {
    writeFileSync(join(this.folder, file), text);
  }

  change(file: string, fields: object): void {
    this.write(file, JSON.stringify({ ...JSON.parse(this.read(file)), ...fields }, null, 2));
  }
}

test("a version is made, checked and not published", (scope) => {
  const copy = new Copy(scope, `grep -q '"version": "0.2.0"' package.json package-lock.json`);
  const { status, output } = copy.release("0.2.0");
  assert.equal(status, 0, output);
  assert.match(output, /Nothing was published\.\n\nWhat is left:\n\n {2}git commit/);
  assert.match(
    copy.read("CHANGELOG.md"),
    /^## Pending\n\n## 0\.2\.0 \(\d{4}-\d\d-\d\d\)\n\n- New/m,
  );
  assert.deepEqual(copy.git("diff", "--name-only").split("\n"), [
    ...["CHANGELOG.md", "deno.json", "package-lock.json", "package.json", "src/version.ts"],
  ]);
  assert.equal(copy.git("tag"), "");

  copy.commit();
  assert.match(copy.release("0.2.0").output, /does not come after 0\.2\.0/);
  const tagged = copy.release("--tag", "v0.2.0");
  assert.equal(tagged.status, 0, tagged.output);
  assert.match(copy.release("--tag", "v0.3.0").output, /the tag is v0\.3\.0, and the version 0/);
}, { skip });

test("what fails its checks leaves nothing behind", (scope) => {
  const copy = new Copy(scope, "echo No; exit 1");
  const { status, output } = copy.release("0.2.0");
  assert.equal(status, 1, output);
  assert.match(output, /\nNo\n.*"bash \.ci\/run" failed/s);
  assert.equal(copy.git("status", "--porcelain"), "");
}, { skip });

test("nothing is released with changes that are not committed", (scope) => {
  const copy = new Copy(scope);
  copy.write("README.md", "changed");
  assert.match(copy.release("0.2.0").output, /changes that are not committed/);
}, { skip });

test("the first version is the one that stands there", (scope) => {
  const copy = new Copy(scope);
  copy.write("CHANGELOG.md", "# Changelog\n\n## Pending\n\nThe first.\n");
  copy.commit();
  const { status, output } = copy.release("0.1.0");
  assert.equal(status, 0, output);
  assert.equal(copy.git("diff", "--name-only"), "CHANGELOG.md");
}, { skip });

test("a tag is refused, and a release told, what the registries would refuse", (scope) => {
  const copy = new Copy(scope);
  copy.change("deno.json", { name: "@x/name" });
  copy.change("package.json", { repository: undefined });
  copy.run(process.execPath, "run", "-A", "scripts/manifest.ts");
  copy.commit();
  const { status, output } = copy.release("0.2.0");
  assert.equal(status, 0, output);
  assert.match(
    output,
    /until this is changed:\n- JSR takes no "@x\/name".*\n- package\.json names/,
  );
  copy.commit();
  const tagged = copy.release("--tag", "v0.2.0");
  assert.equal(tagged.status, 1);
  assert.match(tagged.output, /Cannot publish as JSR takes no "@x\/name".*package\.json names no/);
}, { skip });

test("a scope and a repository are what the registries take", () => {
  const of = (name: string, repository: unknown) =>
    obstacles({ name, version: "1.0.0", license: "MIT", exports: {} }, {
      description: "",
      dependencies: {},
      peerDependencies: {},
      devDependencies: {},
      repository,
    }).length;
  const url = "git+https://github.com/scope/name.git";
  assert.equal(of("@scope/name", { type: "git", url }), 0);
  assert.equal(of("@scope/name", url), 0);
  for (const name of ["name", "@x/name", "@Scope/name", `@${"s".repeat(21)}/name`]) {
    assert.equal(of(name, url), 1, name);
  }
  for (const repository of [undefined, null, "", { url: "https://example.com/scope/name" }]) {
    assert.equal(of("@scope/name", repository), 1, JSON.stringify(repository));
  }
});
