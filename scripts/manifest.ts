/**
 * Keeps package.json, package-lock.json and src/version.ts in step with deno.json, where the name, the version and
 * the entry points stand: `deno run -A scripts/manifest.ts` writes them, with `--check` it fails when they differ.
 *
 * @module
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";

/** The folder of the project. */
export const root: string = fileURLToPath(new URL("..", import.meta.url));

/** What deno.json says about the package. */
export interface DenoManifest {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  /** Entry points and their sources, as in `"./emitter": "./src/emitter.ts"`. */
  readonly exports: Readonly<Record<string, string>>;
}

/** What a script reads in package.json. */
export interface NodeManifest {
  readonly description: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

/** An entry point of the package. */
export interface EntryPoint {
  /** The key in `exports`: `./emitter`. */
  readonly key: string;
  /** The source: `./src/emitter.ts`. */
  readonly source: string;
  /** The name of the built files, without an extension: `emitter`. */
  readonly name: string;
}

/** Exports of deno.json that are programs, which run when they are imported: npm has them as commands. */
const COMMANDS: Readonly<Record<string, string>> = { "./cli": "socketio-pg" };

/** A program of the package. */
export interface Program extends EntryPoint {
  /** What it is called in a shell. */
  readonly command: string;
}

/** The two builds of an entry point, without `.js` and `.d.ts`, or `.cjs` and `.d.cts`. */
export type Conditions = Readonly<
  Record<"import" | "require", {
    readonly types: string;
    readonly default: string;
  }>
>;

/** deno.json. */
export function denoManifest(): DenoManifest {
  return readJson("deno.json") as DenoManifest;
}

/** package.json. */
export function nodeManifest(): NodeManifest {
  return readJson("package.json") as NodeManifest;
}

/** The entry points that deno.json names, and that can be imported. */
export function entryPoints(manifest: DenoManifest = denoManifest()): EntryPoint[] {
  return exported(manifest).filter(({ key }) => !Object.hasOwn(COMMANDS, key));
}

/** The programs that deno.json names. */
export function programs(manifest: DenoManifest = denoManifest()): Program[] {
  return exported(manifest).flatMap((entry) => {
    const command = Object.hasOwn(COMMANDS, entry.key) ? COMMANDS[entry.key] : undefined;
    return command === undefined ? [] : [{ ...entry, command }];
  });
}

function exported({ exports }: DenoManifest): EntryPoint[] {
  return Object.entries(exports).map(([key, source]) => ({
    key,
    source,
    name: source.replace(/^.*\//, "").replace(/\.ts$/, ""),
  }));
}

/** Where tsup puts a program: a module, as nobody requires it. */
export function tsupProgram({ name }: EntryPoint): string {
  return `dist/${name}.js`;
}

/** Where tsup puts an entry point. */
export function tsupConditions({ name }: EntryPoint): Conditions {
  return {
    import: { types: `./dist/${name}.d.ts`, default: `./dist/${name}.js` },
    require: { types: `./dist/${name}.d.cts`, default: `./dist/${name}.cjs` },
  };
}

/** The fields of package.json that follow from deno.json. */
export function npmFields(
  manifest: DenoManifest = denoManifest(),
  conditions: (entry: EntryPoint) => Conditions = tsupConditions,
  program: (entry: EntryPoint) => string = tsupProgram,
): Record<string, unknown> {
  const entries = entryPoints(manifest);
  const main = entries.find(({ key }) => key === ".");
  if (main === undefined) throw new Error(`Cannot make package.json: deno.json exports no "."`);
  // For resolvers that do not know `exports`.
  const { types, default: code } = conditions(main).require;
  return {
    name: manifest.name,
    version: manifest.version,
    license: manifest.license,
    main: code,
    types,
    exports: {
      ...Object.fromEntries(entries.map((entry) => [entry.key, conditions(entry)])),
      "./package.json": "./package.json",
    },
    bin: Object.fromEntries(programs(manifest).map((each) => [each.command, program(each)])),
  };
}

/** The files that follow from deno.json, as they should be. */
function derived(): Map<string, unknown> {
  const fields = npmFields();
  const files = new Map<string, unknown>([["package.json", { ...nodeManifest(), ...fields }]]);
  if (existsSync(`${root}/package-lock.json`)) {
    const { name, version, license, bin } = fields;
    const lock = readJson("package-lock.json") as { packages: Record<string, object> };
    const packages = {
      ...lock.packages,
      "": { ...lock.packages[""], name, version, license, bin },
    };
    files.set("package-lock.json", { ...lock, name, version, packages });
  }
  return files;
}

/** The module that knows the version. */
const VERSION_MODULE = "src/version.ts";

function versionModule(): string {
  return `/** The version of the package. Made by scripts/manifest.ts out of deno.json. */
export const VERSION = ${JSON.stringify(denoManifest().version)};
`;
}

/** The names of the files that differ from what deno.json says. */
export function staleManifests(): string[] {
  const stale = [...derived()]
    .filter(([file, value]) => !isDeepStrictEqual(readJson(file), value))
    .map(([file]) => file);
  const module = readFileSync(`${root}/${VERSION_MODULE}`, "utf8");
  return module === versionModule() ? stale : [...stale, VERSION_MODULE];
}

function readJson(file: string): unknown {
  return JSON.parse(readFileSync(`${root}/${file}`, "utf8"));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const stale = staleManifests();
  if (process.argv.includes("--check")) {
    if (stale.length > 0) {
      console.error(`${stale.join(" and ")} differ from deno.json: run scripts/manifest.ts`);
      process.exitCode = 1;
    }
  } else {
    const files = derived();
    for (const file of stale) {
      const value = files.get(file);
      const text = value === undefined ? versionModule() : JSON.stringify(value, null, 2) + "\n";
      writeFileSync(`${root}/${file}`, text);
      console.log(`wrote ${file}`);
    }
  }
}
