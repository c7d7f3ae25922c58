// The packed npm package in the hands of its users: modules, CommonJS and TypeScript in each of its module systems, in
// a folder that has nothing of this project but the tarball. Runs once, on Node 22 and later or on Deno.
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import * as source from "../../mod.ts";
import * as emitterSource from "../../src/emitter.ts";
import { sqlText } from "../../src/sql.ts";
import { blocksOf, markdownFiles } from "../../scripts/docs/markdown.ts";
import { isCommonJs } from "../../scripts/docs/type_check.ts";
import { denoManifest, entryPoints, root, tsupConditions } from "../../scripts/manifest.ts";
import { installPackage, packPackage, run, temporaryFolder } from "../../scripts/package_suite.ts";
import { givenTools, type Tool } from "../../scripts/test/consumer_tools.ts";
import { exportedNames, type ModuleOptions, OWN_COMPILER, typeErrors } from "./type_check.ts";

const { name, version } = denoManifest();
const dir = await temporaryFolder();
await installPackage(dir, (await packPackage()).tarball, [
  "socket.io",
  "postgres",
  "@opentelemetry/api",
]);

/** Runs a program in the folder, and returns what it printed. */
async function node(file: string, code: string): Promise<string> {
  await writeFile(join(dir, file), code);
  return (await run("node", [file], dir)).stdout.trim();
}

test("the README of 2014 works word by word", async () => {
  // No server is there: the adapter goes on trying, which is no concern of the process.
  const printed = await node(
    "seed.cjs",
    `
    process.env.PGHOST = "127.0.0.1";
    process.env.PGPORT = "1";
    var server = require('http').createServer();
    var io = require('socket.io')(server);
    var pg = require('${name}');
    io.adapter(pg('postgresql://'));
    var main = io.of('/').adapter;
    console.log(main instanceof pg.PgAdapter, typeof main.uid, main.prefix, main.channel);
    io.close();

    var other = require('socket.io')(require('http').createServer());
    var adapter = pg({ uri: 'postgresql://', prefix: 'app' });
    adapter.on('error', function(){});
    other.adapter(adapter);
    console.log(other.of('/').adapter.prefix);
    other.close();
    `,
  );
  assert.deepEqual(printed.split("\n"), ["true string socket.io socket.io:/", "app"]);
});

test("the blocks of CommonJS in the documentation run", async () => {
  const blocks = markdownFiles().flatMap(blocksOf).filter(isCommonJs);
  assert.ok(blocks.length > 0);
  for (const { file, line, before, code } of blocks) {
    // Any port, and no database: they are to do what they say without one.
    const printed = await node(
      "block.cjs",
      `process.env.PGHOST = "127.0.0.1";
      process.env.PGPORT = "1";
      ${before}${code.replaceAll("3000", "0")}
      setImmediate(() => {
        console.log("It runs");
        process.exit();
      });`,
    );
    assert.equal(printed, "It runs", `${file}:${line}`);
  }
});

test("require() gives the function itself, with every export on it", async () => {
  const printed = await node(
    "require.cjs",
    `
    const pgAdapter = require("${name}");
    const { pgAdapter: named, PgAdapter, PgAdapterError, default: standard } = pgAdapter;
    const { Emitter, PgAdapterError: OfEmitter } = require("${name}/emitter");
    console.log(JSON.stringify({
      exports: Object.keys(pgAdapter).sort(),
      same: named === pgAdapter && standard === pgAdapter && OfEmitter === PgAdapterError,
      types: [typeof PgAdapter, typeof PgAdapterError, typeof Emitter],
      version: require("${name}/package.json").version,
    }));
    `,
  );
  assert.deepEqual(JSON.parse(printed), {
    exports: Object.keys(source).sort(),
    same: true,
    types: ["function", "function", "function"],
    version,
  });
});

test("import gives the function as default and by name", async () => {
  const printed = await node(
    "import.mjs",
    `
    import pgAdapter, { pgAdapter as named, PgAdapter, PgAdapterError } from "${name}";
    import * as all from "${name}";
    import { Emitter, PgAdapterError as OfEmitter } from "${name}/emitter";
    import * as emitter from "${name}/emitter";
    console.log(JSON.stringify({
      exports: Object.keys(all).sort(),
      emitter: Object.keys(emitter).sort(),
      same: named === pgAdapter && OfEmitter === PgAdapterError,
      types: [typeof PgAdapter, typeof PgAdapterError, typeof Emitter],
    }));
    `,
  );
  assert.deepEqual(JSON.parse(printed), {
    exports: Object.keys(source).sort(),
    emitter: Object.keys(emitterSource).sort(),
    same: true,
    types: ["function", "function", "function"],
  });
});

test("the SQL is that of the source, from either build", async () => {
  const printed = await node(
    "sql.mjs",
    `
    import { createRequire } from "node:module";
    import { sqlText } from "${name}/sql";
    const { sqlText: required } = createRequire(import.meta.url)("${name}/sql");
    console.log(JSON.stringify([sqlText(), required()]));
    `,
  );
  assert.deepEqual(JSON.parse(printed), [sqlText(), sqlText()]);
});

