/** How lines look, and what is never written to a terminal. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { Heard } from "../../src/cli/traffic.ts";
import { heardAsJson, heardAsText, summaryAsText } from "../../src/cli/view.ts";
import { test } from "../support/test.ts";

const LOOK = { width: 100, isColoured: false };
const at = new Date(2026, 0, 2, 12, 34, 56, 789);

function text(heard: Omit<Heard, "at" | "channel">, width = 100): string {
  return heardAsText({ at, channel: "socket.io:/", nsp: "/", ...heard }, { ...LOOK, width });
}

test("a line for each kind of message", () => {
  const emit = { type: "emit", event: "hello" };
  const lines = [
    text({ ...emit, args: [{ id: 7 }, "x", Buffer.from("abc")] }),
    text({ ...emit, args: [], rooms: ["a", 7, "b c", ""], except: ["d"] }),
    text({ ...emit, args: [1], flags: { volatile: true, compress: false }, ack: true }),
    text({ type: "emit", nsp: "/chat", bytes: 12 }),
    text({ type: "socketsJoin", rooms: ["a"], value: ["b", "c"] }),
    text({ type: "disconnectSockets", value: true }),
    text({ type: "serverSideEmit", event: "ping", args: [] }),
    text({ type: "malformed", error: "Cannot read it" }),
  ];
  assert.equal(
    lines.join(""),
    `12:34:56.789 / > everyone: hello({"id":7}, "x", "<3 bytes>")
12:34:56.789 / > a, 7, "b c", "" but d: hello()
12:34:56.789 / > everyone: hello(1) [volatile, asks for answers]
12:34:56.789 /chat > everyone: [emit]
12:34:56.789 / > a: [socketsJoin] ["b","c"]
12:34:56.789 / > everyone: [disconnectSockets] true
12:34:56.789 / > servers: ping()
12:34:56.789 socket.io:/ ! malformed: Cannot read it
`,
  );
});

test("a line is cut between characters", () => {
  const line = text({ type: "emit", event: "e", args: ["🎉".repeat(50)] }, 40);
  assert.equal(line, `12:34:56.789 / > everyone: e("${"🎉".repeat(9)}…\n`);
  assert.equal([...line.trimEnd()].length, 40);
});

test("colours are for terminals that want them", () => {
  const heard: Heard = { at, channel: "c", type: "emit", nsp: "/", event: "e", args: [] };
  const look = { width: 80, isColoured: true };
  assert.equal(heardAsText(heard, look), "\x1b[2m12:34:56.789\x1b[0m / > everyone: e()\n");
  assert.equal(
    heardAsText({ ...heard, type: "sealed", error: "x" }, look),
    "\x1b[2m12:34:56.789\x1b[0m\x1b[33m c ! sealed: x\x1b[0m\n",
  );
});

test("nothing that a terminal obeys is written as it is", () => {
  const evil = "\x1b]0;owned\x07\r\n\x9b31m\u202egpj.exe\u2028\x7f";
  const heard: Heard = {
    at,
    channel: evil,
    type: "emit",
    nsp: evil,
    rooms: [evil],
    except: [evil],
    event: evil,
    args: [evil, { [evil]: evil }],
  };
  const report = {
    ...{ seconds: 1, messages: 1, shown: 1, bytes: 1, perSecond: 1, bytesPerSecond: 1 },
    ...{ malformed: 0, refused: 0, sealed: 0, incomplete: 0 },
    channels: { [evil]: { messages: 1, bytes: 1 } },
  };
  for (
    const line of [
      heardAsText(heard, { ...LOOK, width: 10_000 }),
      heardAsText({ ...heard, error: evil }, { ...LOOK, width: 10_000 }),
      heardAsJson(heard),
      summaryAsText(report, LOOK).replace("\n", ""),
    ]
  ) {
    assert.match(line, /^[^\p{Cc}\p{Zl}\p{Bidi_Control}]+\n$/u);
  }
  const { event, rooms, args } = JSON.parse(heardAsJson(heard));
  assert.deepEqual([event, rooms, args], [evil, [evil], [evil, { [evil]: evil }]]);
});

test("properties of any name stay properties", () => {
  const args = [JSON.parse('{"__proto__":{"a":1}}')];
  const line = heardAsJson({ at, channel: "c", type: "emit", nsp: "/", event: "e", args });
  assert.match(line, /"args":\[\{"__proto__":\{"a":1\}\}\]/);
});
