import assert from "node:assert/strict";
import { pgAdapter } from "../../mod.ts";
import {
  type Cluster,
  connected,
  createCluster,
  createNode,
  knowEachOther,
} from "../support/cluster.ts";
import { connectSql } from "../support/sql.ts";
import { test } from "../support/test.ts";
import { next, until } from "../support/wait.ts";

/** How many servers each open server counts. */
function counts(cluster: Cluster, servers: number[]): Promise<number[]> {
  return Promise.all(servers.map((i) => cluster.io(i).of("/").adapter.serverCount()));
}

test("serverCount() counts the servers of the cluster", async (t) => {
  for (const size of [1, 2, 3, 8]) {
    const cluster = await createCluster(t, { size });
    const all = Array.from({ length: size }, (_, i) => i);
    assert.deepEqual(await counts(cluster, all), Array(size).fill(size));
  }
});

test("a server that closes is gone for its peers at once", async (t) => {
  const cluster = await createCluster(t, {
    adapter: { heartbeatInterval: 60_000, heartbeatTimeout: 120_000, requestsTimeout: 60_000 },
  });
  const { uid } = cluster.adapter(2).stats();
  const down = [0, 1].map((i) => next(cluster.adapter(i), "node-down"));
  await cluster.closeServer(2);
  for (const [args] of await Promise.all(down)) assert.equal(args, uid);
  assert.deepEqual(await counts(cluster, [0, 1]), [2, 2]);
  // Nobody waits for the one that left.
  assert.equal((await cluster.io(0).fetchSockets()).length, 2);
  assert.deepEqual(await cluster.io(0).timeout(60_000).to("nobody").emitWithAck("ask"), []);
});

test("a server that joins later is known to all, and hears all, at once", async (t) => {
  const options = { heartbeatInterval: 60_000, heartbeatTimeout: 120_000 };
  const cluster = await createCluster(t, { adapter: options });
  const ups = [0, 1, 2].map((i) => next(cluster.adapter(i), "node-up"));
  const adapter = pgAdapter(cluster.uri, { prefix: cluster.prefix, ...options });
  const node = await createNode(adapter);
  t.after(() => node.close());
  await adapter.ready();
  const { uid } = adapter.stats();
  for (const [up] of await Promise.all(ups)) assert.equal(up, uid);
  await knowEachOther([...cluster.servers, node]);
  const hello = next<[string]>(node.io, "hello");
  cluster.io(0).serverSideEmit("hello", "newcomer");
  assert.deepEqual(await hello, ["newcomer"]);
});

test("a namespace counts the servers that have it", async (t) => {
  const cluster = await createCluster(t);
  const one = cluster.io(0).of("/late").adapter;
  assert.equal(await one.serverCount(), 1);
  const two = cluster.io(1).of("/late").adapter;
  await until("both know", async () => {
    return await one.serverCount() === 2 && await two.serverCount() === 2;
  });
  two.close();
  await until("the first is alone again", async () => await one.serverCount() === 1);
  assert.deepEqual(await counts(cluster, [0, 1, 2]), [3, 3, 3]);
});

test("a namespace that was closed and opened again works", async (t) => {
  const cluster = await createCluster(t, { server: { cleanupEmptyChildNamespaces: true } });
  for (const i of [0, 1]) cluster.io(i).of(/^\/again-\d$/);
  for (let round = 0; round < 5; round++) {
    const clients = [0, 1].map((i) => cluster.client(i).io.socket("/again-1"));
    await Promise.all(clients.map(connected));
    const [one, two] = [0, 1].map((i) => cluster.io(i).of("/again-1"));
    await until("both know", async () => {
      return await one?.adapter.serverCount() === 2 && await two?.adapter.serverCount() === 2;
    });
    const heard = clients.map((client) => next(client, "round"));
    one?.emit("round", round);
    assert.deepEqual(await Promise.all(heard), [[round], [round]]);
    for (const client of clients) client.disconnect();
    await until("both are empty", () => one?.sockets.size === 0 && two?.sockets.size === 0);
    // Until then they may take the other's namespace of this round for that of the next.
    await cluster.settled();
  }
});

