/** What other processes answer reaches who waits for it, and nothing else does. */
import assert from "node:assert/strict";
import { Acknowledgements } from "../../src/bus/acknowledgements.ts";
import { takeAnswer } from "../../src/bus/answers.ts";
import { Requests } from "../../src/bus/requests.ts";
import { MalformedMessage, type Message, MessageType } from "../../src/wire/message.ts";
import { encodeArgs } from "../../src/wire/packet.ts";
import { type Scope, test } from "../support/test.ts";

/** A process that has asked "a" and "b", and waits for acknowledgements. */
function asking(t: Scope) {
  const requests = new Requests(() => Promise.resolve([]), 60_000);
  const acknowledgements = new Acknowledgements();
  t.after(() => acknowledgements.close());
  t.after(() => requests.close());
  const told: unknown[] = [];
  const request = requests.open(
    "fetchSockets()",
    "/",
    ["a", "b"],
    60_000,
    (error, answers) => told.push([error?.message ?? null, answers]),
  )!;
  const broadcast = acknowledgements.open({
    clientCount: (count) => told.push(`${count} clients`),
    ack: (answer) => told.push(answer),
  }, 60_000);
  return {
    told,
    request,
    broadcast,
    take: (uid: string, message: Message) =>
      takeAnswer(requests, acknowledgements, uid, {
        nsp: "/",
        trusted: true,
        parts: encodeArgs([]),
        ...message,
      }),
  };
}

test("answers to a request are its arguments, of each server, or why there is none", (t) => {
  for (
    const type of [MessageType.FETCH_SOCKETS_RESPONSE, MessageType.SERVER_SIDE_EMIT_RESPONSE]
  ) {
    const { told, request: requestId, take } = asking(t);
    const bytes = new Uint8Array([1, 2]);
    assert.ok(take("a", { type, requestId, parts: encodeArgs([1, bytes]) }));
    assert.deepEqual(told, []);
    assert.ok(take("b", { type, requestId }));
    assert.deepEqual(told, [[null, [1, bytes]]]);
    const other = asking(t);
    assert.ok(other.take("b", { type, requestId: other.request, value: "a cycle" }));
    assert.deepEqual(other.told, [
      ["Cannot complete fetchSockets() as server b could not answer: a cycle", []],
    ]);
  }
});

test("a broadcast hears how many clients there are, and what each acknowledges", (t) => {
  const { told, broadcast: requestId, take } = asking(t);
  assert.ok(take("a", { type: MessageType.BROADCAST_CLIENT_COUNT, requestId, value: 2 }));
  assert.ok(take("a", { type: MessageType.BROADCAST_ACK, requestId, parts: encodeArgs(["yes"]) }));
  assert.ok(take("a", { type: MessageType.BROADCAST_ACK, requestId }));
  assert.deepEqual(told, ["2 clients", "yes", undefined]);
});

test("an answer that nobody waits for is one all the same, and is told to nobody", (t) => {
  const { told, request, broadcast, take } = asking(t);
  for (const requestId of ["another", undefined]) {
    const id = requestId === undefined ? {} : { requestId };
    assert.ok(take("a", { type: MessageType.FETCH_SOCKETS_RESPONSE, ...id }));
    assert.ok(take("a", { type: MessageType.BROADCAST_CLIENT_COUNT, value: 1, ...id }));
    assert.ok(take("a", { type: MessageType.BROADCAST_ACK, ...id }));
  }
  // Of another kind, and of somebody who was not asked.
  assert.ok(take("a", { type: MessageType.FETCH_SOCKETS_RESPONSE, requestId: broadcast }));
  assert.ok(take("a", { type: MessageType.BROADCAST_ACK, requestId: request }));
  assert.ok(take("stranger", { type: MessageType.FETCH_SOCKETS_RESPONSE, requestId: request }));
  assert.deepEqual(told, []);
});

test("what is no answer is left to others", (t) => {
  const { request: requestId, take } = asking(t);
  for (const type of [MessageType.BROADCAST, MessageType.FETCH_SOCKETS, MessageType.STATE]) {
    assert.ok(!take("a", { type, requestId }));
  }
});

test("an answer that cannot be read is refused, and who waits goes on waiting", (t) => {
  const { told, request, broadcast, take } = asking(t);
  const bad: Message[] = [
    { type: MessageType.FETCH_SOCKETS_RESPONSE, requestId: request, parts: ["{"] },
    { type: MessageType.BROADCAST_ACK, requestId: broadcast, parts: ["null"] },
    { type: MessageType.BROADCAST_CLIENT_COUNT, requestId: broadcast },
    { type: MessageType.BROADCAST_CLIENT_COUNT, requestId: broadcast, value: -1 },
    { type: MessageType.BROADCAST_CLIENT_COUNT, requestId: broadcast, value: "2" },
  ];
  for (const message of bad) {
    assert.throws(() => take("a", message), MalformedMessage, JSON.stringify(message));
  }
  const deep = "[".repeat(5_000) + "]".repeat(5_000);
  const message = { type: MessageType.BROADCAST_ACK, requestId: broadcast, parts: [deep] };
  assert.throws(() => take("a", { ...message, trusted: false }), MalformedMessage);
  assert.deepEqual(told, []);
  take("a", { type: MessageType.FETCH_SOCKETS_RESPONSE, requestId: request });
  take("b", { type: MessageType.FETCH_SOCKETS_RESPONSE, requestId: request });
  assert.equal(told.length, 1);
});
