import assert from "node:assert/strict";
import { Repeats } from "../../src/bus/repeats.ts";
import { type SentFrame, SentFrames } from "../../src/bus/sent_frames.ts";
import { type Ask, decodeAskEnd, type Lost } from "../../src/wire/ask.ts";
import { namespaceChannel, privateChannel } from "../../src/wire/channel.ts";
import type { Notification } from "../../src/wire/frame.ts";
import { type Scope, test } from "../support/test.ts";
import { until } from "../support/wait.ts";

const PREFIX = "p";
const EVERYBODY = namespaceChannel(PREFIX, "/");
const FRAME_BYTES = 100;
const ROOM = `${EVERYBODY}room`;

/** Answers from a memory of frames with the numbers 1, 2, 3…, and a list of what was said. */
function createRepeats(
  t: Scope,
  frames: number,
  channel: string = EVERYBODY,
  maxFrames: number = Infinity,
) {
  const sent = new SentFrames(60_000, maxFrames * FRAME_BYTES);
  for (let sequence = 1; sequence <= frames; sequence++) {
    const payload = `1r0123456789abcdef${sequence},${sequence - 1};`;
    sent.add({ sequence, channel, payload, bytes: FRAME_BYTES, messages: 1 } satisfies SentFrame);
  }
  const said: string[] = [];
  const publisher = {
    takesRepeats: true,
    lastSequence: frames,
    isAsked: false,
    flush: () => Promise.resolve(),
    sentAfter: sent.after.bind(sent),
    repeat: (list: readonly Notification[]) => {
      for (const { channel, payload } of list) {
        said.push(`${channel === EVERYBODY ? "all" : channel} ${/f(\d+)/.exec(payload)![1]}`);
      }
    },
    control: (channel: string, kind: "e", body: string) => {
      said.push(`${kind} ${channel.slice(-1)} ${JSON.stringify(decodeAskEnd(body))}`);
    },
  };
  const repeats = new Repeats(PREFIX, (name) => name === EVERYBODY, publisher);
  t.after(() => repeats.close());
  const ask = (uid: string, after: number, more: Partial<Ask> = {}) =>
    repeats.ask(uid, { id: 1, after, hasRoomChannels: true, ...more });
  return { repeats, publisher, said, ask };
}

const end = (uid: string, lost: Lost[] = [], older?: Lost) =>
  `e ${privateChannel(PREFIX, uid).slice(-1)} ${JSON.stringify({ id: 1, lost, older })}`;

test("what is asked for together is said once, and each is told the end", async (t) => {
  const { said, ask } = createRepeats(t, 4);
  ask("a", 2);
  ask("b", 1);
  ask("c", 3);
  await until("all is said", () => said.length >= 6);
  assert.deepEqual(said, ["all 2", "all 3", "all 4", end("a"), end("b"), end("c")]);
});

test("who asks while an answer is fresh is answered together with the others who do", async (t) => {
  const { said, ask } = createRepeats(t, 1_000);
  ask("a", 0);
  await until("the first is answered", () => said.includes(end("a")));
  said.length = 0;
  // A millisecond for each frame, in which these come one by one.
  const asked: string[] = [];
  for (const uid of "bcdefghij") {
    ask(uid, 0);
    asked.push(end(uid));
    await new Promise<void>((resolve) => setTimeout(resolve, 2));
  }
  await until("they are answered", () => asked.every((line) => said.includes(line)));
  assert.equal(said.filter((line) => line.startsWith("all")).length, 1_000);
  assert.ok(!said.includes(end("a")), "the first is not answered again");
});

test("the more answers follow each other, the fewer there are", async (t) => {
  const { said, ask } = createRepeats(t, 100);
  const end = performance.now() + 1_000;
  let answers = 0;
  while (performance.now() < end) {
    ask("a", 0);
    await new Promise<void>((resolve) => setTimeout(resolve, 1));
    if (said.length > 0) answers++;
    said.length = 0;
  }
  // After 0, 100, 300 and 700 milliseconds; the next one would be later.
  assert.ok(answers >= 2 && answers <= 4, `${answers} answers`);
});

