/** What is remembered of what happens while sessions are restored, and for how long. */
import assert from "node:assert/strict";
import { Meanwhile } from "../../src/recovery/meanwhile.ts";
import { test } from "../support/test.ts";

test("each gets what has happened since it began", () => {
  const meanwhile = new Meanwhile<number>();
  meanwhile.add(0);
  const first = meanwhile.begin();
  meanwhile.add(1);
  const second = meanwhile.begin();
  meanwhile.add(2);
  assert.deepEqual([first, second].map((began) => meanwhile.since(began)), [[1, 2], [2]]);
  meanwhile.end(first);
  const third = meanwhile.begin();
  meanwhile.add(3);
  assert.deepEqual([second, third].map((began) => meanwhile.since(began)), [[2, 3], [3]]);
  const fourth = meanwhile.begin();
  meanwhile.end(third);
  assert.deepEqual([second, fourth].map((began) => meanwhile.since(began)), [[2, 3], []]);
  meanwhile.end(fourth);
  assert.deepEqual(meanwhile.since(second), [2, 3]);
  meanwhile.end(second);
  assert.equal(meanwhile.length, 0);
});

test("as many as overlap for ever, no more is remembered than the oldest of them may ask for", () => {
  const meanwhile = new Meanwhile<number>();
  let before = meanwhile.begin();
  for (let turn = 0; turn < 1_000; turn++) {
    for (let n = 0; n < 10; n++) meanwhile.add(10 * turn + n);
    const next = meanwhile.begin();
    for (let n = 0; n < 10; n++) meanwhile.add(10 * turn + n);
    assert.equal(meanwhile.since(next).length, 10);
    meanwhile.end(before);
    before = next;
    assert.ok(meanwhile.length <= 40, `${meanwhile.length}`);
  }
});
