/** What is read out of payloads, and what of it is wrong. */
import assert from "node:assert/strict";
import { Places } from "../../src/bus/places.ts";
import { type Heard, Traffic } from "../../src/cli/traffic.ts";
import { numbered } from "../../src/wire/logged.ts";
import { outgoing, packFrames, repeated, resent } from "../../src/wire/frame.ts";
import { encodeMessage, MessageType } from "../../src/wire/message.ts";
import { encodeEvent } from "../../src/wire/packet.ts";
import { test } from "../support/test.ts";

const CHANNEL = "socket.io:/";
const UID = "0123456789abcdef";

/** A reader of the namespace "/", and what it has heard. */
function createReader(): {
  traffic: Traffic;
  heard: Heard[];
  receive(...payloads: string[]): void;
} {
  const places = new Places();
  places.add(CHANNEL, { nsp: "/" });
  const heard: Heard[] = [];
  const traffic = new Traffic(places, undefined, (each) => heard.push(each));
  const receive = (...payloads: string[]) => {
    for (const payload of payloads) traffic.receive(CHANNEL, payload, new Date());
  };
  return { traffic, heard, receive };
}

/** The frames of events, in the order of one sender. */
function framesOf(...events: unknown[][]): string[] {
  let sequence = 0;
  return events.flatMap((event) => {
    const record = encodeMessage({
      type: MessageType.BROADCAST,
      nsp: "/",
      parts: encodeEvent("/", event),
    });
    return packFrames([outgoing(CHANNEL, record)], () => ({ uid: UID, sequence: ++sequence }));
  }).map(({ payload }) => payload);
}

test("what is sent once more is shown once", () => {
  const { heard, receive } = createReader();
  const [first = "", second = ""] = framesOf(["a"], ["b"]);
  receive(first, resent(first), resent(second), repeated(first), repeated(second));
  assert.deepEqual(heard.map(({ event }) => event), ["a", "b"]);
});

test("chunks are put together, and counted where some are missing", () => {
  const { traffic, heard, receive } = createReader();
  const [one = "", two = "", three = "", ...rest] = framesOf(["a", "x".repeat(20_000)], ["b"]);
  receive(two, three);
  assert.deepEqual([heard.length, traffic.incomplete], [0, 2]);
  receive(one, two, three, ...rest);
  assert.deepEqual(heard.map(({ event, bytes }) => [event, bytes]), [["a", 20_009], ["b", 6]]);
});

test("one that is malformed does not take its neighbours with it", () => {
  const { heard, receive } = createReader();
  const good = encodeMessage({
    type: MessageType.BROADCAST,
    nsp: "/",
    parts: encodeEvent("/", ["good"]),
  });
  const bad = encodeMessage({
    type: MessageType.BROADCAST,
    nsp: "/",
    parts: encodeEvent("/", ["disconnect"]),
  });
  receive(`1r${UID}1;${good}${bad}${good}`, "nonsense", `1b${UID}2,1;`, `1p${UID}3;`);
  assert.deepEqual(heard.map(({ type, event }) => event ?? type), [
    "good",
    "malformed",
    "good",
    "malformed",
  ]);
  assert.match(heard[1]?.error ?? "", /"disconnect" is reserved/);
});

test("packets of another parser, and requests, are named", () => {
  const { heard, receive } = createReader();
  const records = [
    { type: MessageType.BROADCAST, nsp: "/", parser: "0a1b2c3d", parts: [new Uint8Array(3)] },
    { type: MessageType.FETCH_SOCKETS, nsp: "/", requestId: "r1" },
    { type: MessageType.FETCH_SOCKETS_RESPONSE, nsp: "/", requestId: "r1" },
  ].map(encodeMessage);
  receive(`1r${UID}1;${records.join("")}`);
  assert.deepEqual(
    heard.map(({ type, event, bytes, ack }) => [type, event, bytes, ack]),
    [
      ["emit", undefined, 3, undefined],
      ["fetchSockets", undefined, undefined, true],
      ["other", undefined, undefined, true],
    ],
  );
});

test("what is in the log of recovery is shown as everything else", () => {
  const { heard, receive } = createReader();
  const [first = "", second = ""] = framesOf(["a"], ["b"]);
  receive(numbered(1, first), numbered(2, '{"emit":["plain"]}'), numbered(3, second));
  assert.deepEqual(heard.map(({ event }) => event), ["a", "plain", "b"]);
});