test("a process without the channels of its rooms is answered on its own", async (t) => {
  const { said, ask } = createRepeats(t, 1, ROOM);
  ask("a", 0, { hasRoomChannels: false });
  await until("it is answered", () => said.length >= 2);
  assert.deepEqual(said, [`${privateChannel(PREFIX, "a")} 1`, end("a")]);
});

test("and not before what waits is sent, which may be for the channels of rooms", async (t) => {
  const { publisher, said, ask } = createRepeats(t, 1, ROOM);
  const sent = Promise.withResolvers<void>();
  publisher.flush = () => sent.promise;
  ask("a", 0, { hasRoomChannels: false });
  ask("b", 1);
  await until("the other one is answered", () => said.length >= 1);
  assert.deepEqual(said, [end("b")]);
  sent.resolve();
  await until("it is answered", () => said.length >= 3);
});

test("what was sent after the question, and is not remembered, is not missed by who listens", async (t) => {
  // The first two thousand are forgotten.
  const { publisher, said, ask } = createRepeats(t, 3_000, EVERYBODY, 1_000);
  publisher.lastSequence = 1_500;
  ask("a", 100);
  // Of the last ones each is named.
  const last = Array.from({ length: 1_000 }, (_, i) => ({ sequence: 501 + i, messages: 1 }));
  await until("it is answered", () => said.length > 0);
  assert.equal(said.at(-1), end("a", last, { sequence: 500, messages: 400 }));
});

test("only the channels that are asked for are answered", async (t) => {
  const { said, ask } = createRepeats(t, 2);
  ask("a", 0, { channels: [ROOM] });
  await until("it is answered", () => said.length >= 1);
  assert.deepEqual(said, [end("a")]);
});

test("what was sent longer ago than the question says is left out, and the answer says so", async (t) => {
  const { said, ask } = createRepeats(t, 1);
  await new Promise<void>((resolve) => setTimeout(resolve, 30));
  ask("a", 0, { back: 10_000 });
  await until("it is answered", () => said.length >= 2);
  ask("a", 0, { id: 2, back: 20 });
  await until("it is answered again", () => said.length >= 3);
  assert.deepEqual(said, [
    "all 1",
    `e a ${JSON.stringify({ id: 1, lost: [], back: 10_000 })}`,
    `e a ${JSON.stringify({ id: 2, lost: [], back: 20 })}`,
  ]);
});

test("what is asked again and again while nothing can be sent is answered once", async (t) => {
  const { publisher, said, ask } = createRepeats(t, 1);
  publisher.takesRepeats = false;
  for (let times = 0; times < 10; times++) {
    ask("a", 0);
    await new Promise<void>((resolve) => setTimeout(resolve, 10));
  }
  assert.deepEqual(said, []);
  publisher.takesRepeats = true;
  await until("it is answered", () => said.length >= 2);
  assert.deepEqual(said, ["all 1", end("a")]);
});

test("however many ask, an answer stays small enough to go on with other things", async (t) => {
  const { publisher, said, ask } = createRepeats(t, 20_000, ROOM);
  publisher.takesRepeats = false;
  for (const uid of "abcdef") ask(uid, 0, { hasRoomChannels: false });
  publisher.takesRepeats = true;
  await until("the first are answered", () => said.length > 0);
  assert.deepEqual(said.filter((line) => line.startsWith("e")), [..."abc"].map((uid) => end(uid)));
  await until("the others are", () => said.includes(end("f")));
});

test("who leaves answers at once", async (t) => {
  const { repeats, said, ask } = createRepeats(t, 1_000);
  ask("a", 0);
  await until("the first is answered", () => said.includes(end("a")));
  ask("b", 0);
  repeats.hurry();
  assert.equal(said.at(-1), end("b"));
  ask("c", 0);
  await until("the last is answered", () => said.includes(end("c")), 900);
});

test("who has closed answers nobody", async (t) => {
  const { repeats, said, ask } = createRepeats(t, 1);
  repeats.close();
  ask("a", 0);
  await new Promise<void>((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(said, []);
});
