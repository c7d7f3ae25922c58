import assert from "node:assert/strict";
import {
  attachmentIdOf,
  decodeOfficial,
  encodeOfficial,
  isOurs,
  officialChannel,
  parseOfficial,
} from "../../src/official/message.ts";
import { decodeMsgpack, encodeMsgpack } from "../../src/official/msgpack.ts";
import { MAX_ATTACHMENTS, notifyOfficial } from "../../src/official/statement.ts";
import { MalformedMessage, type Message, MessageType } from "../../src/wire/message.ts";
import { encodeArgs, encodeEvent } from "../../src/wire/packet.ts";
import { test } from "../support/test.ts";

const SENDER = { uid: "00112233aabbccdd", id: "7" };
const OPTIONS = { payloadThreshold: 8_000 };
const NO_ONE = { rooms: [], except: [], flags: {} };

/** What a message looks like there, without the mark. */
function encoded(message: Message): unknown {
  const { payload, attachment } = encodeOfficial("c", message, SENDER, OPTIONS);
  assert.ok(isOurs(payload));
  assert.equal(attachment, undefined);
  const { "socketio-pg": mark, ...rest } = JSON.parse(payload);
  assert.equal(mark, "7");
  return rest;
}

/** A message as servers of theirs make it of the base class. */
function theirs(type: number, data?: unknown): Record<string, unknown> {
  return { uid: SENDER.uid, type, nsp: "/chat", ...data !== undefined && { data } };
}

/** Messages of ours beside what theirs says for the same. */
const BOTH: readonly [Message, Record<string, unknown>][] = [
  [{ type: MessageType.INITIAL_HEARTBEAT, nsp: "/chat" }, theirs(1)],
  [{ type: MessageType.HEARTBEAT, nsp: "/chat" }, theirs(2)],
  [{ type: MessageType.ADAPTER_CLOSE, nsp: "/chat" }, theirs(13)],
  [
    {
      type: MessageType.BROADCAST,
      nsp: "/chat",
      rooms: ["a", 1],
      except: ["b"],
      flags: { volatile: true },
      parts: encodeEvent("/chat", ["hello", { n: 1 }]),
    },
    theirs(3, {
      packet: { type: 2, data: ["hello", { n: 1 }], nsp: "/chat" },
      opts: { rooms: ["a", 1], except: ["b"], flags: { volatile: true } },
    }),
  ],
  [
    {
      type: MessageType.BROADCAST,
      nsp: "/chat",
      rooms: [],
      except: [],
      requestId: "r1",
      value: 500,
      parts: encodeEvent("/chat", ["ask"]),
    },
    theirs(3, {
      packet: { type: 2, data: ["ask"], nsp: "/chat" },
      requestId: "r1",
      opts: { rooms: [], except: [], flags: { timeout: 500 } },
    }),
  ],
  [
    { type: MessageType.SOCKETS_JOIN, nsp: "/chat", rooms: ["a"], except: [], value: ["b", "c"] },
    theirs(4, { opts: { ...NO_ONE, rooms: ["a"] }, rooms: ["b", "c"] }),
  ],
  [
    { type: MessageType.SOCKETS_LEAVE, nsp: "/chat", rooms: [], except: ["x"], value: ["b"] },
    theirs(5, { opts: { ...NO_ONE, except: ["x"] }, rooms: ["b"] }),
  ],
  [
    { type: MessageType.DISCONNECT_SOCKETS, nsp: "/chat", rooms: [], except: [], value: true },
    theirs(6, { opts: NO_ONE, close: true }),
  ],
  [
    { type: MessageType.FETCH_SOCKETS, nsp: "/chat", rooms: [], except: [], requestId: "r" },
    theirs(7, { opts: NO_ONE, requestId: "r" }),
  ],
  [
    {
      type: MessageType.FETCH_SOCKETS_RESPONSE,
      nsp: "/chat",
      requestId: "r",
      parts: encodeArgs([{ id: "s" }]),
    },
    theirs(8, { requestId: "r", sockets: [{ id: "s" }] }),
  ],
  [
    { type: MessageType.SERVER_SIDE_EMIT, nsp: "/chat", parts: encodeArgs(["tell", 1]) },
    theirs(9, { packet: ["tell", 1] }),
  ],
  [
    {
      type: MessageType.SERVER_SIDE_EMIT,
      nsp: "/chat",
      requestId: "r",
      parts: encodeArgs(["ask"]),
    },
    theirs(9, { requestId: "r", packet: ["ask"] }),
  ],
  [
    {
      type: MessageType.SERVER_SIDE_EMIT_RESPONSE,
      nsp: "/chat",
      requestId: "r",
      parts: encodeArgs(["answer"]),
    },
    theirs(10, { requestId: "r", packet: "answer" }),
  ],
  [
    { type: MessageType.BROADCAST_CLIENT_COUNT, nsp: "/chat", requestId: "r", value: 3 },
    theirs(11, { requestId: "r", clientCount: 3 }),
  ],
  [
    {
      type: MessageType.BROADCAST_ACK,
      nsp: "/chat",
      requestId: "r",
      parts: encodeArgs([{ ok: true }]),
    },
    theirs(12, { requestId: "r", packet: { ok: true } }),
  ],
];

