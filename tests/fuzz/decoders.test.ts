import assert from "node:assert/strict";
import { Decoder } from "socket.io-parser";
import { type Packet, PacketEncoder, type Parser } from "../../src/packet_encoder.ts";
import { checkEvent } from "../../src/wire/event.ts";
import { decodeFrame } from "../../src/wire/frame.ts";
import {
  argsOf,
  decodeMessages,
  encodeMessage,
  MalformedMessage,
  type Message,
  MessageType,
} from "../../src/wire/message.ts";
import type { Part } from "../../src/wire/packet.ts";
import { decodePlain } from "../../src/wire/plain.ts";
import { isRoom } from "../../src/wire/rooms.ts";
import { test } from "../support/test.ts";
import {
  anyEvent,
  anyFrame,
  anyPlain,
  anyRecord,
  CORPUS,
  mutated,
  PLAIN,
  RECORDS,
} from "./hostile.ts";
import { fuzz, inherited, type Random } from "./random.ts";

/** What a decoder makes of hostile input; all that it may throw is MalformedMessage. */
function attempt<T>(decode: () => T): { value: T } | undefined {
  try {
    return { value: decode() };
  } catch (fault) {
    if (fault instanceof MalformedMessage) return undefined;
    throw fault;
  }
}

function checkMessage(message: Message): void {
  const { type, nsp, rooms = [], except = [], flags = {}, parts = [], requestId, parser } = message;
  assert.ok((Object.values(MessageType) as number[]).includes(type));
  assert.ok(nsp === undefined || typeof nsp === "string");
  assert.ok(Array.isArray(rooms) && rooms.every(isRoom));
  assert.ok(Array.isArray(except) && except.every(isRoom));
  for (const [flag, value] of Object.entries(flags)) {
    assert.ok(["volatile", "compress"].includes(flag) && typeof value === "boolean");
  }
  assert.ok(requestId === undefined || /^[0-9a-z]{1,32}$/.test(requestId));
  assert.ok(parser === undefined || /^[0-9a-f]{8}$/.test(parser));
  assert.ok(parts.every((part) => typeof part === "string" || part instanceof Uint8Array));
  assert.equal(message.trusted, undefined);
  attempt(() => argsOf(message));
}

function decodeRecords(text: string): Message[] {
  const messages: Message[] = [];
  for (const decode of decodeMessages(text)) {
    const message = attempt(decode)?.value;
    if (message !== undefined) messages.push(message);
  }
  return messages;
}

fuzz("frames", 0.2, (random) => {
  const payload = random.chance(0.5) ? anyFrame(random) : mutated(random, random.pick(CORPUS));
  const frame = attempt(() => decodeFrame(payload))?.value;
  if (frame === undefined) return;
  assert.match(frame.uid, /^[0-9a-f]{16}$/);
  for (const number of [frame.sequence, frame.previous, frame.chunk?.index, frame.chunk?.count]) {
    assert.ok(number === undefined || number >= 0);
  }
  for (const message of attempt(() => decodeRecords(frame.body))?.value ?? []) {
    checkMessage(message);
  }
});

fuzz("records", 0.2, (random) => {
  const record = random.chance(0.5)
    ? anyRecord(random)
    : mutated(random, random.pick(RECORDS), RECORDS);
  for (const message of attempt(() => decodeRecords(record))?.value ?? []) {
    checkMessage(message);
    // What was read means the same when it is written and read again.
    assert.deepEqual(decodeRecords(encodeMessage(message)), [normal(message)]);
  }
});

/** As it is read again: what is empty is left out. */
function normal(message: Message): Message {
  const { rooms, except, parts, ...rest } = message;
  return {
    ...rest,
    ...(rooms ?? []).length > 0 && { rooms: rooms! },
    ...(except ?? []).length > 0 && { except: except! },
    ...parts !== undefined && { parts },
  };
}

fuzz("plain messages", 0.2, (random) => {
  const payload = random.chance(0.5)
    ? anyPlain(random)
    : mutated(random, random.pick(PLAIN), PLAIN);
  const message = attempt(() => decodePlain(payload, { nsp: "/", room: "r" }))?.value;
  if (message === undefined) return;
  checkMessage(message);
  if (message.type === MessageType.BROADCAST) checkForClients(message.nsp ?? "", message.parts!);
});

const { default: msgpack } = await import("socket.io-msgpack-parser") as unknown as {
  default: Parser;
};
const parser = await import("socket.io-parser") as unknown as Parser;
const encoder = new PacketEncoder(parser, new parser.Encoder());
const msgpackEncoder = new PacketEncoder(msgpack, new msgpack.Encoder());

