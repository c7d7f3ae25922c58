import assert from "node:assert/strict";
import { runEach } from "../../scripts/test/workers.ts";
import { test } from "../support/test.ts";
import { signal, until } from "../support/wait.ts";

const ITEMS = [1, 2, 3, 4, 5, 6];

/** Items that end when they are told to. */
function start(jobs: { least: number; most: number }, look: () => number) {
  const begun: number[] = [];
  const ends = new Map<number, () => void>();
  let looks = 0;
  const done = runEach(
    ITEMS,
    jobs,
    (item) => {
      begun.push(item);
      const { promise, resolve } = signal();
      ends.set(item, resolve);
      return promise;
    },
    () => (looks++, look()),
    1,
  );
  const looked = async (times: number) => {
    const before = looks;
    await until("it has looked", () => looks >= before + times);
  };
  return { begun, end: (item: number) => ends.get(item)!(), done, looked };
}

test("busy processors have the fewest at a time, each in its turn", async () => {
  const { begun, end, done, looked } = start({ least: 2, most: 4 }, () => 0.9);
  await looked(5);
  assert.deepEqual(begun, [1, 2]);
  for (const [i, item] of ITEMS.entries()) {
    end(item);
    await until("the next has begun", () => begun.length === Math.min(i + 3, ITEMS.length));
  }
  await done;
  assert.deepEqual(begun, ITEMS);
});

test("processors with little to do have more, up to the most, and fewer again later", async () => {
  let busy = 0.1;
  const { begun, end, done, looked } = start({ least: 2, most: 4 }, () => busy);
  await looked(5);
  assert.deepEqual(begun, [1, 2, 3, 4]);
  busy = 0.9;
  // What was in addition has no successor.
  end(3);
  end(4);
  await looked(5);
  assert.deepEqual(begun, [1, 2, 3, 4]);
  end(1);
  await until("the next has begun", () => begun.length === 5);
  end(2);
  await until("the last has begun", () => begun.length === 6);
  for (const item of [5, 6]) end(item);
  await done;
});
