/**
 * The order of what one process sends, whatever of it was missed: all cases in which frames come late, twice or never.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Sender, type Wait } from "../../src/bus/sender.ts";
import type { Frame } from "../../src/wire/frame.ts";

const UID = "1111111111111111";

function setUp() {
  const delivered: number[] = [];
  const trusted: number[] = [];
  const asked: Wait[] = [];
  const counts = { duplicate: 0, late: 0, forged: 0 };
  let ids = 0;
  let whileDelivering: (sequence: number) => void = () => {};
  const sender: Sender = new Sender(UID, {
    deliver({ sequence }, isTrusted) {
      delivered.push(sequence);
      if (isTrusted) trusted.push(sequence);
      whileDelivering(sequence);
    },
    missed: (wait) => asked.push(wait),
    duplicate: () => counts.duplicate++,
    late: () => counts.late++,
    forged: () => counts.forged++,
  }, () => ++ids);
  /** What was sent last on each channel. */
  const previous: Record<string, number> = {};
  const frame = (sequence: number, channel: string, more: Partial<Frame> = {}): Frame => {
    const made: Frame = {
      kind: "r",
      uid: UID,
      sequence,
      previous: previous[channel] ?? 0,
      isRepeat: false,
      isResent: false,
      body: "x",
      ...more,
    };
    if (!made.isRepeat && !made.isResent && more.previous === undefined) {
      previous[channel] = sequence;
    }
    return made;
  };
  return {
    sender,
    delivered,
    trusted,
    asked,
    counts,
    /** A frame that is sent and comes. */
    comes: (sequence: number, channel = "n", more?: Partial<Frame>) =>
      sender.receive(channel, frame(sequence, channel, more)),
    /** A frame that is sent and does not come. */
    misses: (sequence: number, channel = "n") => void frame(sequence, channel),
    again: (sequence: number) => sender.receive("own", frame(sequence, "n", { isRepeat: true })),
    on: (listener: (sequence: number) => void) => whileDelivering = listener,
  };
}

test("what comes in order is handed over at once, over all channels", () => {
  const { comes, delivered, trusted, asked } = setUp();
  comes(7);
  comes(8, "room");
  comes(9);
  comes(12);
  assert.deepEqual(delivered, [7, 8, 9, 12]);
  assert.deepEqual(trusted, [9, 12]);
  assert.deepEqual(asked, []);
});

test("after an outage nothing that may come after something missed is handed over before that is there", () => {
  const { sender, comes, misses, again, delivered, counts } = setUp();
  comes(1);
  sender.interrupted();
  const [wait] = [...sender.waits];
  assert.equal(wait?.after, 1);
  misses(2);
  misses(3, "room");
  comes(5, "other");
  comes(6);
  assert.deepEqual(delivered, [1]);
  again(2);
  assert.deepEqual(delivered, [1, 2]);
  again(3);
  again(3);
  sender.settle(wait!.id, 7);
  assert.deepEqual(delivered, [1, 2, 3, 5, 6]);
  comes(8);
  assert.deepEqual(delivered, [1, 2, 3, 5, 6, 8]);
  assert.equal(counts.duplicate, 1);
  assert.equal(sender.heldLength, 0);
});

test("an outage while a channel is being opened is about what came after the last hole", () => {
  const { sender, comes, misses } = setUp();
  comes(1);
  sender.wait(undefined, false);
  comes(2);
  comes(3);
  misses(4, "room");
  comes(5);
  sender.interrupted();
  assert.deepEqual([...sender.waits].map(({ after }) => after), [3]);
});

test("while a channel is being opened only what leaves a hole waits", () => {
  const { sender, comes, misses, delivered, again } = setUp();
  comes(1);
  const { id } = sender.wait(undefined, false);
  comes(2);
  comes(3);
  misses(4, "room");
  comes(5);
  assert.deepEqual(delivered, [1, 2, 3]);
  again(4);
  assert.deepEqual(delivered, [1, 2, 3, 4, 5]);
  sender.settle(id, 6);
  assert.deepEqual(delivered, [1, 2, 3, 4, 5]);
});

test("channels that are opened without end hold nothing back for longer than each of them takes", () => {
  const { sender, comes, misses, delivered } = setUp();
  comes(1);
  let open = sender.wait(undefined, false).id;
  for (let sequence = 2; sequence < 40; sequence += 2) {
    misses(sequence, "elsewhere");
    comes(sequence + 1);
    const next = sender.wait(undefined, false).id;
    sender.settle(open, sequence + 1);
    open = next;
    assert.equal(delivered.at(-1), sequence + 1);
  }
});

