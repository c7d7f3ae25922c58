import assert from "node:assert/strict";
import { QueueWatch } from "../../src/bus/queue_watch.ts";
import type { PgAdapterError } from "../../src/errors.ts";
import { type Scope, test } from "../support/test.ts";
import { until } from "../support/wait.ts";

function setUp(t: Scope, usages: (number | undefined)[]) {
  const errors: PgAdapterError[] = [];
  let looks = 0;
  const watch = new QueueWatch(
    1,
    () => Promise.resolve(usages[Math.min(looks++, usages.length - 1)]),
    (error) => errors.push(error),
  );
  t.after(() => watch.stop());
  return { watch, errors, looks: () => looks };
}

test("a queue that fills is told of once, and again when it had been well in between", async (t) => {
  const { watch, errors, looks } = setUp(t, [0.01, 0.09, 0.12, 0.5, 0.07, 0.2, 0.04, 0.11, 0.01]);
  watch.start();
  await until("it has looked", () => looks() > 9);
  assert.deepEqual(errors.map(({ code }) => code), ["QUEUE_FILLING", "QUEUE_FILLING"]);
  assert.match(errors[0]?.message ?? "", /12 % full/);
  assert.equal(watch.usage, 0.01);
});

test("what cannot be found out is not told, and it is looked again", async (t) => {
  const { watch, errors, looks } = setUp(t, [undefined, undefined, 0.3]);
  watch.start();
  await until("it is told", () => errors.length === 1);
  watch.stop();
  const before = looks();
  await new Promise((resolve) => setImmediate(resolve));
  assert.ok(looks() <= before + 1);
  assert.equal(watch.usage, 0.3);
});
