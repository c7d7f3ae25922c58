/** What strangers might send: golden vectors that were damaged, and things of the right form with the wrong content. */
import { encodeFrame, type FrameHead, UID_LENGTH } from "../../src/wire/frame.ts";
import { encodeMessage, type Message, MessageType } from "../../src/wire/message.ts";
import { readVectors } from "../wire/vectors.ts";
import type { Random } from "./random.ts";

/** Texts that readers stumble over. */
const ODD_TEXTS = [
  "",
  "\0",
  "\ud800",
  "\udc00x",
  "🎉",
  "\u001e",
  "\u2028",
  '"',
  "\\",
  '\\"',
  "'",
  "{",
  "}",
  "[",
  "]",
  ",",
  ";",
  ":",
  "/",
  "#",
  "-",
  ".",
  "~",
  " ",
  "\n",
  "__proto__",
  "constructor",
  "prototype",
  "toString",
  "connect",
  "disconnect",
  "conn\\u0065ct",
  "_placeholder",
  "null",
  "true",
  "NaN",
  "-1",
  "0",
  "1e308",
  "9".repeat(15),
  "9".repeat(30),
  "[".repeat(1_500),
  '{"a":'.repeat(1_200),
];

/** Values that readers stumble over. */
const ODD_VALUES: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  0.5,
  1e308,
  2 ** 31,
  2 ** 53,
  "",
  "/",
  "a",
  "connect",
  "__proto__",
  "\ud800",
  "\0",
  "x".repeat(20_000),
  [],
  [[]],
  [null],
  {},
  [{}],
  ["a", 1],
  { s: 1 },
  { s: -1, n: [], d: true, e: "" },
  { s: 1, o: {}, c: [] },
  { s: {}, n: null },
  { _placeholder: true, num: 0 },
  { _placeholder: true, num: -1, value: { _placeholder: true, num: 3 } },
  { length: 3 },
  JSON.parse('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}'),
  { toJSON: 1, toString: 1, valueOf: null },
  { volatile: true, compress: 1 },
];

/** Every payload of the golden vectors, good and malformed ones, frames and plain messages. */
export const CORPUS: readonly string[] = corpus();

/** Every plain message of them. */
export const PLAIN: readonly string[] = CORPUS.filter((payload) => payload.startsWith("{"));

/** Every record of the golden vectors. */
export const RECORDS: readonly string[] = readVectors<{ record: string }[]>("records")
  .map(({ record }) => record);

function corpus(): string[] {
  const frames = readVectors<{ payload: string }[]>("frames").map(({ payload }) => payload);
  const records = readVectors<{ record: string }[]>("records").map(({ record }, at) =>
    encodeFrame({ kind: "r", uid: "0123456789abcdef", sequence: at + 1, previous: at }, record)
  );
  const plain = readVectors<{ read: { payload: string }[]; refuse: string[] }>("plain");
  return [
    ...frames,
    ...records,
    ...readVectors<string[]>("malformed"),
    ...plain.read.map(({ payload }) => payload),
    ...plain.refuse,
  ];
}

/** A text that was damaged in one to four places. */
export function mutated(random: Random, text: string, others: readonly string[] = CORPUS): string {
  let result = text;
  for (let left = 1 + random.below(4); left > 0; left--) {
    const at = random.below(result.length + 1);
    const end = Math.min(result.length, at + 1 + random.below(random.chance(0.8) ? 4 : 60));
    const before = result.slice(0, at), middle = result.slice(at, end), after = result.slice(end);
    switch (random.below(8)) {
      case 0:
        result = before + after;
        break;
      case 1:
        result = before + middle + middle + after;
        break;
      case 2:
        result = before + random.pick(ODD_TEXTS) + after;
        break;
      case 3:
        result = before + random.pick(ODD_TEXTS) + middle + after;
        break;
      case 4:
        result = before + String.fromCharCode(random.below(random.chance(0.8) ? 128 : 65_536)) +
          after;
        break;
      case 5:
        result = before;
        break;
      case 6: {
        const other = random.pick(others);
        result = before + other.slice(random.below(other.length + 1));
        break;
      }
      default:
        result = result.replace(/\d+/g, (digits) => {
          return random.chance(0.7) ? digits : String(random.below(2 ** random.below(32)));
        });
    }
  }
  return result;
}