test("node-up and node-down name each peer once", async (t) => {
  const cluster = await createCluster(t, { size: 1 });
  const events: unknown[][] = [];
  cluster.adapter(0).on("node-up", (uid: string) => events.push(["up", uid]));
  cluster.adapter(0).on("node-down", (uid: string) => events.push(["down", uid]));
  const expected: unknown[][] = [];
  for (let round = 0; round < 3; round++) {
    const node = await createNode(
      pgAdapter(cluster.uri, {
        prefix: cluster.prefix,
        subscriptionMode: "dynamic",
        maxRoomChannels: 1,
      }),
    );
    await knowEachOther([...cluster.servers, node]);
    const { uid } = node.adapter.stats();
    // What a process says of itself changes when it has more rooms than channels; it stays the same process.
    await node.io.of("/").adapter.addAll("some socket", new Set(["a", "b", "c"]));
    const told = next(cluster.io(0), "told");
    node.io.serverSideEmit("told");
    await told;
    await node.close();
    await until("it is gone", async () => (await counts(cluster, [0]))[0] === 1);
    expected.push(["up", uid], ["down", uid]);
  }
  assert.deepEqual(events, expected);
});

test("a process has one heartbeat, however many namespaces", async (t) => {
  const heartbeatInterval = 100;
  const cluster = await createCluster(t, { size: 2, adapter: { heartbeatInterval } });
  for (let n = 0; n < 200; n++) for (const i of [0, 1]) cluster.io(i).of(`/n-${n}`);
  await until("all are known", async () => {
    return await cluster.io(0).of("/n-199").adapter.serverCount() === 2;
  });
  await cluster.settled();
  const sent = () => cluster.adapter(0).stats().published.messages;
  const [before, start] = [sent(), performance.now()];
  await until("ten heartbeats", () => sent() >= before + 10);
  const elapsed = performance.now() - start;
  assert.ok(elapsed > heartbeatInterval * 5, `ten heartbeats in ${elapsed} ms`);
  assert.deepEqual(await counts(cluster, [0, 1]), [2, 2]);
});

test("a server that is only idle stays", async (t) => {
  const cluster = await createCluster(t, {
    adapter: { heartbeatInterval: 100, heartbeatTimeout: 1_000 },
  });
  const downs: unknown[] = [];
  for (const i of [0, 1, 2]) cluster.adapter(i).on("node-down", (uid: string) => downs.push(uid));
  const start = performance.now();
  await until("twice the timeout has passed", () => performance.now() - start > 2_000);
  assert.deepEqual(downs, []);
  assert.deepEqual(await counts(cluster, [0, 1, 2]), [3, 3, 3]);
});

test("who died is let go though others start all the time", async (t) => {
  const limits = { requestsTimeout: 500, heartbeatInterval: 300, heartbeatTimeout: 1_500 };
  const cluster = await createCluster(t, { size: 1, adapter: limits });
  const sql = connectSql(t, cluster.uri);
  const { adapter } = cluster.servers[0]!;
  const value = JSON.stringify({ t: 1, v: { s: 0, n: ["/"], d: true, e: "" } });
  let started = 0;
  // Each says hello and dies.
  const start = async () => {
    const uid = (++started).toString(16).padStart(16, "a");
    const hello = `1r${uid}1,0;${value.length},0;${value}`;
    await sql`select pg_notify(${`${cluster.prefix}:~`}, ${hello})`;
    await until("it is known", () => adapter.stats().nodes.includes(uid));
  };
  const since = performance.now();
  let most = 0;
  while (performance.now() - since < 4_000) {
    await start();
    most = Math.max(most, adapter.stats().nodes.length);
    const last = performance.now();
    await until("the next one starts", () => performance.now() - last > 400);
  }
  assert.ok(most < started, `${most} of ${started} were there at once`);
  await until("all are gone", () => adapter.stats().nodes.length === 0);
  assert.equal((await cluster.io(0).fetchSockets()).length, 1);
});
