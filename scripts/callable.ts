/**
 * Makes the CommonJS half of the npm package callable: `require(name)` is the default export itself, with every export
 * as a property, and the declarations say so with `export =` and a namespace that merges with the function.
 *
 * Both builders end here, whatever shape their output has: tsup bundles the function into the entry file, `tsc` (and so
 * dnt) leaves an entry file that only re-exports from its neighbours.
 */
import { readFile, writeFile } from "node:fs/promises";
import { dirname, posix, resolve } from "node:path";
import ts from "typescript";

/** The two files of a CommonJS entry point. */
export interface CommonJsEntry {
  /** The code; `exports.default` is a function. */
  readonly code: string;
  /** The declarations; the default export is a declared function. */
  readonly types: string;
}

/** Rewrites both files of a CommonJS entry point in place. */
export async function makeCallable({ code, types }: CommonJsEntry): Promise<void> {
  await writeFile(code, callableCode(await readFile(code, "utf8")));
  await writeFile(types, await callableTypes(types));
}

const SOURCE_MAP_COMMENT = /^\/\/# sourceMappingURL=.*$/gm;

/** The code of an entry point whose `module.exports` is its default export. */
export function callableCode(code: string): string {
  const [comment = ""] = code.match(SOURCE_MAP_COMMENT) ?? [];
  const body = code.replaceAll(SOURCE_MAP_COMMENT, "").trimEnd();
  return `${body}\nmodule.exports = Object.assign(module.exports.default, module.exports);\n${comment}\n`;
}

/** The declarations of an entry point whose `module.exports` is its default export. */
export async function callableTypes(file: string): Promise<string> {
  const source = await parse(file);
  const imports = new Imports();
  const members: string[] = [];
  let declarations = "";
  let callable: { name: string; from: string | undefined } | undefined;

  for (const statement of source.statements) {
    if (!ts.isExportDeclaration(statement)) {
      if (isExported(statement)) throw unsupported(file, statement);
      declarations += statement.getFullText(source);
      continue;
    }
    if (statement.exportClause === undefined || !ts.isNamedExports(statement.exportClause)) {
      throw unsupported(file, statement);
    }
    const from = specifierOf(statement);
    for (const element of statement.exportClause.elements) {
      const original = (element.propertyName ?? element.name).text;
      const name = element.name.text;
      const type = statement.isTypeOnly || element.isTypeOnly ? "type " : "";
      if (name === "default") callable = { name: original, from };
      if (from === undefined || name === "default") {
        members.push(type + alias(original, name));
      } else {
        members.push(type + name);
        imports.add(name, `${type}${alias(original, name)}`, from);
      }
    }
  }

  if (callable === undefined) throw new Error(`Cannot make ${file} callable: no default export`);
  const { name, from } = callable;
  if (from === undefined) {
    functionsNamed(source, name);
  } else {
    // A namespace merges only with a function of its own file, so the signatures move here.
    imports.delete(name);
    declarations += await moveFunction(name, file, from, imports);
  }
  return [
    ...imports.lines(),
    declarations.trim(),
    `declare namespace ${name} {`,
    `  export { ${members.join(", ")} };`,
    `}`,
    `export = ${name};`,
    "",
  ].join("\n");
}

/** The overloads of a function that another file declares; adds the imports that they need. */
async function moveFunction(
  name: string,
  file: string,
  from: string,
  imports: Imports,
): Promise<string> {
  const path = resolve(dirname(file), from.replace(/\.([cm]?)[jt]s$/, ".d.$1ts"));
  const source = await parse(path);
  const functions = functionsNamed(source, name);
  const used = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node)) used.add(node.text);
    ts.forEachChild(node, visit);
  };
  functions.forEach(visit);

  for (const statement of source.statements) {
    if (ts.isImportDeclaration(statement)) {
      moveImport(statement, used, from, imports);
    } else if (isExported(statement) && !ts.isFunctionDeclaration(statement)) {
      const declared = (statement as ts.DeclarationStatement).name?.text;
      if (declared !== undefined && used.has(declared)) imports.add(declared, declared, from);
    }
  }
  return functions
    .map((node) =>
      node.getFullText(source).replace(/\bexport declare function\b/, "declare function")
    )
    .join("");
}

/** Adds the used names of an import that stands in the file that is imported by the path `via`. */
function moveImport(
  statement: ts.ImportDeclaration,
  used: Set<string>,
  via: string,
  imports: Imports,
): void {
  const specifier = specifierOf(statement) ?? "";
  const path = specifier.startsWith(".")
    ? `./${posix.join(posix.dirname(via), specifier)}`
    : specifier;
  const { name, namedBindings } = statement.importClause ?? {};
  if (name !== undefined && used.has(name.text)) {
    imports.add(name.text, `default as ${name.text}`, path);
  }
  if (namedBindings === undefined) return;
  if (ts.isNamespaceImport(namedBindings)) throw unsupported(via, statement);
  for (const element of namedBindings.elements) {
    if (!used.has(element.name.text)) continue;
    const original = (element.propertyName ?? element.name).text;
    imports.add(element.name.text, alias(original, element.name.text), path);
  }
}

/** One import for each local name: a name is asked for by the list of exports and by signatures. */
class Imports {
  readonly #lines = new Map<string, string>();

  add(local: string, binding: string, from: string): void {
    if (!this.#lines.has(local)) this.#lines.set(local, `import { ${binding} } from "${from}";`);
  }

  delete(local: string): void {
    this.#lines.delete(local);
  }

  lines(): Iterable<string> {
    return this.#lines.values();
  }
}

function functionsNamed(source: ts.SourceFile, name: string): ts.FunctionDeclaration[] {
  const functions = source.statements
    .filter(ts.isFunctionDeclaration)
    .filter((node) => node.name?.text === name);
  if (functions.length === 0) {
    throw new Error(
      `Cannot make ${source.fileName} callable: its default export "${name}" is not declared there as a function`,
    );
  }
  return functions;
}

async function parse(file: string): Promise<ts.SourceFile> {
  return ts.createSourceFile(file, await readFile(file, "utf8"), ts.ScriptTarget.Latest, true);
}

function specifierOf(
  { moduleSpecifier }: ts.ImportDeclaration | ts.ExportDeclaration,
): string | undefined {
  return moduleSpecifier !== undefined && ts.isStringLiteral(moduleSpecifier)
    ? moduleSpecifier.text
    : undefined;
}

function isExported(statement: ts.Statement): boolean {
  return ts.isExportAssignment(statement) ||
    (ts.canHaveModifiers(statement) &&
      ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) ===
        true);
}

function alias(original: string, name: string): string {
  return original === name ? name : `${original} as ${name}`;
}

function unsupported(file: string, statement: ts.Statement): Error {
  return new Error(
    `Cannot make ${file} callable: only lists of names are understood, not "${statement.getText()}"`,
  );
}