/** A value of any shape. */
export function anyValue(random: Random, depth = 3): unknown {
  if (depth === 0 || random.chance(0.6)) return random.pick(ODD_VALUES);
  const items = Array.from({ length: random.below(4) }, () => anyValue(random, depth - 1));
  if (random.chance(0.5)) return items;
  return Object.fromEntries(items.map((item) => [random.pick(ODD_TEXTS), item]));
}

/** The text of an event in the form of Socket.IO's default parser, right or nearly so. */
export function anyEvent(random: Random): (string | Uint8Array)[] {
  const count = random.chance(0.6) ? 0 : random.below(random.chance(0.9) ? 4 : 14);
  const binary = Array.from({ length: count }, () => new Uint8Array(random.below(4)));
  const names: unknown[] = ["hello", "hello", "hello", 7, "connect", 'quo"te\\', null, { a: 1 }];
  const args: unknown[] = [random.pick(names)];
  for (let num = 0; num < count; num++) args.push({ _placeholder: true, num });
  if (random.chance(0.5)) args.push(anyValue(random));
  const head = random.chance(0.9)
    ? count === 0 ? "2" : `5${count}-`
    : random.pick(["0", "1", "2", "3", "4", "5", "51-", "6", "50-", "5-", "2/chat,", "21"]);
  let text = `${head}${JSON.stringify(args)}`;
  if (random.chance(0.4)) text = mutated(random, text);
  return random.chance(0.95) ? [text, ...binary] : [...binary, text];
}

/** A record of the right form, whose header has any content. */
export function anyRecord(random: Random): string {
  const header: Record<string, unknown> = { t: random.pick(Object.values(MessageType)), n: "/" };
  for (const key of ["t", "n", "r", "x", "f", "q", "e", "v", "p", "z", "__proto__"]) {
    if (!random.chance(0.15)) continue;
    Object.defineProperty(header, key, {
      value: anyValue(random),
      enumerable: true,
      writable: true,
    });
  }
  let body = "";
  if (random.chance(0.5)) {
    const message: Message = { type: MessageType.BROADCAST, parts: anyEvent(random) };
    const record = encodeMessage(message);
    if (random.chance(0.5)) return record;
    body = record.slice(record.indexOf("}") + 1);
    if (random.chance(0.5)) header["p"] = `t${random.below(body.length + 2)}b${random.below(9)}`;
  }
  const head = JSON.stringify(header);
  const lie = () => random.chance(0.95) ? 0 : random.below(9) - 4;
  return `${head.length + lie()},${body.length + lie()};${head}${body}`;
}

/** A frame of one of a few senders, with records of any content. */
export function anyFrame(random: Random): string {
  const head: FrameHead = {
    kind: random.pick(["r", "r", "r", "c", "p"]),
    uid: String(random.below(5)).repeat(UID_LENGTH),
    sequence: random.below(random.chance(0.9) ? 50 : 2 ** 40),
  };
  if (random.chance(0.8)) head.previous = Math.max(0, head.sequence - random.below(3));
  if (head.kind === "c") head.chunk = { index: random.below(4), count: random.below(5) };
  const records = Array.from(
    { length: 1 + random.below(3) },
    () => random.chance(0.5) ? anyRecord(random) : random.pick(RECORDS),
  );
  const frame = encodeFrame(head, records.join(""));
  return random.chance(0.7) ? frame : mutated(random, frame);
}

/** A plain message of nearly the right form. */
export function anyPlain(random: Random): string {
  const message: Record<string, unknown> = {};
  const verbs = ["emit", "serverSideEmit", "socketsJoin", "socketsLeave", "disconnectSockets"];
  const values = [["hello", 1], ["hello", { _placeholder: true, num: 0 }], ["r"], true];
  message[random.pick(verbs)] = random.chance(0.5) ? random.pick(values) : anyValue(random);
  for (const key of ["to", "except", "nsp", "volatile", "attachments", "emit", "__proto__"]) {
    if (!random.chance(0.15)) continue;
    Object.defineProperty(message, key, {
      value: anyValue(random),
      enumerable: true,
      writable: true,
    });
  }
  if (random.chance(0.3)) {
    message["attachments"] = random.pick([["AQID"], ["!"], ["AA==", "A"], []]);
  }
  const text = JSON.stringify(message);
  return random.chance(0.7) ? text : mutated(random, text);
}
