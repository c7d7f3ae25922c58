/** What of the benchmark is measured when some of it is named. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GROUPS } from "../../scripts/bench/groups.ts";
import { EMITTERS, selection } from "../../scripts/bench/selection.ts";

function named(...names: string[]): Record<string, string[]> {
  return Object.fromEntries(
    [...selection(names).groups].map(([{ name }, workloads]) => [
      name,
      workloads.map(({ name }) => name),
    ]),
  );
}

test("without a name everything is measured", () => {
  assert.deepEqual(Object.keys(named()), [...GROUPS.keys()]);
  assert.equal(selection([]).hasEmitters, true);
});

test("a workload by itself is one of the core group, and nothing is measured twice", () => {
  assert.deepEqual(named("clients/1KB", "room", "core/100B", "room"), {
    clients: ["1KB"],
    core: ["room", "100B"],
  });
  assert.deepEqual(named("clients"), { clients: ["100B", "1KB"] });
});

test("emitters are a group without servers", () => {
  assert.deepEqual(selection([EMITTERS]), { groups: new Map(), hasEmitters: true });
  assert.equal(selection(["core"]).hasEmitters, false);
});

test("what there is not is told", () => {
  for (const name of ["nothing", "core/nothing", "nothing/100B", ""]) {
    assert.throws(() => selection([name]), new RegExp(`There is no "${name}"`));
  }
});
