/** The npm package: ECMAScript modules, CommonJS, and declarations for each. */
import { readdirSync, statSync } from "node:fs";
import { build, defineConfig, type Options } from "tsup";
import { makeCallable } from "./scripts/callable.ts";
import { type EntryPoint, entryPoints, programs } from "./scripts/manifest.ts";

const shared: Options = {
  entry: entries(entryPoints()),
  target: "node20",
  platform: "node",
  // `import "crypto"` would take a package of that name at the edge.
  removeNodeProtocol: false,
  // Only warnings that come with every build are silenced; errors still show.
  silent: true,
};

const code: Options = {
  ...shared,
  sourcemap: true,
  // One copy of what both entry points need, so that an error class is the same in both.
  splitting: true,
  // By Rollup: without it, tsup splits CommonJS with a tool that rewrites modern syntax into slow helpers.
  treeshake: true,
};

const config: Options = {
  ...code,
  // Programs are modules only: nobody requires them.
  entry: entries([...entryPoints(), ...programs()]),
  format: ["esm"],
  clean: true,
  async onSuccess() {
    await build({ ...code, config: false, format: ["cjs"] });
    // A build of its own, as this hook does not wait for declarations.
    await build({ ...shared, config: false, format: ["esm", "cjs"], dts: { only: true } });
    for (const { key, name } of entryPoints()) {
      if (key !== ".") continue;
      await makeCallable({ code: `dist/${name}.cjs`, types: `dist/${name}.d.cts` });
    }
    for (const file of readdirSync("dist").sort()) {
      console.log(`dist/${file} ${statSync(`dist/${file}`).size}`);
    }
  },
};

function entries(list: readonly EntryPoint[]): Record<string, string> {
  return Object.fromEntries(list.map(({ name, source }) => [name, source]));
}

export default defineConfig(config);
