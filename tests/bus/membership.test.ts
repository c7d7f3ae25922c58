import assert from "node:assert/strict";
import { test } from "node:test";
import { Membership } from "../../src/bus/membership.ts";
import type { Message } from "../../src/wire/message.ts";

/** Processes whose messages reach each other when `deliver()` is called. */
function cluster(uids: string[], timeout = 60_000) {
  const queue: { from: string; to: string | undefined; message: Message }[] = [];
  const told: string[] = [];
  const members = new Map(uids.map((uid) => [
    uid,
    new Membership(timeout, uid !== "static", {
      nodeUp: (other) => told.push(`${uid}: ${other} up`),
      nodeDown: (other, why) => told.push(`${uid}: ${other} ${why}`),
      namespaceClosed: (other, nsp) => told.push(`${uid}: ${other} closed ${nsp}`),
      sent: (other, channel, sequence) => told.push(`${uid}: ${other} sent ${channel} ${sequence}`),
      otherParser: (other, parser) => told.push(`${uid}: ${other} has parser ${parser}`),
      send: (message, to) => queue.push({ from: uid, to, message: structuredClone(message) }),
    }),
  ]));
  const member = (uid: string) => members.get(uid)!;
  const deliver = async () => {
    // What opens and closes is announced at the end of the tick.
    await Promise.resolve();
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const { from, to, message } = next;
      for (const [uid, other] of members) {
        if (uid === from || (to !== undefined && to !== uid)) continue;
        other.heard(from);
        other.receive(from, message);
      }
    }
  };
  return { member, deliver, told, queue };
}

test("who says hello is known to all, with its namespaces, and knows all", async () => {
  const { member, deliver } = cluster(["a", "b", "c"]);
  for (const uid of ["a", "b", "c"]) {
    member(uid).open("/");
    member(uid).hello();
    await deliver();
  }
  member("c").open("/chat");
  await deliver();
  assert.deepEqual(member("a").having("/"), ["b", "c"]);
  assert.deepEqual(member("b").having("/chat"), ["c"]);
  assert.deepEqual(member("c").nodes, ["a", "b"]);
});

test("who was not there learns the state from the next heartbeat", async () => {
  const { member, deliver, queue } = cluster(["a", "b"]);
  member("a").open("/");
  member("a").hello();
  await Promise.resolve();
  queue.length = 0;
  member("a").heartbeat(undefined);
  await deliver();
  assert.deepEqual(member("b").having("/"), ["a"]);
});

test("who missed that a namespace was opened or closed learns it from the next heartbeat", async () => {
  const { member, deliver, queue, told } = cluster(["a", "b"]);
  member("a").open("/");
  member("a").open("/old");
  member("a").hello();
  await deliver();
  member("a").open("/new");
  member("a").close("/old");
  await Promise.resolve();
  queue.length = 0;
  member("a").heartbeat(undefined);
  await deliver();
  assert.deepEqual(member("b").having("/new"), ["a"]);
  assert.deepEqual(member("b").having("/old"), []);
  assert.ok(told.includes("b: a closed /old"));
});

test("who missed the hello learns what was opened just before it, too", async () => {
  const { member, deliver, queue } = cluster(["a", "b"]);
  member("a").hello();
  await deliver();
  member("a").open("/");
  member("a").hello();
  queue.length = 0;
  member("a").heartbeat(undefined);
  await deliver();
  assert.deepEqual(member("b").having("/"), ["a"]);
});

test("namespaces that open and close in one tick are one message", async () => {
  const { member, queue } = cluster(["a", "b"]);
  for (let i = 0; i < 1_000; i++) member("a").open(`/${i}`);
  for (let i = 0; i < 500; i++) member("a").close(`/${i}`);
  await Promise.resolve();
  assert.equal(queue.length, 1);
});

test("who says goodbye is gone, and says nothing more that would bring it back", async () => {
  const { member, deliver, told } = cluster(["a", "b"]);
  member("a").hello();
  await deliver();
  member("a").open("/late");
  member("a").leave();
  member("b").left("a");
  member("b").hello();
  await deliver();
  assert.deepEqual(member("b").nodes, []);
  assert.deepEqual(told.filter((line) => line.startsWith("b:")), ["b: a up", "b: a left"]);
});

test("who is silent for too long is gone, and is taken back when it is heard again", async () => {
  const { member, deliver, told } = cluster(["a", "b"], 1);
  member("a").hello();
  await deliver();
  const start = performance.now();
  while (performance.now() - start < 3);
  member("b").sweep();
  assert.deepEqual(member("b").nodes, []);
  member("a").heartbeat(undefined);
  await deliver();
  assert.deepEqual(member("b").nodes, ["a"]);
  assert.deepEqual(told.filter((line) => line.startsWith("b:")), [
    "b: a up",
    "b: a silent",
    "b: a up",
  ]);
});

test("one process that does not listen to the channels of its rooms is enough to leave them alone", async () => {
  const { member, deliver } = cluster(["a", "b"]);
  member("a").hello();
  member("b").hello();
  await deliver();
  assert.ok(member("a").allHaveRoomChannels);
  member("b").hasRoomChannels = false;
  await deliver();
  assert.ok(!member("a").allHaveRoomChannels);
  member("b").hasRoomChannels = true;
  await deliver();
  assert.ok(member("a").allHaveRoomChannels);
});

test("one that is silent for too long and hears all the same keeps them alone, until it does not or is back", async () => {
  const { member, deliver } = cluster(["a", "b", "static"], 1);
  // Timers may be a little early.
  const pass = (milliseconds: number) => {
    const start = performance.now();
    while (performance.now() - start < milliseconds);
  };
  const silence = () => {
    pass(3);
    member("a").sweep();
  };
  for (const uid of ["b", "static"]) member(uid).hello();
  await deliver();
  silence();
  assert.deepEqual(member("a").nodes, []);
  assert.deepEqual(member("a").silent, ["static"]);
  assert.ok(!member("a").allHaveRoomChannels);
  const seen = (uids: string[], patience: number) => {
    member("a").absent(uids, patience);
    return member("a").silent;
  };
  // Who is heard to listen again has not been away for long.
  const wait = 40;
  assert.deepEqual(seen(["static"], wait), ["static"]);
  pass(wait);
  assert.deepEqual(seen([], wait), ["static"]);
  assert.deepEqual(seen(["static"], wait), ["static"]);
  assert.ok(!member("a").allHaveRoomChannels);
  pass(wait);
  assert.deepEqual(seen(["static"], wait), []);
  assert.ok(member("a").allHaveRoomChannels);
  member("static").hello();
  await deliver();
  silence();
  member("static").hello();
  await deliver();
  assert.deepEqual(member("a").silent, []);
  assert.ok(!member("a").allHaveRoomChannels);
  member("a").left("static");
  assert.ok(member("a").allHaveRoomChannels);
});

test("another parser is told once", async () => {
  const { member, deliver, told } = cluster(["a", "b"]);
  member("a").parser = "deadbeef";
  member("a").hello();
  await deliver();
  member("a").open("/");
  await deliver();
  member("a").heartbeat(undefined);
  await deliver();
  assert.deepEqual(told.filter((line) => line.includes("parser")), [
    "b: a has parser deadbeef",
    "a: b has parser ",
  ]);
});
