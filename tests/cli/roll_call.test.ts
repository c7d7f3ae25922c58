/** Who is heard, who is asked, and what comes of it. */
import assert from "node:assert/strict";
import { RollCall } from "../../src/cli/roll_call.ts";
import { Sealer } from "../../src/runtime/sealer.ts";
import { privateChannel } from "../../src/wire/channel.ts";
import { createUid, decodeFrame, encodeFrame, packFrames } from "../../src/wire/frame.ts";
import {
  decodeMessages,
  encodeMessage,
  type Message,
  MessageType,
} from "../../src/wire/message.ts";
import { outgoing } from "../../src/wire/frame.ts";
import { test } from "../support/test.ts";

const PREFIX = "p";
const SECRET = "a secret of the servers";
const CLUSTER = `${PREFIX}:~`;
const HEARTBEAT: Message = { type: MessageType.HEARTBEAT, value: { s: 1 } };

function state(namespaces: readonly string[], d = true, e = ""): Message {
  return { type: MessageType.STATE, value: { s: 1, n: namespaces, d, e } };
}

/** A process that speaks, and a roll call that hears it. */
class Talk {
  readonly uid = createUid();
  readonly asked: { channel: string; payload: string }[] = [];
  readonly call: RollCall;
  #sequence = 0;

  constructor(secret?: string) {
    this.call = new RollCall(
      PREFIX,
      secret,
      (channel, payload) => this.asked.push({ channel, payload }),
    );
  }

  /** The frames of a message, as it would send them. */
  frames(channel: string, message: Message): string[] {
    const items = [outgoing(channel, encodeMessage(message))];
    const head = () => ({ uid: this.uid, sequence: ++this.#sequence, previous: 0 });
    return packFrames(items, head).map(({ payload }) => payload);
  }

  say(message: Message, sealer?: Sealer, channel = CLUSTER, at = 1): void {
    for (const frame of this.frames(channel, message)) {
      this.call.receive(channel, sealer?.seal(channel, frame) ?? frame, at);
    }
  }

  get heard() {
    return this.call.heard.get(this.uid);
  }
}

test("one that is heard is asked once, on its own channel, and its state is what it has", () => {
  const talk = new Talk();
  talk.say(HEARTBEAT);
  assert.deepEqual(talk.heard, { uid: talk.uid, at: 1, seal: "none", hasLeft: false });
  talk.say(HEARTBEAT, undefined, CLUSTER, 2);
  assert.equal(talk.asked.length, 1);
  const [{ channel, payload } = { channel: "", payload: "" }] = talk.asked;
  assert.equal(channel, privateChannel(PREFIX, talk.uid));
  const frame = decodeFrame(payload);
  // Members of the cluster give the frame before it: this is none.
  assert.equal(frame.previous, undefined);
  assert.ok(talk.call.channels.includes(privateChannel(PREFIX, frame.uid)));
  const [message] = [...decodeMessages(frame.body)].map((decode) => decode());
  assert.equal(message?.type, MessageType.STATE_REQUEST);
  talk.say(state(["/", "/chat"], false, "abcdef01"), undefined, talk.call.channels[1], 3);
  assert.deepEqual(talk.heard, {
    uid: talk.uid,
    at: 3,
    seal: "none",
    state: { namespaces: ["/", "/chat"], hasRoomChannels: false, parser: "abcdef01" },
    hasLeft: false,
  });
});

test("a state that comes in chunks, and one of a process that starts", () => {
  const talk = new Talk();
  const many = Array.from({ length: 1_000 }, (_, i) => `/a namespace ${i}`);
  talk.say(state(many));
  assert.equal(talk.heard?.state?.namespaces.length, 1_000);
  talk.say({ ...state(["/"]), type: MessageType.INITIAL_HEARTBEAT });
  assert.deepEqual(talk.heard?.state?.namespaces, ["/"]);
});

test("last words", () => {
  const talk = new Talk();
  talk.say(HEARTBEAT);
  const frame = encodeFrame({ kind: "b", uid: talk.uid, sequence: 9, previous: 1 }, "");
  talk.call.receive(CLUSTER, frame, 2);
  assert.equal(talk.heard?.hasLeft, true);
  talk.say(HEARTBEAT);
  assert.equal(talk.heard?.hasLeft, false);
});

test("a question has the seal of the heartbeat that it follows", () => {
  for (const isEncrypted of [false, true]) {
    const talk = new Talk(SECRET);
    const sealer = new Sealer(SECRET, isEncrypted);
    talk.say(HEARTBEAT, sealer);
    assert.equal(talk.heard?.seal, isEncrypted ? "encrypted" : "signed");
    const [{ channel, payload } = { channel: "", payload: "" }] = talk.asked;
    assert.equal(decodeFrame(sealer.open(channel, payload)).kind, "r");
  }
});

test("who cannot be read is not asked: servers report what they cannot open", () => {
  const faults: [secret: string | undefined, of: Sealer | undefined, fault: RegExp][] = [
    [undefined, new Sealer(SECRET), /is sealed, and there is no secret here/],
    [undefined, new Sealer(SECRET, true), /is sealed, and there is no secret here/],
    [SECRET, undefined, /has no seal, and there is a secret here/],
    ["another secret of others", new Sealer(SECRET), /none of ours/],
  ];
  for (const [secret, sealer, fault] of faults) {
    const talk = new Talk(secret);
    talk.say(HEARTBEAT, sealer);
    assert.match(talk.heard?.fault ?? "", fault);
    assert.equal(talk.asked.length, 0);
  }
});

test("what is forged does not speak against what could be read, and is put right by it", () => {
  const sealer = new Sealer(SECRET);
  const [before, after] = [new Talk(SECRET), new Talk(SECRET)];
  before.say(HEARTBEAT);
  before.say(state(["/"]), sealer);
  assert.equal(before.heard?.fault, undefined);
  assert.deepEqual(before.heard?.state?.namespaces, ["/"]);
  after.say(state(["/"]), sealer);
  after.say(HEARTBEAT);
  assert.equal(after.heard?.fault, undefined);
  assert.equal(after.heard?.seal, "signed");
});

test("anything else is nobody, or cannot be read", () => {
  const talk = new Talk();
  for (const payload of ["", "x", '{"emit":["a"]}', `2r${talk.uid}1;`, `1r${"g".repeat(16)}1;`]) {
    talk.call.receive(CLUSTER, payload, 1);
  }
  assert.equal(talk.call.heard.size, 0);
  talk.call.receive(CLUSTER, `1r${talk.uid};;`, 1);
  assert.match(talk.heard?.fault ?? "", /head is malformed/);
  const other = new Talk();
  other.say({ type: MessageType.STATE, value: { s: 1, n: "/", d: true, e: "" } });
  assert.match(other.heard?.fault ?? "", /Cannot read/);
  for (let i = 0; i < 2_000; i++) {
    const uid = i.toString(16).padStart(16, "0");
    other.call.receive(CLUSTER, encodeFrame({ kind: "r", uid, sequence: 1 }, ""), 1);
  }
  assert.equal(other.call.heard.size, 1_024);
});
