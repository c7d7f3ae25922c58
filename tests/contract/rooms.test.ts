import assert from "node:assert/strict";
import { type Cluster, createCluster } from "../support/cluster.ts";
import { test } from "../support/test.ts";
import { next } from "../support/wait.ts";

/** Which clients are in a room, by what their servers say. */
function members(cluster: Cluster, room: string): number[] {
  return [...cluster.clients.keys()].filter((i) =>
    cluster.client(i).connected && cluster.socket(i).rooms.has(room)
  );
}

test("socketsJoin() and socketsLeave() move the sockets of all servers", async (t) => {
  const cluster = await createCluster(t, { clients: 2 });
  cluster.io(0).socketsJoin("all");
  await cluster.settled();
  assert.deepEqual(members(cluster, "all"), [0, 1, 2, 3, 4, 5]);
  cluster.io(1).socketsLeave("all");
  await cluster.settled();
  assert.deepEqual(members(cluster, "all"), []);
});

test("in(rooms).except(rooms).socketsJoin(), of several rooms at once", async (t) => {
  const cluster = await createCluster(t, { clients: 2 });
  for (const i of [0, 2, 3, 5]) await cluster.socket(i).join("news");
  await cluster.socket(3).join("muted");
  cluster.io(1).in("news").except("muted").socketsJoin(["a", "b"]);
  cluster.io(2).in(cluster.socket(1).id).socketsJoin("c");
  await cluster.settled();
  assert.deepEqual(members(cluster, "a"), [0, 2, 5]);
  assert.deepEqual(members(cluster, "b"), [0, 2, 5]);
  assert.deepEqual(members(cluster, "c"), [1]);
  cluster.io(0).in("a").socketsLeave(["news", "b"]);
  await cluster.settled();
  assert.deepEqual(members(cluster, "news"), [3]);
  assert.deepEqual(members(cluster, "b"), []);
  assert.deepEqual(members(cluster, "a"), [0, 2, 5]);
});

test("local.socketsJoin() moves the sockets of this server alone", async (t) => {
  const cluster = await createCluster(t);
  cluster.io(1).local.socketsJoin("mine");
  await cluster.settled();
  assert.deepEqual(members(cluster, "mine"), [1]);
  for (const i of [0, 2]) await cluster.socket(i).join("mine");
  cluster.io(1).local.socketsLeave("mine");
  await cluster.settled();
  assert.deepEqual(members(cluster, "mine"), [0, 2]);
});

test("whom socketsJoin() moved hears the room's next event", async (t) => {
  const cluster = await createCluster(t, { clients: 2 });
  cluster.io(0).in(cluster.socket(3).id).socketsJoin("late");
  cluster.io(0).to("late").emit("welcome");
  cluster.io(0).in("late").socketsLeave("late");
  cluster.io(0).to("late").emit("gone");
  assert.deepEqual(await cluster.receivers("welcome"), [3]);
  assert.deepEqual(await cluster.receivers("gone"), []);
});

test("disconnectSockets() disconnects the matching sockets of all servers", async (t) => {
  const cluster = await createCluster(t, { clients: 2 });
  for (const i of [0, 3, 4]) await cluster.socket(i).join("out");
  await cluster.socket(4).join("stays");
  const reasons = [0, 3].map((i) => next(cluster.client(i), "disconnect"));
  cluster.io(1).in("out").except("stays").disconnectSockets();
  for (const reason of reasons) assert.equal((await reason)[0], "io server disconnect");
  await cluster.settled();
  assert.deepEqual(cluster.clients.map(({ connected }) => connected), [
    false,
    true,
    true,
    false,
    true,
    true,
  ]);
  assert.equal((await cluster.io(2).fetchSockets()).length, 4);
});

for (const close of [false, true]) {
  test(`disconnectSockets(${close}) ${close ? "closes" : "leaves"} the connection`, async (t) => {
    const cluster = await createCluster(t);
    const others = await Promise.all([0, 1, 2].map(async (i) => {
      cluster.io(i).of("/other");
      const other = cluster.client(i).io.socket("/other");
      await next(other, "connect");
      return other;
    }));
    const main = cluster.clients.map((client) => next(client, "disconnect"));
    const closed = others.map((other) => close ? next(other, "disconnect") : undefined);
    cluster.io(0).disconnectSockets(close);
    await Promise.all([...main, ...closed]);
    await cluster.settled();
    assert.deepEqual(others.map(({ connected }) => connected), Array(3).fill(!close));
  });
}

test("a socket's own join() and leave() are known to all servers", async (t) => {
  const cluster = await createCluster(t);
  await cluster.socket(2).join(["a", "b"]);
  await cluster.socket(2).leave("b");
  assert.equal((await cluster.io(0).in("a").fetchSockets()).length, 1);
  assert.equal((await cluster.io(0).in("b").fetchSockets()).length, 0);
});
