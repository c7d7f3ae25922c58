import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeArgs, decodeEvent, encodeArgs, encodeEvent } from "../../src/wire/packet.ts";
import { MalformedMessage, type Message, MessageType } from "../../src/wire/message.ts";
import { decodePlain } from "../../src/wire/plain.ts";
import { MessageType as ClusterMessageType } from "socket.io-adapter";
import { readVectors } from "./vectors.ts";

interface Vectors {
  read: {
    name: string;
    channel: { nsp: string; room?: string };
    payload: string;
    message: Message;
  }[];
  refuse: string[];
}

const vectors = readVectors<Vectors>("plain");

test("plain messages are read as the golden vectors say", () => {
  for (const { name, channel, payload, message } of vectors.read) {
    assert.deepEqual(decodePlain(payload, channel), message, name);
  }
});

test("plain messages that are none are refused", () => {
  for (const payload of vectors.refuse) {
    assert.throws(
      () => decodePlain(payload, { nsp: "/" }),
      (fault) => fault instanceof MalformedMessage || fault instanceof SyntaxError,
      payload,
    );
  }
});

test("types of messages have the numbers of socket.io-adapter", () => {
  for (const [name, number] of Object.entries(MessageType)) {
    if (number <= 13) assert.equal(ClusterMessageType[number], name);
  }
});

test("events are written as Socket.IO's default parser writes them, binary anywhere", async () => {
  const { Encoder } = await import("socket.io-parser");
  const samples: unknown[][] = [
    ["hello"],
    ["hello", undefined, null, 1.5, "é🙂\u2028", { nested: [true] }],
    ["date", new Date(0), { toJSON: () => ({ a: 1 }) }],
    ["binary", new Uint8Array([1, 2]), {
      deep: [{ deeper: Buffer.from("x") }],
      none: Buffer.alloc(0),
    }],
    ["binary from toJSON", { toJSON: () => ({ bytes: new Uint8Array([3]) }) }],
  ];
  for (const nsp of ["/", "/chat"]) {
    for (const data of samples) {
      const expected = new Encoder().encode({ type: 2, nsp, data });
      assert.deepEqual(encodeEvent(nsp, data).map(String), expected.map(String), String(data[0]));
      const decoded = decodeEvent(nsp, encodeEvent(nsp, data));
      assert.equal(decoded[0], data[0]);
    }
  }
});

test("data that looks like a placeholder is not taken for one, next to binary or not", () => {
  const forged = [
    { _placeholder: true, num: 0 },
    { _placeholder: true, num: 99 },
    { _placeholder: true, num: -1, value: { _placeholder: true, num: 0 } },
    { deep: [{ _placeholder: true }] },
  ];
  const bytes = Buffer.from([1, 2, 3]);
  assert.deepEqual(decodeArgs(encodeArgs(forged)), forged);
  assert.deepEqual(decodeArgs(encodeArgs([...forged, bytes])), [...forged, bytes]);
});
