/** What holds while a process starts and stops: it is complete when it is ready, and its last words are heard. */
import assert from "node:assert/strict";
import type { Server } from "socket.io";
import { pgAdapter } from "../../mod.ts";
import { createCluster, createNode, uniquePrefix } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { test } from "../support/test.ts";
import { until, within } from "../support/wait.ts";

test("who is ready knows all others: requests are complete from the first one on", async (t) => {
  const cluster = await createCluster(t, { clients: 2 });
  for (let round = 0; round < 5; round++) {
    const node = await createNode(pgAdapter(cluster.uri, { prefix: cluster.prefix }));
    t.after(() => node.close());
    await node.adapter.ready();
    assert.equal((await node.io.fetchSockets()).length, 6);
    assert.equal(await node.io.of("/").adapter.serverCount(), 4);
    await node.close();
  }
});

test("requests of a server that is not ready yet wait for it, and are complete", async (t) => {
  const cluster = await createCluster(t, { clients: 2 });
  for (const i of [0, 1, 2]) {
    cluster.io(i).on("ask", (answer: (value: number) => void) => answer(i));
  }
  for (const client of cluster.clients) {
    client.on("ask", (answer: (value: number) => void) => answer(1));
  }
  const questions: Record<string, (io: Server) => Promise<unknown[]>> = {
    "fetchSockets()": (io) => io.fetchSockets(),
    "serverSideEmitWithAck()": (io) => io.serverSideEmitWithAck("ask"),
    "emitWithAck()": (io) => io.timeout(5_000).emitWithAck("ask"),
  };
  for (const [name, ask] of Object.entries(questions)) {
    const node = await createNode(pgAdapter(cluster.uri, { prefix: cluster.prefix }));
    t.after(() => node.close());
    assert.equal((await ask(node.io)).length, name === "serverSideEmitWithAck()" ? 3 : 6, name);
    await node.close();
  }
});

test("in dynamic mode a room's broadcast reaches those who are heard of later", async (t) => {
  const cluster = await createCluster(t, {
    size: 1,
    adapter: { subscriptionMode: "dynamic", maxRoomChannels: 0 },
  });
  await cluster.socket(0).join("room");
  const adapter = pgAdapter(cluster.uri, { prefix: cluster.prefix, subscriptionMode: "dynamic" });
  const node = await createNode(adapter);
  t.after(() => node.close());
  node.io.to("room").emit("before");
  await adapter.ready();
  node.io.to("room").emit("after");
  assert.deepEqual(await cluster.inbox(0).count("after", 1), [[]]);
  assert.deepEqual(cluster.inbox(0).events, ["before", "after"]);
});

test("what is emitted before the connection is there is sent, also when the server closes at once", async (t) => {
  const cluster = await createCluster(t, { size: 1 });
  const node = await createNode(pgAdapter(cluster.uri, { prefix: cluster.prefix }));
  t.after(() => node.close());
  node.io.emit("hello and goodbye");
  await within(5_000, "closing", node.io.close());
  await cluster.inbox(0).count("hello and goodbye", 1);
});

test("requests after close() fail at once", async (t) => {
  const cluster = await createCluster(t, { size: 2, adapter: { requestsTimeout: 60_000 } });
  await cluster.adapter(0).close();
  await assert.rejects(within(1_000, "the answer", cluster.io(0).fetchSockets()), {
    code: "CLOSED",
  });
  const answer = cluster.io(0).serverSideEmitWithAck("ask");
  await assert.rejects(within(1_000, "the answer", answer), { code: "CLOSED" });
  cluster.errors.splice(0);
});

test("a socket that leaves the last one of a namespace can still ask for the others", async (t) => {
  const cluster = await createCluster(t, {
    size: 2,
    server: { cleanupEmptyChildNamespaces: true },
  });
  for (const i of [0, 1]) cluster.io(i).of(/^\/last-\d$/);
  const clients = [0, 1].map((i) => cluster.client(i).io.socket("/last-1"));
  t.after(() => clients.forEach((client) => client.disconnect()));
  await Promise.all(
    clients.map((client) => new Promise<void>((resolve) => client.once("connect", resolve))),
  );
  const nsp = cluster.io(0).of("/last-1");
  const [socket] = nsp.sockets.values();
  await until("it knows of the other", async () => await nsp.adapter.serverCount() === 2);
  const others = new Promise<number>((resolve, reject) => {
    socket?.on(
      "disconnect",
      () => nsp.fetchSockets().then(({ length }) => resolve(length), reject),
    );
  });
  clients[0]?.disconnect();
  assert.equal(await within(5_000, "the answer", others), 1);
});

test("rooms that are no names are nobody's: they are not taken for everyone, and refused by no one", async (t) => {
  const cluster = await createCluster(t);
  for (const i of [0, 1, 2]) await cluster.socket(i).join("room");
  const nothing = undefined as unknown as string;
  cluster.io(0).to(nothing).emit("nobody");
  cluster.io(0).to([nothing, "room"]).emit("room");
  cluster.io(0).to("room").except([nothing, null as unknown as string]).emit("but nobody");
  cluster.io(0).in(nothing).socketsJoin("another");
  assert.deepEqual((await cluster.io(0).in(nothing).fetchSockets()).length, 0);
  await cluster.settled();
  for (const i of [0, 1, 2]) assert.deepEqual(cluster.inbox(i).events, ["room", "but nobody"]);
  assert.equal((await cluster.io(0).in("another").fetchSockets()).length, 0);
});

test("what listeners of rooms emit keeps its place behind what made them", async (t) => {
  const cluster = await createCluster(t, { size: 2 });
  const { adapter } = cluster.io(0).of("/");
  adapter.on("join-room", (room: string) => {
    if (room === "room") cluster.io(0).to("room").emit("joined");
  });
  cluster.io(0).socketsJoin("room");
  assert.deepEqual(await cluster.inbox(1).count("joined", 1), [[]]);
});

test("a cluster of another prefix, or of none, is nobody to wait for", async (t) => {
  const others = await createCluster(t, { size: 2 });
  const adapter = pgAdapter(await databaseUri(), { prefix: uniquePrefix() });
  t.after(() => adapter.close());
  await within(1_500, "getting ready alone", adapter.ready());
  assert.deepEqual(adapter.stats().nodes, []);
  assert.equal(others.servers.length, 2);
});