test("traces are made by the OpenTelemetry that the application has, from either build", async () => {
  const printed = await node(
    "opentelemetry.mjs",
    `
    import { createRequire } from "node:module";
    import { propagation, trace } from "@opentelemetry/api";
    import { openTelemetry } from "${name}/opentelemetry";
    const required = createRequire(import.meta.url)("${name}/opentelemetry");
    propagation.setGlobalPropagator({ inject: (_context, carrier) => carrier.set = "yes" });
    const message = { nsp: "/", verb: "emit", rooms: [], except: [], bytes: 1 };
    const sent = [openTelemetry(), required.openTelemetry()].map((each) => each.send(message));
    console.log(JSON.stringify([sent, Object.keys(required)]));
    `,
  );
  assert.deepEqual(JSON.parse(printed), [[{ set: "yes" }, { set: "yes" }], ["openTelemetry"]]);
});

test("an instance of the CommonJS copy is one for Node's own import of it", async () => {
  const printed = await node(
    "interop.mjs",
    `
    import { createRequire } from "node:module";
    const path = createRequire(import.meta.url).resolve("${name}");
    const { default: pgAdapter, PgAdapterError } = await import(path);
    console.log(path.endsWith(".cjs"), typeof pgAdapter, PgAdapterError === pgAdapter.PgAdapterError);
    `,
  );
  assert.equal(printed, "true function true");
});

/** The same program in each module system, after its imports. */
const PROGRAM = `
import { Server } from "socket.io";
import { Emitter } from "${name}/emitter";

interface ToClient { news: (text: string, count: number) => void }
interface ToServer { ask: (question: string, answer: (text: string) => void) => void }

const options: PgAdapterOptions = { prefix: "app", heartbeatInterval: 5_000 };
const factory: PgAdapterFactory = pgAdapter("postgresql://", options);
const io = new Server<ToServer, ToClient>({ adapter: factory });
io.adapter(named(new URL("postgresql://127.0.0.1/db")));
io.to("room").emit("news", "text", 1);
// @ts-expect-error: the events of the application keep their types.
io.emit("news", 1);
// @ts-expect-error: no target is a number.
pgAdapter(42);
// @ts-expect-error: there is no such option.
pgAdapter({ prefixes: "app" });

factory.on("error", (error) => {
  const code: string = error.code;
  const isOurs: boolean = error instanceof PgAdapterError;
  console.log(code, isOurs);
});
const adapter = io.of("/").adapter;
if (adapter instanceof PgAdapter) {
  const facts: [string, string, Promise<number>] = [adapter.uid, adapter.prefix, adapter.serverCount()];
  console.log(facts);
}
export async function stop(): Promise<void> {
  await factory.ready();
  await factory.close();
  const emitter = new Emitter("postgresql://");
  await emitter.to("room").emit("news", "text", 1);
  await emitter.close();
}
`;

const NAMES = "PgAdapter, PgAdapterError, type PgAdapterFactory, type PgAdapterOptions";
const IMPORT = `import pgAdapter, { pgAdapter as named, ${NAMES} } from "${name}";\n${PROGRAM}`;
const IMPORT_REQUIRE = `
import pgAdapter = require("${name}");
import { pgAdapter as named, PgAdapter, PgAdapterError } from "${name}";
type PgAdapterFactory = pgAdapter.PgAdapterFactory;
type PgAdapterOptions = pgAdapter.PgAdapterOptions;
${PROGRAM}`;

/** The files of a user by what `tsconfig.json` says about modules. */
const PROJECTS: Record<string, { files: Record<string, string>; modules: ModuleOptions }> = {
  "nodenext": {
    files: { "module.mts": IMPORT, "common.cts": IMPORT, "require.cts": IMPORT_REQUIRE },
    modules: { module: "nodenext" },
  },
  "a bundler": {
    files: { "bundler.ts": IMPORT },
    modules: { module: "esnext", moduleResolution: "bundler" },
  },
  "node16, without esModuleInterop": {
    files: { "bare.cts": IMPORT_REQUIRE },
    modules: { module: "node16", esModuleInterop: false },
  },
};

const compilers: Tool[] = givenTools().filter(({ kind }) => kind === "typescript");
if (compilers.length === 0) {
  compilers.push({ kind: "typescript", title: "TypeScript 5", path: OWN_COMPILER });
}
for (const { title, path } of compilers) {
  for (const [name, { files, modules }] of Object.entries(PROJECTS)) {
    // Past version 5 there is no way to do without it.
    if (modules.esModuleInterop === false && title !== "TypeScript 5") continue;
    test(`${title}, for ${name}`, async () => {
      for (const [file, code] of Object.entries(files)) await writeFile(join(dir, file), code);
      assert.equal(await typeErrors(dir, Object.keys(files), modules, path), "");
    });
  }
}

test("what TypeScript sees exported is the same in the source and in both formats", () => {
  for (const entry of entryPoints()) {
    const conditions = tsupConditions(entry);
    const expected = exportedNames(join(root, entry.source));
    assert.ok(expected.length > 1, `${entry.source} exports ${expected}`);
    for (const { types } of Object.values(conditions)) {
      assert.deepEqual(exportedNames(join(dir, "node_modules", name, types)), expected, types);
    }
  }
});
