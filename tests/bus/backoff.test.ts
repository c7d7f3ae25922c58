import assert from "node:assert/strict";
import { test } from "node:test";
import { backoffMs } from "../../src/bus/backoff.ts";

test("backoffMs() doubles from 50 ms to 950, and to two seconds after a minute", () => {
  const mean = [0, 1, 2, 3, 4, 5, 100].map((failures) => backoffMs(failures, 0, 0.5));
  assert.deepEqual(mean, [50, 100, 200, 400, 800, 950, 950]);
  assert.equal(backoffMs(100, 60_000, 0.5), 2_000);
});

test("backoffMs() is spread, and never waits for longer than 1.33 s in the first minute", () => {
  for (const random of [0, 0.25, 0.999]) {
    const delay = backoffMs(5, 0, random);
    assert.ok(delay >= 570 && delay <= 1_330, String(delay));
  }
  assert.ok(backoffMs(5, 0, 0.999) - backoffMs(5, 0, 0) > 700);
});

test("backoffMs() makes at most 20 attempts in the first 10 seconds and 40 in 30", () => {
  // Chance of its own, the same in each run: a linear congruential generator.
  let state = 1;
  const random = () => (state = (state * 1_103_515_245 + 12_345) % 2 ** 31) / 2 ** 31;
  for (let run = 0; run < 300; run++) {
    const times: number[] = [];
    for (let now = 0; now < 30_000; now += backoffMs(times.length - 1, now, random())) {
      times.push(now);
    }
    assert.ok(times.filter((now) => now < 10_000).length <= 20);
    assert.ok(times.length <= 40, String(times.length));
  }
});