test("messages look as theirs, and are read from theirs", () => {
  for (const [message, json] of BOTH) {
    assert.deepEqual(encoded(message), json);
    const { uid, message: read } = decodeOfficial(json, "/chat", 100);
    assert.equal(uid, SENDER.uid);
    assert.deepEqual(read, message);
  }
});

test("what is said only in part is completed", () => {
  const { uid, message } = decodeOfficial(
    { uid: "emitter", type: 3, data: { packet: { data: ["a"] }, opts: { rooms: [null, "r"] } } },
    "/",
    100,
  );
  assert.equal(uid, undefined);
  assert.deepEqual(message, { type: 3, nsp: "/", rooms: ["r"], except: [], parts: ['2["a"]'] });
  // Rooms that were none have no members, and are not everybody.
  const { message: nobody } = decodeOfficial(
    { uid: "a", type: 3, nsp: "/", data: { packet: { data: ["a"] }, opts: { rooms: [null] } } },
    "/",
    100,
  );
  assert.equal(nobody.rooms?.length, 1);
  const { message: asking } = decodeOfficial(
    {
      uid: "a",
      type: 3,
      nsp: "/",
      data: {
        packet: { data: ["a"] },
        requestId: "r",
        opts: { rooms: [], except: [], flags: { timeout: null } },
      },
    },
    "/",
    100,
  );
  assert.equal(asking.value, 100);
});

test("what is binary or too large lies in the table", () => {
  const broadcast = (value: unknown): Message => ({
    type: MessageType.BROADCAST,
    nsp: "/",
    rooms: [],
    except: [],
    parts: encodeEvent("/", ["e", value]),
  });
  const lies = (value: unknown, payloadThreshold = 8_000) =>
    encodeOfficial("c", broadcast(value), SENDER, { payloadThreshold });
  const small = lies("x".repeat(7_700));
  assert.equal(small.attachment, undefined);
  assert.ok(Buffer.byteLength(small.payload) <= 7_999);
  assert.equal(lies("x".repeat(500), 1_000).attachment, undefined);
  for (
    const item of [
      lies("x".repeat(8_000)),
      lies("ü".repeat(3_950)),
      lies("x".repeat(1_000), 1_000),
      lies(Buffer.from([1])),
    ]
  ) {
    const header = JSON.parse(`${item.payload}12"}`);
    assert.deepEqual(header, {
      "socketio-pg": "7",
      uid: SENDER.uid,
      type: 3,
      attachmentId: "12",
    });
    assert.equal(attachmentIdOf(parseOfficial(`${item.payload}12"}`)), "12");
    const { message } = decodeOfficial(decodeMsgpack(item.attachment!), "/", 100);
    assert.equal(message.type, 3);
  }
  const { message } = decodeOfficial(
    decodeMsgpack(lies(Buffer.from([1, 2])).attachment!),
    "/",
    100,
  );
  assert.deepEqual(message.parts?.[0], '51-["e",{"_placeholder":true,"num":0}]');
  assert.deepEqual([...message.parts![1] as Uint8Array], [1, 2]);
});

test("names of channels", () => {
  assert.equal(officialChannel("socket.io", "/"), "socket.io#/");
  assert.equal(officialChannel("p", `/${"n".repeat(60)}`), `p#/${"n".repeat(60)}`);
  assert.equal(officialChannel("p", `/${"n".repeat(61)}`), undefined);
  assert.equal(officialChannel("p", `/${"ü".repeat(31)}`), undefined);
  assert.equal(officialChannel("p", "/\0"), undefined);
});

