/**
 * Builds the npm package with dnt, in `npm/`: one file for each source instead of tsup's bundles; the same entry points,
 * the same names, and `require()` gives the same function.
 *
 * dnt is published on JSR only, so this needs a machine that reaches JSR: `deno run -A scripts/build_npm.ts`. What CI
 * builds, tests and proves is tsup's package (`npm run build`); of this one it proves what both share.
 *
 * @module
 */
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { makeCallable } from "./callable.ts";
import {
  type Conditions,
  denoManifest,
  type EntryPoint,
  entryPoints,
  nodeManifest,
  npmFields,
  programs,
  root,
} from "./manifest.ts";

/** In a variable, so that type checks and lock files leave JSR alone. */
const DNT = "jsr:@deno/dnt@^0.43.2";

/** What this script uses of dnt, as its documentation has it. */
interface Dnt {
  build(options: BuildOptions): Promise<void>;
}

/** An entry point, or with `kind` a program, as dnt is given it. */
export interface DntEntryPoint {
  readonly kind?: "bin";
  readonly name: string;
  /** The absolute path of the source. */
  readonly path: string;
}

/** Options of dnt's `build()`. */
interface BuildOptions {
  entryPoints: DntEntryPoint[];
  outDir: string;
  /** Globals to replace; the sources need none. */
  shims: Record<string, never>;
  /** Whether to check ECMAScript modules and CommonJS each by itself. */
  typeCheck: "both" | "single" | false;
  /** Whether to run `Deno.test()` tests; there are none. */
  test: boolean;
  scriptModule: "cjs" | "umd" | false;
  declaration: "inline" | "separate" | false;
  declarationMap: boolean;
  /** Leave out the copy of the sources; the source maps have them. */
  skipSourceOutput: boolean;
  importMap: string;
  compilerOptions: {
    target: "ES2022";
    lib: string[];
    sourceMap: boolean;
    inlineSources: boolean;
    noUncheckedIndexedAccess: boolean;
  };
  package: Record<string, unknown>;
  postBuild(): Promise<void>;
}

/** Where dnt puts an entry point. */
export function dntConditions({ source }: EntryPoint): Conditions {
  const stem = source.replace(/^\.\//, "").replace(/\.ts$/, "");
  return {
    import: { types: `./esm/${stem}.d.ts`, default: `./esm/${stem}.js` },
    require: { types: `./script/${stem}.d.ts`, default: `./script/${stem}.js` },
  };
}

/** Where dnt puts a program. */
export function dntProgram({ source }: EntryPoint): string {
  return source.replace(/^\.\//, "esm/").replace(/\.ts$/, ".js");
}

/** What dnt is to build. */
export function dntEntryPoints(): DntEntryPoint[] {
  const path = ({ source }: EntryPoint) => join(root, source);
  return [
    ...entryPoints().map((entry) => ({ name: entry.key, path: path(entry) })),
    ...programs().map((each) => ({ kind: "bin" as const, name: each.command, path: path(each) })),
  ];
}

/** The fields of package.json that hold for both builds. */
export function dntManifest(): Record<string, unknown> {
  const {
    devDependencies: _tools,
    scripts: _scripts,
    files: _files,
    ...fields
  } = nodeManifest();
  return { ...fields, ...npmFields(denoManifest(), dntConditions, dntProgram) };
}

async function loadDnt(): Promise<Dnt> {
  try {
    return await import(DNT);
  } catch (cause) {
    throw new Error(
      `Cannot build with dnt as ${DNT} cannot be loaded: run this with Deno on a machine that reaches JSR, ` +
        `or make the same package with "npm run build"`,
      { cause },
    );
  }
}

async function buildWithDnt(): Promise<void> {
  const { build } = await loadDnt();
  const outDir = join(root, "npm");
  const temporary = await mkdtemp(join(tmpdir(), "dnt-"));
  try {
    // dnt does not read package.json, where the dependencies stand.
    const importMap = join(temporary, "import_map.json");
    const { dependencies, peerDependencies } = nodeManifest();
    const imports = Object.entries({ ...dependencies, ...peerDependencies })
      .map(([name, version]) => [name, `npm:${name}@${version}`]);
    await writeFile(importMap, JSON.stringify({ imports: Object.fromEntries(imports) }));
    await rm(outDir, { recursive: true, force: true });
    await build({
      entryPoints: dntEntryPoints(),
      outDir,
      shims: {},
      typeCheck: "both",
      test: false,
      scriptModule: "cjs",
      declaration: "inline",
      declarationMap: false,
      skipSourceOutput: true,
      importMap,
      compilerOptions: {
        target: "ES2022",
        lib: ["ES2023", "ES2024.String", "ESNext.Disposable"],
        sourceMap: true,
        inlineSources: true,
        noUncheckedIndexedAccess: true,
      },
      package: dntManifest(),
      async postBuild() {
        await makeCallable({
          code: join(outDir, "script", "mod.js"),
          types: join(outDir, "script", "mod.d.ts"),
        });
        for (const file of ["README.md", "CHANGELOG.md", "LICENSE"]) {
          await cp(join(root, file), join(outDir, file));
        }
      },
    });
  } finally {
    await rm(temporary, { recursive: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildWithDnt();