/** What passes is what a client's decoder takes for one event of that namespace, with a name that is not reserved. */
function checkForClients(nsp: string, parts: readonly Part[]): void {
  const isFine = attempt(() => encoder.check(nsp, parts, false)) !== undefined;
  const looksFine = attempt(() => encoder.check(nsp, parts, true)) !== undefined;
  const packets: Packet[] = [];
  let isTaken = true;
  try {
    const decoder = new Decoder();
    decoder.on("decoded", (packet) => packets.push(packet as Packet));
    for (const part of parts) decoder.add(part);
    // What a client does with it besides.
    JSON.stringify(packets);
  } catch {
    isTaken = false;
  }
  if (isFine) {
    assert.ok(looksFine);
    assert.ok(isTaken, `a client hangs up at ${JSON.stringify(parts[0]).slice(0, 200)}`);
    assert.equal(packets.length, 1);
    const [{ type, id, nsp: of }] = packets as [Packet];
    assert.deepEqual({ type, id, of }, { type: 2, id: undefined, of: nsp });
  } else if (isTaken && looksFine && packets.length === 1) {
    // The look at the head may pass only what is refused for its size.
    assert.ok(packets[0]!.data.length > 1_000 || String(parts[0]).length > 1_000);
  }
  attempt(() => encoder.decodeDefault(nsp, parts, false));
}

fuzz("events for clients", 0.25, (random) => {
  checkForClients(random.chance(0.9) ? "/" : "/chat", anyEvent(random));
});

fuzz("packets of another parser", 0.1, (random) => {
  const data = ["hello", { a: [1, "x", new Uint8Array(2)] }, random.below(2 ** 32)];
  const packet: Packet = { type: 2, nsp: "/", data };
  if (random.chance(0.2)) packet.type = random.below(6);
  if (random.chance(0.2)) packet.nsp = "/chat";
  if (random.chance(0.2)) packet.id = 1;
  if (random.chance(0.2)) data[0] = random.pick(["connect", "disconnecting", 7]);
  const [part] = new msgpack.Encoder().encode(packet) as [Uint8Array];
  const parts: Part[] = [random.chance(0.5) ? part : damaged(random, part)];
  if (attempt(() => msgpackEncoder.check("/", parts, false)) === undefined) return;
  const [name] = msgpackEncoder.decode("/", parts);
  assert.ok(typeof name === "string" || typeof name === "number");
});

function damaged(random: Random, bytes: Uint8Array): Uint8Array {
  const result = Uint8Array.from(bytes.subarray(0, bytes.length - random.below(3)));
  for (let left = random.below(3); left > 0; left--) {
    // Not the marks of arrays and maps of 32-bit lengths, for which msgpack parsers take memory before they look.
    result[random.below(result.length)] = random.below(0xdc);
  }
  return result;
}

const EVENTS: Record<string, (string | Uint8Array)[]> = {
  "nothing": [],
  "binary alone": [new Uint8Array(1)],
  "a text in place of binary": ['51-["a",{"_placeholder":true,"num":0}]', "x"],
  "an attachment too few": ['52-["a",{"_placeholder":true,"num":0}]', new Uint8Array(1)],
  "an attachment too many": ['2["a"]', new Uint8Array(1)],
  "binary without any": ['50-["a"]'],
  "another namespace": ['2/chat,["a"]'],
  "an id": ['212["a"]'],
  "a disconnect": ["1"],
  "a connect error": ['4{"message":"x"}'],
  "an acknowledgement": ['31["a"]'],
  "no arguments": ["2"],
  "an empty array": ["2[]"],
  "an object": ['2{"0":"a"}'],
  "no end": ['2["a"'],
  "something behind it": ['2["a"]x'],
  "a reserved name": ['2["disconnect"]'],
  "a reserved name with an escape": ['2["conn\\u0065ct"]'],
  "a name with half an escape": ['2["conn\\u00"]'],
  "a name without an end": ['2["a]'],
  "a name that is null": ["2[null]"],
  "a name that goes on": ['2["a"b]'],
  "a number that goes on": ["2[1x]"],
};

for (const [what, parts] of Object.entries(EVENTS)) {
  test(`an event with ${what} is refused, whoever sent it`, () => {
    for (const isTrusted of [false, true]) {
      assert.throws(() => checkEvent("/", parts, isTrusted), MalformedMessage);
    }
  });
}

