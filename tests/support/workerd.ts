/** A Cloudflare Worker in the real runtime, `workerd`. */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { temporaryFolder } from "../../scripts/package_suite.ts";
import { freePort } from "./postgres.ts";
import type { Scope } from "./test.ts";
import { until } from "./wait.ts";

/** The program of the npm package, where there is one for this machine that starts. */
export function workerdPath(): string | undefined {
  try {
    const require = createRequire(import.meta.url);
    const path = (require("workerd") as { default: string }).default;
    return existsSync(path) && spawnSync(path, ["--version"]).status === 0 ? path : undefined;
  } catch (_notInstalled) {
    // There is none for this platform.
    return undefined;
  }
}

/** A worker as it is deployed. */
export interface Bundle {
  readonly code: string;
  /** Bytes, compressed by gzip: what Cloudflare counts. */
  readonly gzipped: number;
}

/** Bundles a worker as wrangler does: what is left are modules of the runtime. */
export async function bundleWorker(source: string): Promise<Bundle> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL(`../../${source}`, import.meta.url))],
    bundle: true,
    write: false,
    minify: true,
    format: "esm",
    target: "es2022",
    conditions: ["workerd", "worker", "browser"],
    external: ["cloudflare:*", "node:*"],
  });
  const code = outputFiles[0]!.text;
  return { code, gzipped: gzipSync(code).length };
}

/** A worker that is running. */
export interface Worker {
  readonly url: string;
  /** What it has printed. */
  output(): string;
}

/** Runs a worker until the test ends; it may connect to this machine. */
export async function startWorker(
  t: Scope,
  { code }: Bundle,
  env: Readonly<Record<string, string>>,
): Promise<Worker> {
  const dir = await temporaryFolder();
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const port = await freePort();
  const bindings = Object.entries(env)
    .map(([name, text]) => `(name = ${JSON.stringify(name)}, text = ${JSON.stringify(text)})`);
  await writeFile(join(dir, "worker.js"), code);
  await writeFile(
    join(dir, "config.capnp"),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "network", network = (allow = ["public", "private", "local"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  compatibilityDate = "2026-01-01",
  compatibilityFlags = ["nodejs_compat"],
  bindings = [${bindings.join(", ")}],
  globalOutbound = "network",
);
`,
  );
  const child = spawn(workerdPath()!, ["serve", join(dir, "config.capnp")]);
  let output = "";
  child.stdout.on("data", (data) => output += data);
  child.stderr.on("data", (data) => output += data);
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  t.after(async () => {
    child.kill();
    await ended;
  });
  const url = `http://127.0.0.1:${port}`;
  await until("the worker answers", async () => {
    if (child.exitCode !== null) throw new Error(`workerd has ended: ${output}`);
    return await fetch(url).then((response) => response.text(), () => "");
  });
  return { url, output: () => output };
}
