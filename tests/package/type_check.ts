import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import ts from "typescript";
import { denoManifest, root } from "../../scripts/manifest.ts";
import { run } from "../../scripts/package_suite.ts";

/** What `tsconfig.json` of a user says about modules. */
export interface ModuleOptions {
  module: "nodenext" | "node16" | "esnext";
  moduleResolution?: "bundler";
  esModuleInterop?: boolean;
}

/** The compiler that builds the package. */
export const OWN_COMPILER: string = join(root, "node_modules", "typescript", "bin", "tsc");

/**
 * Checks files of a user's project, strictly, and the declarations of the package as they see them; those of other
 * packages are not this package's concern.
 *
 * @param files In the folder of the project, by name.
 * @param compiler The path of a `tsc`.
 * @returns What is wrong, as `tsc` prints it.
 */
export async function typeErrors(
  dir: string,
  files: readonly string[],
  modules: ModuleOptions,
  compiler: string = OWN_COMPILER,
): Promise<string> {
  await writeFile(
    join(dir, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        target: "es2022",
        strict: true,
        noEmit: true,
        listFiles: true,
        skipDefaultLibCheck: true,
        typeRoots: [join(root, "node_modules", "@types")],
        types: ["node"],
        ...modules,
      },
      files,
    }),
  );
  const output = await run("node", [compiler, "--pretty", "false", "-p", "."], dir).then(
    ({ stdout }) => stdout,
    (fault: Error) => fault.message,
  );
  const ours = `node_modules/${denoManifest().name}/`;
  const lines = output.split("\n");
  if (!lines.some((line) => line.startsWith("/") && line.includes(ours))) {
    throw new Error(`No declarations of ${ours} were used: ${output}`);
  }
  return lines.filter((line) => {
    const file = /^([^ (][^(]*)\(\d+,\d+\): error /.exec(line)?.[1];
    if (file === undefined) return /^error /.test(line);
    return !file.includes("node_modules/") || file.includes(ours);
  }).join("\n");
}

/** The names that a module exports, of values and of types. */
export function exportedNames(file: string): string[] {
  const program = ts.createProgram([file], {
    module: ts.ModuleKind.NodeNext,
    allowImportingTsExtensions: true,
    noEmit: true,
    noLib: true,
    types: [],
  });
  const source = program.getSourceFile(file);
  const checker = program.getTypeChecker();
  const symbol = source && checker.getSymbolAtLocation(source);
  if (symbol === undefined) throw new Error(`${file} is no module`);
  return checker.getExportsOfModule(symbol).map(({ name }) => name).sort();
}
