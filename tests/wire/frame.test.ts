import assert from "node:assert/strict";
import { test } from "node:test";
import {
  decodeFrame,
  encodeFrame,
  type Frame,
  type FrameHead,
  isFrameOf,
  MAX_BODY_BYTES,
  MAX_PAYLOAD_BYTES,
  outgoing,
  packFrames,
} from "../../src/wire/frame.ts";
import {
  decodeMessages,
  encodeMessage,
  MalformedMessage,
  type Message,
} from "../../src/wire/message.ts";
import { readVectors } from "./vectors.ts";

const UID = "0123456789abcdef";

function decodeAll(records: string): Message[] {
  return [...decodeMessages(records)].map((decode) => decode());
}

test("frames are written and read as the golden vectors say", () => {
  for (
    const { head, body, payload } of readVectors<
      { head: FrameHead; body: string; payload: string }[]
    >("frames")
  ) {
    assert.equal(encodeFrame(head, body), payload);
    assert.deepEqual(decodeFrame(payload), { ...head, isRepeat: false, isResent: false, body });
    assert.ok(isFrameOf(head.uid, payload));
    assert.ok(!isFrameOf("ffffffffffffffff", payload));
  }
});

test("records are written and read as the golden vectors say", () => {
  for (
    const { name, message, record } of readVectors<
      { name: string; message: Message; record: string }[]
    >("records")
  ) {
    assert.equal(encodeMessage(message), record, name);
    assert.deepEqual(decodeAll(record + record), [message, message], name);
  }
});

test("malformed frames are refused, and nothing else is thrown", () => {
  for (const payload of readVectors<string[]>("malformed")) {
    assert.throws(() => decodeAll(decodeFrame(payload).body), MalformedMessage, payload);
  }
});

/** Packs records and reads them back as an attentive receiver would. */
function roundTrip(items: { channel: string; record: string }[]) {
  let sequence = 0;
  const frames = packFrames(
    items.map(({ channel, record }) => outgoing(channel, record)),
    () => ({ uid: UID, sequence: ++sequence, previous: sequence - 1 }),
  );
  const received: { channel: string; record: string }[] = [];
  let pieces: string[] = [];
  for (const { channel, payload } of frames) {
    assert.ok(
      Buffer.byteLength(payload) <= MAX_PAYLOAD_BYTES,
      `a payload of ${Buffer.byteLength(payload)} bytes`,
    );
    assert.ok(payload.isWellFormed());
    const { chunk, body }: Frame = decodeFrame(payload);
    if (chunk === undefined) {
      for (const message of decodeAll(body)) {
        received.push({ channel, record: encodeMessage(message) });
      }
      continue;
    }
    assert.equal(chunk.index, pieces.push(body) - 1);
    if (chunk.index < chunk.count - 1) continue;
    received.push({ channel, record: pieces.join("") });
    pieces = [];
  }
  return { frames, received };
}

test("what is kept for recovery shares frames with what is kept there, and each has a number", () => {
  const item = (record: string, key?: string) => ({
    ...outgoing("c", record),
    ...key !== undefined && { key },
  });
  const items = [
    ...Array.from({ length: 300 }, (_, i) => item(`a${i}`, "a")),
    item("b", "b"),
    item("b", "b"),
    item("none"),
    item("a", "a"),
    ...Array.from({ length: 200 }, () => item("none")),
  ];
  let sequence = 0;
  const frames = packFrames(items, () => ({ uid: UID, sequence: ++sequence, previous: 0 }));
  assert.deepEqual(frames.map(({ items }) => items.length), [128, 128, 44, 2, 1, 1, 200]);
  assert.deepEqual(frames.flatMap(({ items }) => items), items);
  for (const { items } of frames) assert.equal(new Set(items.map(({ key }) => key)).size, 1);
});

test("records of every size around a payload arrive whole and in order, whatever their characters are", () => {
  for (const character of ["a", "é", "€", "\ufeff", "🙂"]) {
    const items: { channel: string; record: string }[] = [];
    const around = Math.floor(MAX_BODY_BYTES / Buffer.byteLength(character));
    for (
      const length of [
        0,
        1,
        around - 20,
        around - 10,
        around - 9,
        around - 8,
        around - 7,
        around,
        around + 1,
        2 * around,
        3 * around + 1,
      ]
    ) {
      items.push({
        channel: "c",
        record: encodeMessage({ type: 3, nsp: "/", parts: [`2["${character.repeat(length)}"]`] }),
      });
    }
    assert.deepEqual(roundTrip(items).received, items);
  }
});

test("small records share a frame, but never over a record of another channel", () => {
  const record = encodeMessage({ type: 3, nsp: "/", parts: ['2["x"]'] });
  const items = ["a", "a", "a", "b", "a", "a"].map((channel) => ({ channel, record }));
  const { frames, received } = roundTrip(items);
  assert.deepEqual(frames.map(({ channel }) => channel), ["a", "b", "a"]);
  assert.deepEqual(received, items);
});

test("equal records make different payloads, as PostgreSQL folds equal ones of one transaction", () => {
  const record = encodeMessage({ type: 3, nsp: "/", parts: [`2["${"x".repeat(20_000)}"]`] });
  const { frames } = roundTrip([{ channel: "a", record }, { channel: "a", record }]);
  assert.equal(new Set(frames.map(({ payload }) => payload)).size, frames.length);
});