test("a frame that makes a room be joined holds back what its sender sent to that room next", () => {
  const { sender, comes, misses, again, delivered, on } = setUp();
  comes(1);
  const outage = sender.wait(undefined, true);
  let join: Wait | undefined;
  on((sequence) => {
    if (sequence === 3) join = sender.wait(undefined, false);
  });
  misses(2);
  comes(3);
  misses(4, "room");
  comes(5);
  again(2);
  // 3 was handed over while 5 was there already: 4 is what the new room misses.
  assert.deepEqual(delivered, [1, 2, 3]);
  assert.equal(join?.after, 3);
  sender.settle(outage.id, 6);
  assert.deepEqual(delivered, [1, 2, 3]);
  again(4);
  assert.deepEqual(delivered, [1, 2, 3, 4, 5]);
});

test("a room that is joined by a frame from before others were opened misses nothing with them", () => {
  const { sender, comes, misses, again, delivered, on } = setUp();
  comes(1);
  const first = sender.wait(undefined, false);
  misses(2, "first");
  comes(3);
  comes(5);
  // Opened while 3 is held: for all channels that are joined until LISTEN is sent.
  const second = sender.wait(undefined, false);
  on((sequence) => {
    if (sequence === 3) sender.extend(second.id);
  });
  misses(4, "second");
  again(2);
  sender.settle(first.id, 6);
  assert.deepEqual(delivered, [1, 2, 3]);
  again(4);
  sender.settle(second.id, 7);
  assert.deepEqual(delivered, [1, 2, 3, 4, 5]);
});

test("a repeat of what was sent to a channel before it was listened to here is for others", () => {
  const { sender, comes, misses, again, delivered, counts } = setUp();
  comes(1);
  misses(2, "room");
  comes(3);
  const { id } = sender.wait(["room"], false);
  again(2);
  sender.settle(id, 4);
  assert.deepEqual(delivered, [1, 3]);
  assert.equal(counts.late, 0);
});

test("a frame whose predecessor never came shows that something was missed", () => {
  const { sender, comes, misses, again, delivered, asked } = setUp();
  comes(1);
  misses(2);
  comes(3);
  assert.deepEqual(asked.map(({ after, isOutage }) => ({ after, isOutage })), [
    { after: 1, isOutage: true },
  ]);
  assert.deepEqual(delivered, [1]);
  again(2);
  sender.settle(asked[0]!.id, 4);
  comes(5);
  assert.deepEqual(delivered, [1, 2, 3, 5]);
  assert.equal(asked.length, 1);
});

test("what is lost for good is not asked for again and again", () => {
  const { sender, comes, misses, delivered, asked } = setUp();
  comes(1);
  misses(2);
  comes(3);
  sender.settle(asked[0]!.id, 4);
  comes(5);
  misses(6, "room");
  comes(7);
  assert.deepEqual(delivered, [1, 3, 5, 7]);
  assert.equal(asked.length, 1);
});

test("what a sender says it sent last shows that something was missed", () => {
  const { sender, comes, misses } = setUp();
  comes(1);
  misses(2);
  assert.equal(sender.check("unknown", 2), undefined);
  assert.equal(sender.check("n", 1), undefined);
  comes(3, "cluster");
  assert.equal(sender.check("n", 2)?.after, 1);
  assert.equal(sender.check("n", 2), undefined);
});

test("a frame that is sent once more is handed over once", () => {
  const { comes, delivered, counts } = setUp();
  comes(1);
  comes(2);
  comes(2, "n", { isResent: true, previous: 1 });
  comes(3, "n", { isResent: true, previous: 2 });
  comes(3, "n", { previous: 2 });
  assert.deepEqual(delivered, [1, 2, 3]);
  assert.equal(counts.duplicate, 2);
  assert.equal(counts.forged, 0);
});

test("repeats that nobody here asked for are passed over", () => {
  const { comes, misses, again, delivered } = setUp();
  comes(5);
  misses(6, "room");
  again(4);
  again(6);
  comes(7);
  assert.deepEqual(delivered, [5, 7]);
});

test("a forged frame with a high number does not silence the sender", () => {
  const { sender, comes, again, delivered, counts, asked } = setUp();
  comes(1);
  comes(1_000_000, "n", { previous: 1 });
  comes(2);
  comes(3);
  assert.deepEqual(asked.map(({ after }) => after), [1]);
  again(2);
  sender.settle(asked[0]!.id, 4);
  comes(5);
  assert.deepEqual(delivered, [1, 1_000_000, 2, 3, 5]);
  assert.ok(counts.forged > 0);
});

test("a forged frame with a low number neither is handed over nor makes anything come twice", () => {
  const { sender, comes, again, delivered, asked } = setUp();
  for (const sequence of [1, 3, 5]) comes(sequence, "n", { previous: 0 });
  comes(2, "x", { previous: 0 });
  assert.deepEqual(asked.map(({ after }) => after), [1]);
  for (const sequence of [3, 5]) again(sequence);
  sender.settle(asked[0]!.id, 6);
  comes(7);
  assert.deepEqual(delivered, [1, 3, 5, 7]);
});

