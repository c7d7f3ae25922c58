// What is in the packed npm package. Runs once, on Node 22 and later or on Deno.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { isBuiltin } from "node:module";
import { join, posix } from "node:path";
import { test, type TestContext } from "node:test";
import { build, type BuildOptions, type Metafile } from "esbuild";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import {
  denoManifest,
  entryPoints,
  programs,
  root,
  tsupConditions,
  tsupProgram,
} from "../../scripts/manifest.ts";
import { installPackage, packPackage, run, temporaryFolder } from "../../scripts/package_suite.ts";

const { tarball, files, size, unpackedSize } = await packPackage();
const dir = await temporaryFolder();
await installPackage(dir, tarball, []);
const installed = join(dir, "node_modules", denoManifest().name);

test("the package holds the build, four texts and nothing else", (t: TestContext) => {
  t.diagnostic(`${files.length} files, ${size} bytes packed, ${unpackedSize} unpacked`);
  const outside = files.filter((file) => !file.startsWith("dist/")).sort();
  assert.deepEqual(outside, ["CHANGELOG.md", "LICENSE", "README.md", "package.json"]);
  const built = new Set(files.filter((file) => file.startsWith("dist/")));
  for (const entry of entryPoints()) {
    for (const { types, default: code } of Object.values(tsupConditions(entry))) {
      for (const file of [types, code, `${code}.map`]) {
        assert.ok(built.delete(posix.normalize(file)), `${file} is missing`);
      }
    }
  }
  for (const file of programs().map(tsupProgram)) {
    for (const each of [file, `${file}.map`]) assert.ok(built.delete(each), `${each} is missing`);
  }
  for (const file of built) {
    assert.match(file, /^dist\/\w+-\w{8}\.(js|cjs|js\.map|cjs\.map|d\.ts|d\.cts)$/);
  }
});

test("every built file is used by an entry point", async () => {
  const used = new Set<string>();
  const visit = async (file: string): Promise<void> => {
    if (used.has(file)) return;
    used.add(file);
    const text = await readFile(join(installed, file), "utf8");
    for (const [, path = ""] of text.matchAll(/(?:from |require\(|import\()['"](\.[^'"]+)['"]/g)) {
      // Declarations name the code beside them.
      const code = posix.join(posix.dirname(file), path);
      await visit(/\.d\.c?ts$/.test(file) ? code.replace(/\.(c?)js$/, ".d.$1ts") : code);
    }
    if (/\.c?js$/.test(file)) used.add(`${file}.map`);
  };
  for (const entry of entryPoints()) {
    for (const { types, default: code } of Object.values(tsupConditions(entry))) {
      await visit(posix.normalize(types));
      await visit(posix.normalize(code));
    }
  }
  for (const program of programs()) await visit(tsupProgram(program));
  assert.deepEqual([...used].sort(), files.filter((file) => file.startsWith("dist/")).sort());
});

test("publint has nothing to say", async () => {
  const { messages, pkg } = await publint({ pkgDir: installed, strict: true, pack: false });
  assert.deepEqual(messages.map((message) => formatMessage(message, pkg)), []);
});

test("the types are right for every module system that knows `exports`", async () => {
  const cli = join(root, "node_modules", "@arethetypeswrong", "cli", "dist", "index.js");
  // Throws when there is a problem. `node16` leaves out only the resolution of before Node 12.
  const { stdout } = await run("node", [cli, tarball, "--profile", "node16", "-f", "json"], dir);
  const { analysis: { entrypoints } } = JSON.parse(stdout);
  assert.deepEqual(Object.keys(entrypoints), [
    ...entryPoints().map(({ key }) => key),
    "./package.json",
  ]);
});

test("source maps hold every source that code comes from, as it is", async () => {
  const sources = new Set<string>();
  for (const file of files.filter((file) => file.endsWith(".map"))) {
    const map = JSON.parse(await readFile(join(installed, file), "utf8"));
    for (const [i, path] of (map.sources as string[]).entries()) {
      const source = posix.join(posix.dirname(file), path);
      assert.equal(map.sourcesContent[i], await readFile(join(root, source), "utf8"), source);
      sources.add(source);
    }
  }
  const { outputs } = await bundle({
    absWorkingDir: root,
    entryPoints: [...entryPoints(), ...programs()].map(({ source }) => source),
    packages: "external",
  });
  const expected = Object.values(outputs).flatMap(({ inputs }) =>
    Object.entries(inputs).filter(([, { bytesInOutput }]) => bytesInOutput > 0).map(([path]) =>
      path
    )
  );
  assert.deepEqual([...sources].sort(), [...new Set(expected)].sort());
});

test("the command runs", async () => {
  const npx = (...args: string[]) => run("npx", ["--no-install", "socketio-pg", ...args], dir);
  assert.match((await npx("--help")).stdout, /^Socket\.IO over PostgreSQL, from a shell\.\n/);
  assert.equal((await npx("--version")).stdout, `${denoManifest().version}\n`);
  assert.match((await npx("install-sql", "--print")).stdout, /create schema socketio/);
  await assert.rejects(npx("emit"), /ended with 2\n.*without the name of an event/s);
});

for (const extension of ["js", "cjs"]) {
  test(`emitter.${extension} needs neither Node nor a package of Socket.IO`, async () => {
    const { outputs } = await bundle({
      absWorkingDir: installed,
      entryPoints: [`dist/emitter.${extension}`],
      packages: "external",
    });
    const imports = new Set(
      Object.values(outputs).flatMap(({ imports }) => imports.map(({ path }) => path)),
    );
    const refused = [...imports].filter((path) => isBuiltin(path) || /^socket\.io/.test(path));
    assert.deepEqual(refused, []);
    assert.deepEqual([...imports].filter((path) => path !== "postgres"), []);
  });
}

/** What a bundle is made of. */
async function bundle(options: BuildOptions): Promise<Metafile> {
  const { metafile } = await build({
    ...options,
    bundle: true,
    metafile: true,
    write: false,
    outdir: "/",
    format: "esm",
    platform: "neutral",
    logLevel: "silent",
  });
  if (metafile === undefined) throw new Error("esbuild made no metafile");
  return metafile;
}
