import assert from "node:assert/strict";
import { test } from "node:test";
import { backoffMs } from "../../src/bus/backoff.ts";

test("backoffMs() doubles from 50 ms to a second, and to two after a minute", () => {
  const most = [0, 1, 2, 3, 4, 5, 100].map((failures) => backoffMs(failures, 0, 1));
  assert.deepEqual(most, [50, 100, 200, 400, 800, 1_000, 1_000]);
  assert.equal(backoffMs(100, 60_000, 1), 2_000);
});

test("backoffMs() is between half of it and all of it", () => {
  for (const random of [0, 0.25, 0.999]) {
    const delay = backoffMs(5, 0, random);
    assert.ok(delay >= 500 && delay <= 1_000, String(delay));
  }
});

test("backoffMs() makes at most 20 attempts in the first 10 seconds, whatever chance says", () => {
  let elapsed = 0, attempts = 0;
  while (elapsed < 10_000) elapsed += backoffMs(attempts++, elapsed, 0.5);
  assert.ok(attempts <= 20, String(attempts));
});
