/** Pages that list what the sources have list all of it. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { resolveEmitterOptions } from "../../src/emitter/options.ts";
import { resolveOptions } from "../../src/options.ts";
import { test } from "../support/test.ts";

const root = new URL("../../", import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), "utf8");

test("docs/troubleshooting.md has a heading for each code of src/errors.ts, in its order", () => {
  const source = read("src/errors.ts");
  const [, union = ""] = /export type PgAdapterErrorCode =([^;]*);/.exec(source) ?? [];
  const codes = [...union.matchAll(/"(\w+)"/g)].map(([, code]) => code);
  assert.ok(codes.length > 20, `${codes}`);
  const headings = [...read("docs/troubleshooting.md").matchAll(/^### (.+)$/gm)]
    .map(([, heading]) => heading);
  assert.deepEqual(headings, codes);
  const rows = [...source.matchAll(/^ \* \| `(\w+)` \|/gm)].map(([, code]) => code);
  assert.deepEqual(rows, codes);
});

/** What the page says of each option: its row in a table, or the text below its heading. */
function described(page: string, name: string): string {
  const row = page.split("\n").find((line) => line.startsWith(`| \`${name}\` `));
  const section = page.split(/^#+ /m).find((text) => text.startsWith(`\`${name}\`\n`));
  return row ?? section ?? assert.fail(`docs/configuration.md does not describe "${name}"`);
}

function checkDefaults(page: string, defaults: object): void {
  for (const [name, value] of Object.entries(defaults)) {
    const text = described(page, name);
    if (value === undefined) continue;
    const shown = typeof value === "number"
      ? value.toLocaleString("en-US")
      : typeof value === "object"
      ? "durable: false"
      : JSON.stringify(value);
    assert.ok(text.includes(shown), `the default of "${name}" is ${shown}: ${text}`);
  }
}

test("docs/configuration.md has every option of adapters and emitters, with its default", () => {
  const [adapters = "", emitters = ""] = read("docs/configuration.md").split("\n## Emitters\n");
  checkDefaults(adapters, resolveOptions({}));
  // What is made of the options of the other wire is no option.
  const { official: _, ...options } = resolveEmitterOptions({});
  checkDefaults(emitters, options);
});

test("docs/README.md leads to every page in docs/", () => {
  const index = read("docs/README.md");
  for (const page of readdirSync(new URL("docs/", root)).filter((file) => file.endsWith(".md"))) {
    if (page !== "README.md") assert.ok(index.includes(`](${page})`), page);
  }
});
