/** What is asked of those of whom something was missed, when, and what comes of it. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { Processes } from "../../src/bus/processes.ts";
import { type Ask, encodeAsk, encodeAskEnd, type Lost } from "../../src/wire/ask.ts";
import type { Frame } from "../../src/wire/frame.ts";
import { test } from "../support/test.ts";

const UID = "1111111111111111";

function setUp(isMember = true, replayWindow = 30_000) {
  const delivered: number[] = [];
  const asked: Omit<Ask, "hasRoomChannels">[] = [];
  const gaps: (number | undefined)[] = [];
  const processes = new Processes(replayWindow, {
    deliver: (uid, { kind, sequence }) => {
      if (kind === "b") processes.gone(uid);
      else if (kind === "r") delivered.push(sequence);
    },
    isMember: () => isMember,
    asked: () => {},
    ask: (_uid, ask) => asked.push(ask),
    gap: (_uid, missed) => gaps.push(missed),
    duplicate: () => {},
    forged: () => {},
    settled: () => {},
  });
  const comes = (sequence: number, more: Partial<Frame> = {}, channel = "n") =>
    processes.receive(channel, {
      kind: "r",
      uid: UID,
      sequence,
      previous: sequence - 1,
      isRepeat: false,
      isResent: false,
      body: "x",
      ...more,
    });
  return {
    processes,
    delivered,
    asked,
    gaps,
    comes,
    again: (sequence: number) => comes(sequence, { isRepeat: true }),
    /** The end of the answer to a question. */
    ends: (sequence: number, { id, back }: { id: number; back?: number }, lost: Lost[] = []) =>
      comes(sequence, {
        kind: "e",
        body: encodeAskEnd({ id, lost, ...back !== undefined && { back } }),
      }, "own"),
    /** The process asks for what it missed itself. */
    asks: (sequence: number, id: number) =>
      comes(
        sequence,
        { kind: "q", body: encodeAsk({ id, after: 0, hasRoomChannels: true }) },
        "own",
      ),
  };
}

/** Loses the connection and has it back. */
function outage(processes: Processes): void {
  processes.interrupted(true);
  processes.resumed(undefined);
}

test("a question that was not heard is asked again once a later one is answered", () => {
  const { processes, delivered, asked, comes, again, ends } = setUp();
  comes(1);
  outage(processes);
  processes.ask(processes.open(), ["room"]);
  assert.equal(asked.length, 2);
  const [first, second] = asked;
  comes(4);
  ends(5, second!);
  assert.deepEqual(asked.slice(2), [first]);
  assert.deepEqual(delivered, [1]);
  again(2);
  again(3);
  ends(6, first!);
  assert.deepEqual(delivered, [1, 2, 3, 4]);
});

test("who asks did not listen, and is asked again what is open; once for each of its questions", () => {
  const { processes, asked, comes, asks } = setUp();
  comes(1);
  outage(processes);
  asks(4, 7);
  assert.equal(asked.length, 2);
  asks(5, 7);
  assert.equal(asked.length, 2);
  asks(6, 8);
  assert.equal(asked.length, 3);
});

test("who joins a room asks for what was sent since, an outage for everything", () => {
  const { processes, asked, comes } = setUp();
  comes(1);
  processes.ask(processes.open(), ["room"]);
  outage(processes);
  const [room, all] = asked;
  assert.ok(room!.back! > 0 && room!.back! < 5_000, `${room!.back}`);
  assert.equal(all!.back, undefined);
});

test("an answer that may have left something out is asked for again, from further back", () => {
  const { processes, asked, comes, ends } = setUp();
  comes(1);
  let isJoined = false;
  processes.ask(processes.open(), ["room"]).then(() => isJoined = true);
  const [first] = asked;
  // Less than the time since the room was joined, as it is when the question was long on its way.
  ends(2, { id: first!.id, back: 0 });
  assert.equal(asked.length, 2);
  assert.ok(asked[1]!.back! > first!.back!);
  ends(3, { id: first!.id, back: asked[1]!.back! });
  assert.equal(asked.length, 2);
  return Promise.resolve().then(() => assert.ok(isJoined));
});

test("what was opened while the connection was prepared is asked for by itself", () => {
  const { processes, delivered, asked, comes, again, ends } = setUp();
  comes(1);
  processes.interrupted(true);
  const before = processes.open();
  const opening = processes.open();
  processes.resumed(opening);
  assert.equal(asked.length, 1);
  ends(3, asked[0]!);
  processes.ask(before, ["before"]);
  assert.equal(asked.length, 1, "what was opened before is part of the outage");
  processes.ask(opening, ["room"]);
  assert.equal(asked.length, 2);
  comes(6, { previous: 1 });
  assert.deepEqual(delivered, [1]);
  again(5);
  ends(7, asked[1]!);
  assert.deepEqual(delivered, [1, 5, 6]);
});

test("who is heard for the first time after an outage is asked for the time before, but not at the start", () => {
  const start = setUp();
  start.processes.interrupted(false);
  start.processes.resumed(undefined);
  start.comes(50);
  assert.deepEqual(start.delivered, [50]);
  const later = setUp();
  outage(later.processes);
  later.comes(50);
  assert.deepEqual(later.delivered, []);
  assert.equal(later.asked[0]?.after, 0);
});