test("frames that do not follow each other are verified with their sender, and none of its own is lost", () => {
  const { sender, comes, delivered, asked } = setUp();
  for (const sequence of [1, 2, 3]) comes(sequence);
  // Somebody else's, in the place of what the sender sends to another channel next.
  comes(4, "n", { previous: 3 });
  comes(5, "n", { previous: 3 });
  assert.equal(asked.length, 1);
  comes(6);
  sender.settle(asked[0]!.id, 7);
  comes(8);
  assert.deepEqual(delivered, [1, 2, 3, 4, 5, 6, 8]);
});

test("a long run in the name of a sender makes what it sends itself no duplicate", () => {
  const { comes, asked, counts } = setUp();
  comes(1);
  for (let forged = 2; forged < 2_500; forged++) comes(forged, "x");
  comes(2, "n", { previous: 1 });
  assert.deepEqual({ ...counts, asked: asked.length }, {
    duplicate: 0,
    late: 0,
    forged: 1,
    asked: 1,
  });
});

test("what comes before the end of an answer and claims to be later is passed over", () => {
  const { sender, comes, delivered } = setUp();
  for (const sequence of [1, 2, 3]) comes(sequence);
  sender.interrupted();
  const [wait] = [...sender.waits];
  comes(1_000, "x", { previous: 0 });
  comes(6, "n");
  sender.settle(wait!.id, 7);
  comes(8, "n");
  assert.deepEqual(delivered, [1, 2, 3, 6, 8]);
});

test("what is said again too late is not handed over out of order, and counts as lost", () => {
  const { sender, comes, misses, again, delivered, counts } = setUp();
  comes(1);
  misses(2, "y");
  comes(3);
  const { id } = sender.wait(undefined, true, 1);
  again(2);
  sender.settle(id, 4);
  assert.deepEqual(delivered, [1, 3]);
  assert.equal(counts.late, 1);
});

test("what is said again to others and was sent before its channel was listened to is no loss", () => {
  const { sender, comes, misses, again, delivered, counts } = setUp();
  comes(1);
  misses(2, "room");
  comes(3);
  const { id } = sender.wait(["other room"], false);
  again(2);
  sender.settle(id, 4);
  comes(5);
  assert.deepEqual(delivered, [1, 3, 5]);
  assert.deepEqual(counts, { duplicate: 0, late: 0, forged: 0 });
});

test("an outage takes over what was open before it", () => {
  const { sender, comes, misses, delivered } = setUp();
  comes(1);
  sender.wait(undefined, false);
  misses(2, "room");
  comes(3);
  sender.interrupted();
  const waits = [...sender.waits];
  assert.equal(waits.length, 1);
  assert.equal(waits[0]?.after, 1);
  assert.equal(waits[0]?.isOutage, true);
  assert.deepEqual(delivered, [1]);
});

test("a channel that is left and listened to again later is no reason to ask", () => {
  const { sender, comes, misses, asked, delivered } = setUp();
  comes(1);
  comes(2, "room");
  sender.forget("room");
  misses(3, "room");
  comes(4);
  const { id } = sender.wait(["room"], false);
  sender.settle(id, 5);
  comes(6, "room");
  assert.deepEqual(asked, []);
  assert.deepEqual(delivered, [1, 2, 4, 6]);
});

test("so many forged numbers that nothing else is remembered silence nobody for longer than an answer takes", () => {
  const { sender, comes, delivered, asked, counts } = setUp();
  comes(1);
  comes(2);
  for (let i = 0; i < 2_000; i++) comes(1_000_000 + 2 * i, "n", { previous: 0 });
  delivered.length = 0;
  comes(3, "n", { previous: 2 });
  comes(4, "n", { previous: 3 });
  assert.equal(counts.duplicate, 0);
  const [wait] = asked;
  assert.equal(wait?.after, 2);
  sender.settle(wait!.id, 5);
  assert.deepEqual(delivered, [3, 4]);
  comes(6, "n", { previous: 4 });
  comes(7);
  assert.deepEqual(delivered, [3, 4, 6, 7]);
});

test("what is given up does not take with it what was said again for something else", () => {
  const { sender, comes, misses, again, delivered } = setUp();
  comes(1);
  sender.interrupted();
  sender.extend(99);
  misses(2);
  misses(3);
  again(3);
  sender.settle(99);
  assert.deepEqual(delivered, [1]);
  const [outage] = [...sender.waits];
  sender.settle(outage!.id, 4);
  assert.deepEqual(delivered, [1, 3]);
});

test("frames without content count as held, too", () => {
  const { sender, comes, misses } = setUp();
  comes(1);
  sender.interrupted();
  misses(2);
  for (let n = 3; n < 1_003; n++) comes(2 * n, "n", { body: "" });
  assert.ok(sender.heldLength > 100_000, `${sender.heldLength}`);
  for (const { id } of [...sender.waits]) sender.settle(id);
  assert.equal(sender.heldLength, 0);
});
