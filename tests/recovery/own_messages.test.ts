/** What a process sends and hands over once it comes back, frame by frame. */
import assert from "node:assert/strict";
import { OwnMessages } from "../../src/recovery/own_messages.ts";
import { test } from "../support/test.ts";

function setUp() {
  const own = new OwnMessages();
  const delivered: [sequence: number, number: number | undefined][] = [];
  const add = (sequence: number, isLogged = true) =>
    own.add(sequence, isLogged, {
      logged: () => {},
      deliver: (number) => delivered.push([sequence, number]),
    });
  return { own, delivered, add };
}

test("what comes back is handed over at once, and nothing of it is missing before", () => {
  const { own, delivered, add } = setUp();
  add(1);
  add(2);
  assert.ok(!own.isMissing);
  own.echoed(1, 128);
  assert.ok(!own.isMissing);
  own.echoed(2, 256);
  assert.deepEqual(delivered, [[1, 128], [2, 256]]);
});

test("what was sent while nothing was heard is missing until something later comes back", () => {
  const { own, delivered, add } = setUp();
  own.interrupted();
  assert.ok(!own.isMissing);
  add(1);
  own.logged(1, 128);
  assert.ok(own.isMissing);
  assert.deepEqual(delivered, []);
  own.echoed(2, undefined);
  assert.ok(!own.isMissing);
  assert.deepEqual(delivered, [[1, 128]]);
  add(3);
  assert.ok(!own.isMissing);
});

test("what has come back and whose number is not known is missing until it is", () => {
  const { own, delivered, add } = setUp();
  add(1);
  add(2, false);
  own.echoed(3, undefined);
  assert.ok(own.isMissing);
  assert.deepEqual(delivered, []);
  own.logged(1, 128);
  assert.ok(!own.isMissing);
  assert.deepEqual(delivered, [[1, 128], [2, undefined]]);
});

test("what is in no log has its turn all the same", () => {
  const { own, delivered, add } = setUp();
  add(1);
  own.refused(1);
  assert.deepEqual(delivered, []);
  own.echoed(2, undefined);
  assert.ok(!own.isMissing);
  assert.deepEqual(delivered, [[1, undefined]]);
  // And at once where later things have come back.
  add(3);
  own.echoed(4, undefined);
  assert.ok(own.isMissing);
  own.refused(3);
  assert.ok(!own.isMissing);
  assert.deepEqual(delivered, [[1, undefined], [3, undefined]]);
});
