import assert from "node:assert/strict";
import { Inbox } from "../../src/bus/inbox.ts";
import { encodeFrame, MAX_BODY_BYTES } from "../../src/wire/frame.ts";
import { encodeMessage, type Message, MessageType } from "../../src/wire/message.ts";
import { heldMegabytes } from "../support/memory.ts";
import { test } from "../support/test.ts";
import { anyFrame, anyPlain, CORPUS, mutated } from "./hostile.ts";
import { fuzz, inherited, type Random } from "./random.ts";

/** A sender that is not among those of the fuzzer. */
const GOOD = "e".repeat(16);

/** All that is known here of how an inbox is made and fed. */
function createInbox() {
  const seen: Message[] = [];
  const errors: Error[] = [];
  const inbox = new Inbox(
    "f".repeat(16),
    { maxPayload: 10_000, replayWindow: 30_000 },
    undefined,
    {
      message: (_uid, message) => seen.push(message),
      isOfProcesses: (channel) => channel === "processes",
      isWanted: () => true,
      isEchoWanted: () => true,
      isOwnMissing: () => false,
      echo: () => {},
      heard: () => {},
      isMember: (uid) => uid === GOOD,
      left: () => {},
      asked: () => {},
      ask: () => {},
      gap: () => {},
      error: (error) => errors.push(error),
    },
  );
  return {
    seen,
    errors,
    receive: (payload: string) => inbox.receive("any", payload, { nsp: "/" }),
    sweep: () => inbox.sweep(),
    malformed: () => inbox.stats.malformed,
  };
}

/** A frame that is well-formed. */
function good(sequence: number): string {
  const record = encodeMessage({ type: MessageType.DISCONNECT_SOCKETS, nsp: "/", value: sequence });
  return encodeFrame(
    { kind: "r", uid: GOOD, sequence, previous: sequence - 1 },
    record,
  );
}

function anyPayload(random: Random): string {
  switch (random.below(4)) {
    case 0:
      return anyFrame(random);
    case 1:
      return anyPlain(random);
    case 2:
      return mutated(random, random.pick(CORPUS));
    default:
      return random.pick(CORPUS);
  }
}

const inbox = createInbox();
let sequence = 0;

fuzz("an inbox takes whatever comes, and good messages in between", 0.05, (random) => {
  const before = inherited().length;
  for (let left = random.below(8); left > 0; left--) inbox.receive(anyPayload(random));
  if (random.chance(0.1)) inbox.sweep();
  inbox.seen.length = 0;
  inbox.receive(good(++sequence));
  assert.deepEqual(inbox.seen.map(({ value }) => value), [sequence]);
  assert.equal(inherited().length, before);
});

test("what was malformed was counted, and reported by kinds", () => {
  assert.ok(inbox.malformed() > 0);
  assert.ok(inbox.errors.length <= 100, `${inbox.errors.length} errors`);
});

test("records that are begun by thousands of senders and never finished take bounded memory", () => {
  const { receive, seen } = createInbox();
  const before = heldMegabytes();
  for (let sender = 0; sender < 10_000; sender++) {
    receive(
      encodeFrame(
        {
          kind: "c",
          uid: sender.toString(16).padStart(16, "0"),
          sequence: 1,
          previous: 0,
          chunk: { index: 0, count: 100 },
        },
        String(sender).padEnd(MAX_BODY_BYTES, "x"),
      ),
    );
  }
  const grown = heldMegabytes() - before;
  assert.ok(grown < 20, `${grown} MB are kept of 80 MB`);
  receive(good(1));
  assert.equal(seen.length, 1);
});
