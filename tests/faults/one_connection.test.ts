/** One connection of a server is away, the other one works: what others make of it, and what they send. */
import assert from "node:assert/strict";
import type { PgAdapterError } from "../../mod.ts";
import { HAS_RECOVERY } from "../support/offset.ts";
import { roomChannel } from "../../src/wire/channel.ts";
import { connected, createClient, createCluster } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { FaultProxy } from "../support/fault_proxy.ts";
import { connectSql } from "../support/sql.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

test("a server that counts as gone and hears all the same gets what is sent to its rooms", async (t) => {
  const uri = await databaseUri();
  const [listen, publish] = [await FaultProxy.start(uri), await FaultProxy.start(uri)];
  t.after(() => Promise.all([listen.close(), publish.close()]));
  const cluster = await createCluster(t, {
    size: 2,
    adapter: (server) => ({
      heartbeatInterval: 300,
      heartbeatTimeout: 2_000,
      replayWindow: 1_000,
      // It does not listen to the channels of its rooms.
      ...server === 1 &&
        { subscriptionMode: "static", listen: listen.uri, publish: publish.uri },
    }),
  });
  await cluster.socket(1).join("room");
  await publish.refuse();
  publish.cut("rst");
  await until("it counts as gone", () => cluster.adapter(0).stats().nodes.length === 0);
  for (let n = 0; n < 20; n++) cluster.io(0).to("room").emit("n", n);
  const heard = await cluster.inbox(1).count("n", 20);
  assert.deepEqual(heard.flat(), Array.from({ length: 20 }, (_, n) => n));
  if (!HAS_RECOVERY) {
    // Once it does not hear either, rooms have their channels.
    await listen.refuse();
    listen.cut("rst");
    let isHeard = false;
    const channel = roomChannel(cluster.prefix, "/", "room");
    await connectSql(t, uri).listen(channel, () => isHeard = true);
    await until("the room has its channel", () => {
      cluster.io(0).to("room").emit("m");
      return isHeard;
    });
  }
  await Promise.all([listen.accept(), publish.accept()]);
  // By now not all of that is remembered, and that is told.
  if (!HAS_RECOVERY) {
    await until("a gap", () => cluster.errors.some(({ message }) => message.startsWith("a gap")));
  }
  await until("it is back", () => cluster.adapter(1).stats().phase === "ready");
  cluster.errors.splice(0);
});

test("a namespace that is left while nothing is heard is not missed later", async (t) => {
  const uri = await databaseUri();
  const proxy = await FaultProxy.start(uri);
  t.after(() => proxy.close());
  const cluster = await createCluster(t, {
    size: 2,
    adapter: (server) => ({
      heartbeatInterval: 200,
      heartbeatTimeout: 5_000,
      ...server === 0 && { listen: proxy.uri, publish: uri },
    }),
    server: { cleanupEmptyChildNamespaces: true },
  });
  for (const i of [0, 1]) cluster.io(i).of(/^\/left-\d+$/);
  const clients = [0, 1].map((i) => createClient(cluster.port(i), "/left-1"));
  t.after(() => clients.forEach((client) => client.disconnect()));
  await Promise.all(clients.map(connected));
  const [left, other] = [cluster.adapter(0), cluster.adapter(1)];
  const nsp = cluster.io(1).of("/left-1");
  let isHeard = false;
  clients[0]!.on("n", () => isHeard = true);
  await until("it is heard", () => {
    nsp.emit("n");
    return isHeard;
  });
  await proxy.refuse();
  proxy.cut("rst");
  await until("it is noticed", () => left.stats().phase === "disconnected");
  clients[0]!.disconnect();
  await until("it is left", () => left.stats().namespaces === 1);
  await proxy.accept();
  await until("it hears again", () => left.stats().phase === "ready");
  await cluster.settled();
  const { repeated } = other.stats().published;
  for (let round = 0; round < 5; round++) {
    nsp.emit("n");
    // Heartbeats name what was sent last.
    const { frames } = left.stats().received;
    await until("heartbeats", () => left.stats().received.frames >= frames + 3);
  }
  assert.equal(other.stats().published.repeated, repeated);
  for (const error of cluster.errors.splice(0)) {
    assert.equal((error as PgAdapterError).code, "CONNECT_FAILED");
  }
});
