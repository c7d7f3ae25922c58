// How the CommonJS half becomes callable, for the shapes that the two builders leave. dnt itself cannot run where JSR is
// out of reach; what it makes of these sources is what `tsc` makes of them. Runs once, on Node 22 and later or on Deno.
import assert from "node:assert/strict";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import ts from "typescript";
import { dntManifest } from "../../scripts/build_npm.ts";
import { callableCode, callableTypes, makeCallable } from "../../scripts/callable.ts";
import { denoManifest, entryPoints, root } from "../../scripts/manifest.ts";
import { filesUnder, run, temporaryFolder } from "../../scripts/package_suite.ts";
import { typeErrors } from "./type_check.ts";

test("a package of one file for each source, as dnt makes it", async () => {
  const { name } = denoManifest();
  const dir = await temporaryFolder();
  const built = join(dir, "node_modules", name);
  const { dependencies, ...manifest } = dntManifest();
  const packages = { ...dependencies as object, ...manifest["peerDependencies"] as object };
  for (const dependency of Object.keys(packages)) {
    const link = join(dir, "node_modules", dependency);
    await mkdir(dirname(link), { recursive: true });
    await symlink(join(root, "node_modules", dependency), link);
  }
  for (const file of ["mod.ts", ...filesUnder("src")]) {
    await write(
      join(dir, "source", file),
      (await readFile(join(root, file), "utf8")).replaceAll(
        /(from |import\()"(\.[^"]+)\.ts"/g,
        '$1"$2.js"',
      ),
    );
  }
  ts.createProgram(entryPoints().map(({ source }) => join(dir, "source", source)), {
    outDir: join(built, "script"),
    declaration: true,
    sourceMap: true,
    noCheck: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.CommonJS,
    moduleResolution: ts.ModuleResolutionKind.Node10,
    typeRoots: [join(root, "node_modules", "@types")],
    types: ["node"],
  }).emit();
  await write(join(built, "script", "package.json"), JSON.stringify({ type: "commonjs" }));
  await write(join(built, "package.json"), JSON.stringify(manifest));
  await makeCallable({
    code: join(built, "script", "mod.js"),
    types: join(built, "script", "mod.d.ts"),
  });

  const entries = entryPoints().map(({ key, source }) => ({ path: name + key.slice(1), source }));
  await write(
    join(dir, "main.cjs"),
    `const pgAdapter = require("${name}");
    const names = (path) => Object.keys(require(path)).filter((key) => key !== "__esModule").sort();
    console.log(JSON.stringify([
      typeof pgAdapter,
      pgAdapter.default === pgAdapter,
      ...${JSON.stringify(entries.map(({ path }) => path))}.map(names),
    ]));`,
  );
  const { stdout } = await run("node", ["main.cjs"], dir);
  const expected = entries.map(async ({ source }) =>
    Object.keys(await import(pathToFileURL(join(root, source)).href)).sort()
  );
  assert.deepEqual(JSON.parse(stdout), ["function", true, ...await Promise.all(expected)]);

  await write(
    join(dir, "main.cts"),
    `import pgAdapter = require("${name}");
    import { PgAdapter, PgAdapterError, type PgAdapterFactory } from "${name}";
    const options: pgAdapter.PgAdapterOptions = { prefix: "app" };
    export const factory: PgAdapterFactory = pgAdapter("postgresql://", options);
    export const again: PgAdapterFactory = pgAdapter.default(new URL("postgresql://"));
    export const channel: string = new factory({} as pgAdapter.AdapterNamespace).channel;
    export const classes = [PgAdapter, pgAdapter.PgAdapter, PgAdapterError];
    // @ts-expect-error: no target is a number.
    pgAdapter(42);`,
  );
  assert.equal(await typeErrors(dir, ["main.cts"], { module: "nodenext" }), "");
});

test("the code keeps its source map's comment as the last line, once", () => {
  const comment = "//# sourceMappingURL=mod.cjs.map";
  const lines = callableCode(`exports.default = run;\n${comment}\n${comment}`).trim().split("\n");
  assert.deepEqual([lines.length, lines[0], lines[2]], [3, "exports.default = run;", comment]);
});

const refused: Record<string, string> = {
  "no default export": `declare function run(): void;\nexport { run };`,
  "not declared there as a function": `declare const run: () => void;\nexport { run as default };`,
  "only lists of names":
    `declare function run(): void;\nexport * from "./x.js";\nexport { run as default };`,
};
for (const [message, declarations] of Object.entries(refused)) {
  test(`declarations that cannot be made callable are refused: ${message}`, async () => {
    const file = join(await temporaryFolder(), "mod.d.cts");
    await write(file, declarations);
    await assert.rejects(callableTypes(file), new RegExp(`mod\\.d\\.cts callable: .*${message}`));
  });
}

async function write(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
}
