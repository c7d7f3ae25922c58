/** The checker of histories finds each kind of badness, and nothing in a good history. */
import assert from "node:assert/strict";
import { type Entry, examine, type History, merge, ownPart, verify } from "../support/history.ts";
import { test } from "../support/test.ts";

const message = (sender: string, n: number): Entry => ({ sender, n, digest: `${sender}${n}` });

/** Two senders of three messages each; `b` receives what this makes of it, `a` everything. */
function historyOf(change: (entries: Entry[]) => Entry[], gaps: History["gaps"] = []): History {
  const sent = ["a", "b"].flatMap((sender) => [0, 1, 2].map((n) => message(sender, n)));
  return { sent, received: { a: sent, b: change([...sent]) }, gaps };
}

const without = (sender: string, n: number) => (entries: Entry[]) =>
  entries.filter((entry) => entry.sender !== sender || entry.n !== n);

test("a good history passes, however senders are interleaved", () => {
  const found = verify(historyOf((entries) => {
    const [a0, a1, a2, b0, b1, b2] = entries as [Entry, Entry, Entry, Entry, Entry, Entry];
    return [b0, a0, b1, a1, a2, b2];
  }));
  assert.deepEqual(
    [found.sent, found.expected, found.received, found.lost, found.examples],
    [6, 12, 12, 0, []],
  );
});

const BAD: Record<string, { change: (entries: Entry[]) => Entry[]; count?: number }> = {
  lost: { change: without("a", 1) },
  doubled: { change: (entries) => [...entries, message("b", 2)] },
  reordered: {
    change: ([a0, a1, a2, ...rest]) => [a1, a0, a2, ...rest] as Entry[],
  },
  altered: {
    change: ([a0, ...rest]) => [{ ...a0, digest: "other" } as Entry, ...rest],
  },
  unexpected: { change: (entries) => [...entries, message("c", 0)] },
};

for (const [kind, { change }] of Object.entries(BAD)) {
  test(`what is ${kind} is found, and nothing else`, () => {
    const history = historyOf(change);
    const { lost, doubled, reordered, altered, unexpected } = examine(history);
    assert.deepEqual(
      { lost, doubled, reordered, altered, unexpected },
      { lost: 0, doubled: 0, reordered: 0, altered: 0, unexpected: 0, [kind]: 1 },
    );
    assert.throws(() => verify(history), new RegExp(`${kind}: `));
    // No report of a gap is an excuse for anything but a loss.
    if (kind !== "lost") assert.throws(() => verify(history, { gaps: "any" }), new RegExp(kind));
  });
}

test("a receiver that got nothing at all has lost all", () => {
  assert.equal(examine(historyOf(() => [])).lost, 6);
});

test("a message that comes twice at its old place is doubled, not reordered", () => {
  const { doubled, reordered } = examine(historyOf((all) => [...all, message("a", 0)]));
  assert.deepEqual([doubled, reordered], [1, 0]);
});

test("who is not meant must not receive it, and has not lost it", () => {
  const sent = [{ ...message("a", 0), to: ["a"] }];
  const good: History = { sent, received: { a: sent, b: [] }, gaps: [] };
  assert.equal(verify(good).expected, 1);
  assert.equal(examine({ ...good, received: { a: sent, b: sent } }).unexpected, 1);
});

test("a loss must be told as it is, where telling is allowed", () => {
  const gap = { receiver: "b", sender: "a", missed: 1 };
  const told = historyOf(without("a", 1), [gap]);
  assert.throws(() => verify(told), /lost: /);
  assert.deepEqual([verify(told, { gaps: "exact" }).lost, examine(told).reported], [1, 1]);
  verify(told, { gaps: "any" });
  for (const gaps of [[], [{ ...gap, sender: "b" }], [{ ...gap, receiver: "a" }]]) {
    const silent = historyOf(without("a", 1), gaps);
    assert.throws(() => verify(silent, { gaps: "exact" }), /misreported: /);
    assert.throws(() => verify(silent, { gaps: "any" }), /misreported: /);
  }
  const tooMuch = historyOf(without("a", 1), [{ ...gap, missed: 5 }]);
  assert.throws(() => verify(tooMuch, { gaps: "exact" }), /misreported: /);
  verify(tooMuch, { gaps: "any" });
});

test("a gap without a loss is a false alarm", () => {
  const alarm = historyOf((all) => all, [{ receiver: "b", sender: "a", missed: 0 }]);
  assert.throws(() => verify(alarm), /misreported: /);
  assert.throws(() => verify(alarm, { gaps: "exact" }), /misreported: /);
});

test("the histories of several processes are one", () => {
  const whole = historyOf((all) => all);
  const of = (name: string): History => ({
    sent: whole.sent.filter(({ sender }) => sender === name),
    received: { [name]: whole.received[name] ?? [] },
    gaps: [],
  });
  assert.equal(verify(merge([of("a"), of("b")])).received, 12);
});

test("what a sender's own clients get is looked at alone", () => {
  assert.equal(verify(ownPart(historyOf(without("a", 1)))).expected, 6);
  assert.throws(() => verify(ownPart(historyOf(without("b", 1)))), /lost: /);
});
