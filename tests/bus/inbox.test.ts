import assert from "node:assert/strict";
import { test } from "node:test";
import { Inbox } from "../../src/bus/inbox.ts";
import type { PgAdapterError } from "../../src/errors.ts";
import type { Ask } from "../../src/wire/ask.ts";
import {
  encodeFrame,
  type FrameHead,
  MAX_BODY_BYTES,
  repeated,
  resent,
} from "../../src/wire/frame.ts";
import { numbered } from "../../src/wire/logged.ts";
import { encodeMessage, MalformedMessage, type Message } from "../../src/wire/message.ts";

const OWN = "0000000000000000";
const OTHER = "1111111111111111";

function setUp(maxPayload = 1_000_000) {
  const messages: [string | undefined, Message][] = [];
  const errors: PgAdapterError[] = [];
  let echoes = 0;
  let refuse: Error | undefined;
  let isOwnMissing = false;
  const asked: (Omit<Ask, "hasRoomChannels"> & { uid: string })[] = [];
  const gaps: [string, number | undefined][] = [];
  const members = new Set([OTHER]);
  const unwanted = new Set<string>();
  const inbox = new Inbox(OWN, { maxPayload, replayWindow: 30_000 }, undefined, {
    message(uid, message) {
      if (refuse !== undefined && message.value === "refuse") throw refuse;
      messages.push([uid, message]);
    },
    isOfProcesses: (channel) => channel === "processes",
    isWanted: (channel) => !unwanted.has(channel),
    isEchoWanted: () => true,
    isOwnMissing: () => isOwnMissing,
    echo: () => echoes++,
    heard: () => {},
    isMember: (uid) => members.has(uid),
    left: (uid) => members.delete(uid),
    asked: () => {},
    ask: (uid, ask) => asked.push({ uid, ...ask }),
    gap: (uid, missed) => gaps.push([uid, missed]),
    error: (error) => errors.push(error),
  });
  return {
    inbox,
    receive: (payload: string, channel = "c") => inbox.receive(channel, payload),
    asked,
    gaps,
    unwanted,
    messages,
    errors,
    echoes: () => echoes,
    refuse: (fault: Error) => refuse = fault,
    missOwn: (isMissing: boolean) => isOwnMissing = isMissing,
    values: () => messages.map(([, { value }]) => value),
  };
}

function frame(sequence: number, values: unknown[], more: Partial<FrameHead> = {}): string {
  const records = values.map((value) => encodeMessage({ type: 4, nsp: "/", value })).join("");
  return encodeFrame({ kind: "r", uid: OTHER, sequence, previous: sequence - 1, ...more }, records);
}

test("each message of each frame is told, in order", () => {
  const { receive, values, messages } = setUp();
  receive(frame(1, ["a", "b"]));
  receive(frame(2, ["c"]));
  assert.deepEqual(values(), ["a", "b", "c"]);
  assert.ok(messages.every(([uid]) => uid === OTHER));
});

test("a frame that was received is not told again", () => {
  const { inbox, receive, values } = setUp();
  for (const sequence of [1, 2, 1, 2, 3, 3]) receive(frame(sequence, [sequence]));
  assert.deepEqual(values(), [1, 2, 3]);
  assert.equal(inbox.stats.duplicates, 3);
});

test("senders do not share sequence numbers, and emitters have no order over all that they send", () => {
  const { receive, values } = setUp();
  receive(frame(5, ["a"]));
  receive(frame(1, ["b"], { uid: "2222222222222222" }));
  const emitter = (sequence: number, value: string) =>
    encodeFrame(
      { kind: "r", uid: "3333333333333333", sequence },
      encodeMessage({ type: 4, nsp: "/", value }),
    );
  receive(emitter(2, "c"));
  receive(emitter(1, "d"));
  assert.deepEqual(values(), ["a", "b", "c", "d"]);
});

