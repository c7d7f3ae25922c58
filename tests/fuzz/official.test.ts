import assert from "node:assert/strict";
import { decodeOfficial, parseOfficial } from "../../src/official/message.ts";
import { decodeMsgpack, encodeMsgpack } from "../../src/official/msgpack.ts";
import { checkEvent } from "../../src/wire/event.ts";
import { encodeMessage, MalformedMessage, MessageType } from "../../src/wire/message.ts";
import { isRoom } from "../../src/wire/rooms.ts";
import { mutated } from "./hostile.ts";
import { fuzz } from "./random.ts";

const OPTS = { rooms: ["a", 7], except: ["b"], flags: { volatile: true, timeout: 500 } };

/** What servers of theirs say. */
const MESSAGES: readonly object[] = [
  { type: 1 },
  { type: 13 },
  { type: 3, data: { packet: { type: 2, data: ["hello", { a: [1, "x"] }] }, opts: OPTS } },
  { type: 3, data: { packet: { type: 2, data: ["ask"] }, requestId: "r1", opts: OPTS } },
  { type: 4, data: { opts: OPTS, rooms: ["c"] } },
  { type: 6, data: { opts: OPTS, close: true } },
  { type: 7, data: { opts: OPTS, requestId: "r1" } },
  { type: 8, data: { requestId: "r1", sockets: [{ id: "s", rooms: [], data: {} }] } },
  { type: 9, data: { requestId: "r1", packet: ["tell", null] } },
  { type: 10, data: { requestId: "r1", packet: { __proto__: null, a: 1 } } },
  { type: 11, data: { requestId: "r1", clientCount: 3 } },
].map((message) => ({ uid: "0011223344556677", nsp: "/", ...message }));

const TEXTS = MESSAGES.map((message) => JSON.stringify(message));

/** What a decoder makes of hostile input; all that it may throw is MalformedMessage. */
function attempt<T>(decode: () => T): { value: T } | undefined {
  try {
    return { value: decode() };
  } catch (fault) {
    if (fault instanceof MalformedMessage) return undefined;
    throw fault;
  }
}

/** Whatever is read has the form that the adapter relies on. */
function check(given: unknown): void {
  const read = attempt(() => decodeOfficial(given, "/", 100))?.value;
  if (read === undefined) return;
  const { type, nsp, rooms = [], except = [], requestId, parts = [] } = read.message;
  assert.ok((Object.values(MessageType) as number[]).includes(type));
  assert.equal(nsp, "/");
  assert.ok(rooms.every(isRoom) && except.every(isRoom));
  assert.ok(requestId === undefined || typeof requestId === "string");
  assert.ok(parts.every((part) => typeof part === "string" || part instanceof Uint8Array));
  assert.equal(read.message.trusted, undefined);
  if (type === MessageType.BROADCAST) attempt(() => checkEvent("/", parts, false));
  encodeMessage(read.message);
}

fuzz("messages of the other wire", 0.1, (random) => {
  const payload = mutated(random, random.pick(TEXTS), TEXTS);
  const parsed = attempt(() => parseOfficial(payload))?.value;
  if (parsed !== undefined) check(parsed);
});

fuzz("MessagePack", 0.1, (random) => {
  const message = { ...random.pick(MESSAGES), more: [new Uint8Array(3), -1, 70_000, 1.5, "ü"] };
  const bytes = Uint8Array.from(encodeMsgpack(message));
  if (random.chance(0.1)) {
    assert.deepEqual(
      decodeMsgpack(bytes),
      JSON.parse(JSON.stringify(message), (key, value) => key === "more" ? message.more : value),
    );
    return;
  }
  for (let left = 1 + random.below(4); left > 0; left--) {
    bytes[random.below(bytes.length)] = random.below(256);
  }
  const decoded = attempt(() => decodeMsgpack(bytes.subarray(random.chance(0.2) ? 1 : 0)))?.value;
  check(decoded);
});
