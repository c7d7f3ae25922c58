import assert from "node:assert/strict";
import { pgAdapter } from "../../mod.ts";
import { createCluster, createNode, uniquePrefix } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { test } from "../support/test.ts";

test("two prefixes on one database do not hear each other", async (t) => {
  const one = await createCluster(t, { size: 2 });
  const two = await createCluster(t, { size: 2 });
  let heard = 0;
  for (const i of [0, 1]) two.io(i).on("server", () => heard++);
  one.io(0).emit("hello", "one");
  one.io(0).serverSideEmit("server");
  one.io(0).socketsJoin("room");
  await one.settled();
  assert.deepEqual(await two.receivers("hello"), []);
  assert.equal(heard, 0);
  assert.equal((await two.io(0).in("room").fetchSockets()).length, 0);
  one.io(0).disconnectSockets();
  await one.settled();
  await two.settled();
  assert.deepEqual(two.clients.map(({ connected }) => connected), [true, true]);
  for (const cluster of [one, two]) {
    assert.equal(await cluster.io(0).of("/").adapter.serverCount(), 2);
  }
});

test("prefixes that make the same channel names do not mix", async (t) => {
  const prefix = uniquePrefix();
  // `p:/a` + `:` + `/b` is `p` + `:` + `/a:/b`.
  const long = await createCluster(t, { size: 2, prefix: `${prefix}:/a`, namespace: "/b" });
  const short = await createCluster(t, { size: 2, prefix, namespace: "/a:/b" });
  long.nsp(0).emit("long", "x".repeat(10_000));
  short.nsp(0).emit("short", Buffer.from("x"));
  assert.deepEqual(await long.receivers("long"), [0, 1]);
  assert.deepEqual(await short.receivers("short"), [0, 1]);
  assert.deepEqual(long.inbox(1).events, ["long"]);
  assert.deepEqual(short.inbox(1).events, ["short"]);
  assert.equal((await long.nsp(0).fetchSockets()).length, 2);
  assert.equal((await short.nsp(0).fetchSockets()).length, 2);
});

test("prefixes may hold quotes, spaces and letters of any language", async (t) => {
  for (const odd of [`${uniquePrefix()}'";--`, `${uniquePrefix()} ü🎉`, `A${uniquePrefix()}`]) {
    const cluster = await createCluster(t, { size: 2, prefix: odd });
    await cluster.socket(1).join("room");
    cluster.io(0).to("room").emit("hello", odd);
    assert.deepEqual(await cluster.received("hello"), [[], [[odd]]]);
  }
});

test("the default prefix is socket.io", async (t) => {
  const adapter = pgAdapter(await databaseUri());
  const node = await createNode(adapter);
  t.after(() => node.close());
  await adapter.ready();
  const instance = node.io.of("/chat").adapter as unknown as { prefix: string; channel: string };
  assert.equal(instance.prefix, "socket.io");
  assert.equal(instance.channel, "socket.io:/chat");
});