test("an own frame is an echo and nothing more", () => {
  const { receive, echoes, messages } = setUp();
  receive(frame(1, ["a"], { uid: OWN }));
  assert.equal(echoes(), 1);
  assert.deepEqual(messages, []);
});

test("an own frame that is said again for others is no echo", () => {
  const { receive, echoes } = setUp();
  receive(repeated(frame(1, ["a"], { uid: OWN })));
  assert.equal(echoes(), 0);
  // Sent once more, as nobody knows whether it was committed, is another matter.
  receive(resent(frame(1, ["a"], { uid: OWN })));
  assert.equal(echoes(), 1);
});

test("what bears the own name and is no frame that was sent is no echo", () => {
  const { receive, echoes, errors } = setUp();
  const rest = frame(1, ["a"], { uid: OWN }).slice(1);
  for (const payload of [`1r${OWN}`, `1r${OWN}~~`, `1r${OWN}-1;`, `1r${OWN}0;`, `2${rest}`]) {
    receive(payload);
  }
  assert.equal(echoes(), 0);
  assert.equal(errors.length, 0);
});

test("chunks are put together, also when one of them comes twice", () => {
  const { receive, values } = setUp();
  const long = "x".repeat(2 * MAX_BODY_BYTES);
  const record = encodeMessage({ type: 4, nsp: "/", value: long });
  const third = Math.ceil(record.length / 3);
  const chunks = [0, 1, 2].map((index) =>
    encodeFrame(
      { kind: "c", uid: OTHER, sequence: index + 1, previous: index, chunk: { index, count: 3 } },
      record.slice(index * third, (index + 1) * third),
    )
  );
  for (const chunk of [chunks[0]!, chunks[1]!, chunks[1]!, chunks[2]!]) receive(chunk);
  assert.deepEqual(values(), [long]);
});

test("a record whose beginning was not heard is passed over, without an error", () => {
  const { inbox, receive, values, errors } = setUp();
  receive(
    encodeFrame(
      { kind: "c", uid: OTHER, sequence: 4, previous: 3, chunk: { index: 1, count: 2 } },
      "rest",
    ),
  );
  receive(frame(5, ["next"]));
  assert.deepEqual(values(), ["next"]);
  assert.deepEqual(errors, []);
  assert.equal(inbox.stats.incomplete, 1);
});

test("a record of more chunks than maxPayload allows is refused at its first chunk", () => {
  const { receive, errors } = setUp(1_000);
  receive(
    encodeFrame({
      kind: "c",
      uid: OTHER,
      sequence: 1,
      previous: 0,
      chunk: { index: 0, count: 9_999_999 },
    }, "x"),
  );
  assert.deepEqual(errors.map(({ code }) => code), ["MALFORMED_MESSAGE"]);
});

test("a message that is refused does not take its neighbours with it", () => {
  const { receive, values, errors, refuse } = setUp();
  refuse(new MalformedMessage("Cannot read it"));
  receive(frame(1, ["a", "refuse", "b"]));
  assert.deepEqual(values(), ["a", "b"]);
  assert.equal(errors.length, 1);
});

test("a frame of another version is one clear error", () => {
  const { inbox, receive, errors } = setUp();
  for (let i = 0; i < 10; i++) receive(`2${frame(i + 1, ["a"]).slice(1)}`);
  assert.deepEqual(errors.map(({ code }) => code), ["WIRE_VERSION"]);
  assert.match(errors[0]!.message, /version "2".*version "1"/);
  assert.equal(inbox.stats.malformed, 10);
});

test("what was begun on a channel that was left meanwhile is not missed", () => {
  const { inbox, receive, unwanted, values, gaps } = setUp();
  const chunk = (sequence: number, index: number) =>
    encodeFrame(
      { kind: "c", uid: OTHER, sequence, previous: sequence - 1, chunk: { index, count: 3 } },
      "25,0;",
    );
  receive(chunk(1, 0), "c");
  receive(chunk(2, 1), "c");
  unwanted.add("c");
  // The third was said when the channel was not listened to any more.
  receive(frame(4, ["next"], { previous: 0 }), "d");
  assert.deepEqual(gaps, []);
  // One that is still wanted is missed when its rest does not come.
  receive(chunk(5, 0), "e");
  receive(frame(8, ["after"], { previous: 4 }), "d");
  assert.deepEqual(gaps, [[OTHER, 1]]);
  assert.deepEqual(values(), ["next", "after"]);
  assert.equal(inbox.stats.incomplete, 2);
});