test("who counts as gone and was heard of late is asked, too, and not missed when it does not answer", () => {
  const { processes, delivered, asked, gaps, comes, again, ends } = setUp(false);
  comes(1);
  outage(processes);
  assert.equal(asked.length, 1);
  comes(3);
  assert.deepEqual(delivered, [1]);
  again(2);
  ends(4, asked[0]!);
  assert.deepEqual(delivered, [1, 2, 3]);
  outage(processes);
  processes.sweep();
  assert.deepEqual(gaps, []);
  const left = setUp(false);
  left.comes(1);
  left.comes(2, { kind: "b" });
  outage(left.processes);
  assert.deepEqual(left.asked, []);
});

test("what is not remembered any more and has come all the same is no gap", () => {
  const { processes, delivered, asked, gaps, comes, ends } = setUp();
  const lost = (from: number, to: number): Lost[] =>
    Array.from({ length: to - from }, (_, i) => ({ sequence: from + i, messages: 2 }));
  comes(1);
  // 2 and 3 were said while the room was not listened to.
  processes.ask(processes.open(), ["room"]);
  for (let n = 4; n < 10; n++) comes(n, {}, "room");
  // However long a busy machine takes until here: the answer goes far enough back.
  const back = 60_000;
  ends(10, { ...asked[0]!, back }, lost(2, 7));
  assert.deepEqual(gaps, [4]);
  assert.deepEqual(delivered, [1, 4, 5, 6, 7, 8, 9]);
  // More than are named, and more than are known one by one.
  processes.ask(processes.open(), ["another"]);
  for (let n = 11; n < 5_000; n++) comes(n, {}, "another");
  ends(5_000, { ...asked[1]!, back }, lost(11, 4_900));
  assert.deepEqual(gaps, [4]);
  outage(processes);
  for (let n = 5_003; n < 6_000; n++) comes(n, {}, "another");
  ends(6_000, asked[2]!, lost(5_001, 5_800));
  assert.deepEqual(gaps, [4, 4]);
});

test("how much was missed is exact, unless there is no room to name what has come all the same", () => {
  const { processes, asked, gaps, comes, ends } = setUp();
  const lost = (from: number, to: number): Lost[] =>
    Array.from({ length: to - from }, (_, i) => ({ sequence: from + i, messages: 2 }));
  comes(1);
  outage(processes);
  // Of those that are told together none has come.
  for (let n = 2_000; n < 3_000; n++) comes(n);
  ends(3_000, asked[0]!, lost(2, 2_500));
  assert.deepEqual(gaps, [2 * 1_998]);
  outage(processes);
  // Of those some have.
  for (let n = 3_100; n < 6_000; n++) comes(n);
  ends(6_000, asked[1]!, lost(3_001, 5_500));
  assert.deepEqual(gaps, [2 * 1_998, undefined]);
  outage(processes);
  // All have.
  for (let n = 6_001; n < 9_000; n++) comes(n);
  ends(9_000, asked[2]!, lost(6_001, 8_500));
  assert.equal(gaps.length, 2);
});

test("who leaves right after the last thing that was heard of it was not missed", () => {
  const whole = setUp();
  whole.comes(1);
  outage(whole.processes);
  whole.comes(2, { kind: "b" });
  assert.deepEqual(whole.gaps, []);
  const holed = setUp();
  holed.comes(1);
  outage(holed.processes);
  holed.comes(3, { kind: "b" });
  holed.processes.gone(UID);
  assert.deepEqual(holed.gaps, [undefined]);
});

test("what is held of a process that is gone is handed over, with what was said again", () => {
  const { processes, delivered, comes, again } = setUp();
  comes(1);
  outage(processes);
  again(3);
  again(5);
  comes(7);
  processes.gone(UID);
  assert.deepEqual(delivered, [1, 3, 5, 7]);
});

test("a question names its channels as long as it fits into a payload, whatever they are called", () => {
  for (const name of ["room", "\u0001".repeat(63), "漢".repeat(21)]) {
    let count = 0;
    for (; count < 5_000; count++) {
      const { processes, asked, comes } = setUp();
      comes(1);
      processes.ask(processes.open(), Array(count).fill(name));
      const [ask] = asked;
      assert.ok(Buffer.byteLength(encodeAsk({ ...ask!, hasRoomChannels: true })) < 4_000, name);
      if (ask!.channels === undefined) break;
    }
    assert.ok(count > 5 && count < 5_000, `${count}`);
  }
});

test("a question that waits for a connection itself is not given up, as long as it can be answered", (t) => {
  const time = { now: 1_000 };
  const { now } = performance;
  performance.now = () => time.now;
  t.after(() => performance.now = now);
  const { processes, delivered, asked, gaps, comes, again, ends } = setUp();
  comes(1);
  outage(processes);
  comes(3);
  for (; time.now < 21_000; time.now += 1_000) processes.sweep(false);
  assert.deepEqual([gaps, asked.length], [[], 1]);
  // It is sent, and answered.
  processes.sweep(true);
  again(2);
  ends(4, asked[0]!);
  assert.deepEqual([delivered, gaps], [[1, 2, 3], []]);
  // Who joins a room waits no longer than ever, whatever is said in it.
  processes.ask(processes.open(), ["room"]);
  comes(6, { previous: 0 }, "room");
  assert.deepEqual(delivered, [1, 2, 3]);
  for (const end = time.now + 17_000; time.now < end; time.now += 1_000) processes.sweep(false);
  assert.deepEqual([delivered, gaps], [[1, 2, 3, 6], []]);
  // What is not remembered any more holds nothing up.
  outage(processes);
  comes(8);
  for (const end = time.now + 50_000; time.now < end; time.now += 1_000) processes.sweep(false);
  assert.deepEqual([delivered, gaps], [[1, 2, 3, 6, 8], [undefined]]);
});
