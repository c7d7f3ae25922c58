/** A release makes a version of what is pending, and of nothing else. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { hasVersion, pending, released } from "../../scripts/release/changelog.ts";
import { requireLater } from "../../scripts/release/version.ts";

const CHANGELOG = `# Changelog

## Pending

- One.
- Two.

## 0.1.0 (2026-11-01)

- The first.
`;

test("what is pending becomes a version, and nothing is pending then", () => {
  assert.equal(pending(CHANGELOG), "- One.\n- Two.");
  const next = released(CHANGELOG, "0.2.0", "2026-11-26");
  assert.equal(pending(next), "");
  assert.ok(next.includes("## 0.2.0 (2026-11-26)\n\n- One.\n- Two.\n\n## 0.1.0 (2026-11-01)"));
  assert.deepEqual(["0.2.0", "0.1.0", "0.1"].map((each) => hasVersion(next, each)), [
    true,
    true,
    false,
  ]);
});

test("nothing is released without a word, and nothing twice", () => {
  const next = released(CHANGELOG, "0.2.0", "2026-11-26");
  assert.throws(() => released(next, "0.3.0", "2026-11-26"), /nothing stands under/);
  assert.throws(() => released(CHANGELOG, "0.1.0", "2026-11-26"), /has it already/);
  assert.throws(() => pending("# Changelog\n"), /no section/);
});

test("versions go up", () => {
  for (const later of ["0.1.1", "0.2.0", "1.0.0", "0.1.1-rc.1"]) requireLater(later, "0.1.0");
  requireLater("0.2.0", "0.2.0-rc.1");
  requireLater("0.2.0-rc.2", "0.2.0-rc.1");
  for (const bad of ["0.1.0", "0.0.9", "0.1.0-rc.1"]) {
    assert.throws(() => requireLater(bad, "0.1.0"), /Cannot release/);
  }
  for (const bad of ["1", "v1.0.0", "1.0", ""]) {
    assert.throws(() => requireLater(bad, "0.1.0"), /is like 1.2.3/);
  }
});

test("the changelog of the project has what is pending, or the version that it is", () => {
  const changelog = readFileSync(new URL("../../CHANGELOG.md", import.meta.url), "utf8");
  const { version } = JSON.parse(
    readFileSync(new URL("../../deno.json", import.meta.url), "utf8"),
  );
  assert.ok(pending(changelog) !== "" || hasVersion(changelog, version));
});