test("the chunks of two records are never put together into one", () => {
  const { inbox, receive, values } = setUp();
  const chunk = (sequence: number, index: number, body: string, count = 3) =>
    encodeFrame({ kind: "c", uid: OTHER, sequence, previous: 0, chunk: { index, count } }, body);
  // Not heard: the second and third chunk of one record, and the first of the next.
  receive(chunk(1, 0, "25,0;"));
  receive(chunk(5, 1, '{"t":4,"n":"/",'));
  receive(chunk(6, 2, '"v":"a b"}'));
  assert.deepEqual(values(), []);
  receive(chunk(7, 0, "25,0;"));
  receive(chunk(8, 1, '{"t":4,"n":"/",', 4));
  receive(chunk(9, 2, '"v":"a b"}'));
  assert.deepEqual(values(), []);
  assert.equal(inbox.stats.malformed, 0);
});

test("a record that cannot be read does not take its neighbours with it", () => {
  const { receive, values, errors } = setUp();
  const good = (value: string) => encodeMessage({ type: 4, nsp: "/", value });
  const header = '{"t":4,"n":"/","r":[null]}';
  const bad = `${header.length},0;${header}`;
  receive(
    encodeFrame({ kind: "r", uid: OTHER, sequence: 1, previous: 0 }, good("a") + bad + good("b")),
  );
  assert.deepEqual(values(), ["a", "b"]);
  assert.equal(errors.length, 1);
});

test("unfinished records are bounded: the sender that was silent for longest loses its own", () => {
  const { inbox, receive } = setUp(1_000);
  const piece = "x".repeat(7_900);
  const senders = Array.from(
    { length: 10 },
    (_, i) => `${i}`.repeat(16).slice(0, 16).replace(/^0/, "a"),
  );
  for (const uid of senders) {
    for (let index = 0; index < 100; index++) {
      receive(
        encodeFrame({
          kind: "c",
          uid,
          sequence: index + 1,
          previous: index,
          chunk: { index, count: 200 },
        }, piece),
      );
    }
  }
  // Four records of the largest size, of a million characters each, are what is kept.
  assert.ok(inbox.stats.incomplete >= 4, String(inbox.stats.incomplete));
});

test("a plain message for what was just left is for nobody, and on a channel of processes an error", () => {
  const { receive, messages, errors } = setUp();
  receive('{"emit":["a"]}');
  receive('@1764130000000001;{"emit":["a"]}');
  assert.equal(errors.length, 0);
  receive('@1764130000000001;{"emit":["a"]}', "processes");
  assert.match(String(errors[0]), /channel has no namespace/);
  assert.deepEqual(messages, []);
});

test("in the order of the log messages wait for what is missing, and what processes say of themselves does not", () => {
  const { inbox, receive, values, messages, missOwn } = setUp();
  inbox.keepOrder();
  missOwn(true);
  const [late, early] = [3, 2].map((number, i) => numbered(number, frame(i + 1, [number])));
  receive(late!);
  const heartbeat = encodeMessage({ type: 2, value: "heartbeat" });
  receive(
    encodeFrame({ kind: "r", uid: OTHER, sequence: 2, previous: 1 }, heartbeat),
    "processes",
  );
  assert.deepEqual(values(), ["heartbeat"]);
  receive(early!.replace(OTHER, "2".repeat(16)));
  missOwn(false);
  inbox.settled();
  assert.deepEqual(values(), ["heartbeat", 2, 3]);
  assert.deepEqual(messages.map(([, { number }]) => number), [undefined, 2, 3]);
});
