import assert from "node:assert/strict";
import { runEach } from "../../scripts/test/workers.ts";
import { test } from "../support/test.ts";
import { signal, until } from "../support/wait.ts";

const ITEMS = [1, 2, 3, 4, 5, 6];

/** Items that end when they are told to. */
function start(jobs: { least: number; most: number }, look: () => number) {
  const begun: number[] = [];
  const places = new Map<number, number>();
  const ends = new Map<number, () => void>();
  let looks = 0;
  const done = runEach(
    ITEMS,
    jobs,
    async (item, place) => {
      begun.push(item);
      assert.ok(![...places.values()].includes(place), `${place} is taken`);
      places.set(item, place);
      const { promise, resolve } = signal();
      ends.set(item, resolve);
      await promise;
      places.delete(item);
    },
    () => (looks++, look()),
    1,
  );
  const looked = async (times: number) => {
    const before = looks;
    await until("it has looked", () => looks >= before + times);
  };
  return { begun, places, end: (item: number) => ends.get(item)!(), done, looked };
}

test("busy processors have the fewest at a time, each in its turn", async () => {
  const { begun, end, done, looked } = start({ least: 2, most: 4 }, () => 0.95);
  await looked(5);
  assert.deepEqual(begun, [1, 2]);
  for (const [i, item] of ITEMS.entries()) {
    end(item);
    await until("the next has begun", () => begun.length === Math.min(i + 3, ITEMS.length));
  }
  await done;
  assert.deepEqual(begun, ITEMS);
});

test("processors with time left have more, up to the most, and fewer again later", async () => {
  let busy = 0.1;
  const { begun, places, end, done, looked } = start({ least: 2, most: 4 }, () => busy);
  await looked(5);
  assert.deepEqual(begun, [1, 2, 3, 4]);
  busy = 0.95;
  await looked(2);
  // The first ones to end have no successor.
  end(1);
  end(4);
  await looked(5);
  assert.deepEqual(begun, [1, 2, 3, 4]);
  end(2);
  await until("the next has begun", () => begun.length === 5);
  assert.deepEqual([...places], [[3, 2], [5, 1]]);
  busy = 0.1;
  await until("the last has begun", () => begun.length === 6);
  assert.deepEqual([...places.values()].sort(), [0, 1, 2]);
  for (const item of [3, 5, 6]) end(item);
  await done;
});

test("what cannot be run ends it", async () => {
  const ran = runEach(ITEMS, { least: 2, most: 4 }, (item) => {
    return item === 2 ? Promise.reject(new Error("no")) : Promise.resolve();
  }, () => 0);
  await assert.rejects(ran, /^Error: no$/);
});