const STRANGE: Record<string, (string | Uint8Array)[]> = {
  "no JSON": ['2["a",]'],
  "two packets for long polling": ['2["a","\u001e41"]'],
  "an attachment that is missing": [
    '51-["a",{"_placeholder":true,"num":1}]',
    new Uint8Array(1),
  ],
  "a placeholder that is wrapped": [
    '51-["a",{"_placeholder":true,"num":-1,"value":{}}]',
    new Uint8Array(1),
  ],
  "eleven attachments": [
    `511-["a"${',{"_placeholder":true,"num":0}'.repeat(11)}]`,
    ...Array.from({ length: 11 }, () => new Uint8Array(1)),
  ],
  "too many arguments": [`2["a"${",1".repeat(10_000)}]`],
  "1,001 levels": [`2["a",${"[".repeat(1_000)}${"]".repeat(1_000)}]`],
  "levels behind quotes and brackets in texts": [
    `2["]]\\"]]",${"[".repeat(1_000)}"]]]"${"]".repeat(1_000)}]`,
  ],
};

for (const [what, parts] of Object.entries(STRANGE)) {
  test(`an event with ${what} is refused from a stranger, and not looked for otherwise`, () => {
    assert.throws(() => encoder.check("/", parts, false), MalformedMessage);
    encoder.check("/", parts, true);
  });
}

test("a wrapped placeholder, which clients do not know, is none of an event for them", () => {
  const parts = STRANGE["a placeholder that is wrapped"]!;
  for (const isTrusted of [false, true]) {
    assert.throws(() => msgpackEncoder.decodeDefault("/", parts, isTrusted), MalformedMessage);
  }
});

test("events that are fine are let through, odd as they may be", () => {
  const events: unknown[][] = [
    ["a"],
    [7],
    [-1.5e-7],
    [""],
    ['quo"te', "\\", '\\"'],
    ["__proto__", JSON.parse('{"__proto__":{"a":1}}')],
    ["a", ...Array(9_999).fill(1)],
    ["a", "[".repeat(5_000)],
    ["connection"],
    ["\ud800\u001e\0"],
    ["a", ...Array.from({ length: 10 }, () => new Uint8Array(1))],
  ];
  for (const nsp of ["/", "/chat", '/quo"te[']) {
    for (const data of events) {
      for (const isTrusted of [true, false]) {
        encoder.check(nsp, encoder.encode({ type: 2, nsp, data: [...data] }), isTrusted);
      }
    }
  }
});

test("a record of millions of records, parts, rooms or levels is refused soon", () => {
  const of = (header: string, body = "") => `${header.length},${body.length};${header}${body}`;
  const start = performance.now();
  assert.throws(() => [...decodeMessages(of('{"t":13}').repeat(1_000_000))], MalformedMessage);
  for (
    const record of [
      of(`{"t":3,"p":"${"t0".repeat(2_000_000)}"}`),
      of(`{"t":3,"r":[${"1,".repeat(500_000)}1]}`),
      of(`{"t":4,"v":${"[".repeat(5_000_000)}`),
      of(`{"t":3,"n":"${"x".repeat(5_000_000)}"}`),
    ]
  ) {
    assert.throws(() => [...decodeMessages(record)].map((decode) => decode()), MalformedMessage);
  }
  assert.ok(performance.now() - start < 2_000, `${performance.now() - start} ms`);
});

test("a frame full of records that cannot be read is left after some, one with a few is not", () => {
  const count = (text: string) => {
    let read = 0;
    let failed = 0;
    try {
      for (const decode of decodeMessages(text)) attempt(decode) === undefined ? failed++ : read++;
    } catch (fault) {
      assert.ok(fault instanceof MalformedMessage);
    }
    return { read, failed };
  };
  assert.deepEqual(count("1,0;x".repeat(1_500)), { read: 0, failed: 32 });
  assert.deepEqual(count('1,0;x8,0;{"t":13}'.repeat(20)), { read: 20, failed: 20 });
});

test("nothing is added to what every object inherits", () => {
  const before = inherited();
  for (const text of ["__proto__", "constructor"]) {
    const json = `{"${text}":{"polluted":1,"prototype":{"polluted":1}}}`;
    attempt(() => decodeRecords(`${json.length},0;${json}`));
    attempt(() => decodePlain(`{"emit":["a",${json}],${json.slice(1)}`, { nsp: "/" }));
    const message: Message = {
      type: MessageType.SERVER_SIDE_EMIT,
      parts: [`["a",${json},{"_placeholder":true,"num":0}]`, new Uint8Array(1)],
    };
    const [, object] = argsOf(message);
    assert.ok(Object.hasOwn(object as object, text));
    assert.equal(Object.getPrototypeOf(object), Object.prototype);
  }
  assert.deepEqual(inherited(), before);
});
