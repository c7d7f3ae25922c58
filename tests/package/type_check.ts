import { dirname, join } from "node:path";
import ts from "typescript";
import { denoManifest, root } from "../../scripts/manifest.ts";

/** What `tsconfig.json` of a user says about modules. */
export type ModuleOptions = Pick<
  ts.CompilerOptions,
  "module" | "moduleResolution" | "esModuleInterop"
>;

/**
 * Checks files of a user's project, strictly, and the declarations of the package as they see them; those of other
 * packages are not this package's concern.
 *
 * @returns What is wrong, as `tsc` prints it.
 */
export function typeErrors(files: readonly string[], modules: ModuleOptions): string {
  const program = ts.createProgram(files, {
    target: ts.ScriptTarget.ES2022,
    strict: true,
    noEmit: true,
    typeRoots: [join(root, "node_modules", "@types")],
    types: ["node"],
    ...modules,
  });
  const installed = join(dirname(files[0] ?? ""), "node_modules", denoManifest().name, "/");
  const checked = program.getSourceFiles().filter(({ fileName }) =>
    files.includes(fileName) || fileName.startsWith(installed)
  );
  if (checked.length === files.length) throw new Error(`No declarations of ${installed} were used`);
  const diagnostics = [
    ...program.getOptionsDiagnostics(),
    ...checked.flatMap((file) => [
      ...program.getSyntacticDiagnostics(file),
      ...program.getSemanticDiagnostics(file),
    ]),
  ];
  return ts.formatDiagnostics(diagnostics, {
    getCanonicalFileName: (name) => name,
    getCurrentDirectory: () => root,
    getNewLine: () => "\n",
  });
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