/** https://github.com/msgpack/msgpack/blob/master/spec.md: values beside their bytes in hexadecimal. */
const MSGPACK: readonly [unknown, string][] = [
  [null, "c0"],
  [false, "c2"],
  [true, "c3"],
  [0, "00"],
  [127, "7f"],
  [128, "cc80"],
  [255, "ccff"],
  [256, "cd0100"],
  [65_535, "cdffff"],
  [65_536, "ce00010000"],
  [2 ** 32 - 1, "ceffffffff"],
  [-1, "ff"],
  [-32, "e0"],
  [-33, "d0df"],
  [-128, "d080"],
  [-129, "d1ff7f"],
  [-32_768, "d18000"],
  [-32_769, "d2ffff7fff"],
  [-(2 ** 31), "d280000000"],
  [1.5, "cb3ff8000000000000"],
  [2 ** 53 - 1, "cb433fffffffffffff"],
  ["", "a0"],
  ["ü", "a2c3bc"],
  ["x".repeat(32), `d920${"78".repeat(32)}`],
  ["x".repeat(256), `da0100${"78".repeat(256)}`],
  ["x".repeat(65_536), `db00010000${"78".repeat(65_536)}`],
  [new Uint8Array([1, 2]), "c4020102"],
  [new Uint8Array(256), `c50100${"00".repeat(256)}`],
  [new Uint8Array(65_536), `c600010000${"00".repeat(65_536)}`],
  [[], "90"],
  [Array(16).fill(1), `dc0010${"01".repeat(16)}`],
  [Array(65_536).fill(1), `dd00010000${"01".repeat(65_536)}`],
  [{}, "80"],
  [{ a: [{ b: null }] }, "81a16191" + "81a162c0"],
];

test("MessagePack as it is specified", () => {
  for (const [value, hex] of MSGPACK) {
    const bytes = encodeMsgpack(value);
    assert.equal(Buffer.from(bytes).toString("hex"), hex);
    assert.deepEqual(decodeMsgpack(bytes), value);
  }
  const many = Object.fromEntries(Array.from({ length: 70_000 }, (_, i) => [`k${i}`, i]));
  assert.deepEqual(decodeMsgpack(encodeMsgpack(many)), many);
});

test("MessagePack says what JSON says", () => {
  const value = {
    left: undefined,
    fn: () => {},
    date: new Date(0),
    list: [undefined, NaN, -0, Infinity],
    deep: { toJSON: () => ({ kept: 1 }) },
    __proto__: null,
  };
  assert.deepEqual(decodeMsgpack(encodeMsgpack(value)), JSON.parse(JSON.stringify(value)));
  const odd = JSON.parse('{"__proto__":{"polluted":true}}');
  const copy = decodeMsgpack(encodeMsgpack(odd)) as Record<string, unknown>;
  assert.deepEqual(Object.keys(copy), ["__proto__"]);
  assert.equal(({} as { polluted?: boolean }).polluted, undefined);
});

test("what theirs may write besides is read", () => {
  const read = (hex: string) => decodeMsgpack(Buffer.from(hex, "hex"));
  assert.equal(read("cf0000000100000000"), 2 ** 32);
  assert.equal(read("d3ffffffff00000000"), -(2 ** 32));
  assert.equal(read("ca3fc00000"), 1.5);
  assert.deepEqual(read("d6ff00000001"), new Date(1_000));
  assert.deepEqual(read("d7ff077359400000000a"), new Date(10_500 - 469));
  assert.deepEqual(read("c70cff1dcd6500ffffffffffffffff"), new Date(-500));
  assert.deepEqual(read("8101c0"), { 1: null });
});

test("what is no MessagePack is refused, and takes neither memory nor the stack", () => {
  const deep = new Uint8Array(100_000).fill(0x91);
  for (
    const bytes of [
      "",
      "c1",
      "0101",
      "a5",
      "91",
      "81a161",
      "ddffffffff",
      "dfffffffff00",
      "c6ffffffff",
      "dbffffffff",
      "81c001",
      "d40100",
      "d6ff0000",
      "cb00",
    ].map((hex) => Buffer.from(hex, "hex"))
  ) assert.throws(() => decodeMsgpack(bytes), MalformedMessage, bytes.toString("hex"));
  assert.throws(() => decodeMsgpack(deep), MalformedMessage);
});

test("a statement for many notifications keeps their order, and within what PostgreSQL takes", () => {
  const items = Array.from({ length: MAX_ATTACHMENTS * 2 }, (_, i) => ({
    channel: "c",
    payload: `"${i}\\`,
    ...i % 2 === 1 && { attachment: new Uint8Array([i]) },
  }));
  const { text, parameters } = notifyOfficial(items, "t");
  assert.equal(text.match(/insert into t /g)?.length, MAX_ATTACHMENTS);
  assert.ok((text.match(/pg_notify\(/g)?.length ?? 0) <= 1_664);
  assert.deepEqual(text.match(/\$\d+/g), parameters.map((_, i) => `$${i + 1}`));
  const few = notifyOfficial(items.slice(0, 2), "t");
  assert.equal(
    few.text,
    `with a0 as (insert into t (payload) values (decode($1::text, 'base64')) returning id) select pg_notify($2::text, $3::text), (select pg_notify($4::text, $5::text || id || '"}') from a0)`,
  );
});
