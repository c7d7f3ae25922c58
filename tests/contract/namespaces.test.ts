import assert from "node:assert/strict";
import type { Socket as Client } from "socket.io-client";
import { type Cluster, connected, createClient, createCluster } from "../support/cluster.ts";
import { connectSql } from "../support/sql.ts";
import { test } from "../support/test.ts";
import { next, until } from "../support/wait.ts";

/** A client of another namespace, over the connection of the client of this number. */
async function join(cluster: Cluster, client: number, namespace: string): Promise<Client> {
  const socket = cluster.client(client).io.socket(namespace);
  await connected(socket);
  return socket;
}

/** Waits until so many servers have a namespace, as each of them counts. */
async function known(cluster: Cluster, namespace: string, servers: number[]): Promise<void> {
  await until(`${servers.length} servers have ${namespace}`, async () => {
    const counts = await Promise.all(
      servers.map((i) => cluster.io(i).of(namespace).adapter.serverCount()),
    );
    return counts.every((count) => count === servers.length);
  });
}

test("namespaces that are made at any time hear each other", async (t) => {
  const cluster = await createCluster(t);
  for (const namespace of ["/one", "/two"]) {
    for (const i of [0, 1, 2]) cluster.io(i).of(namespace);
    await known(cluster, namespace, [0, 1, 2]);
  }
  const clients = await Promise.all([0, 1, 2].map((i) => join(cluster, i, "/one")));
  const heard = clients.map((client) => next(client, "hello"));
  cluster.io(0).of("/two").emit("hello", "wrong");
  cluster.io(0).of("/one").emit("hello", "right");
  assert.deepEqual(await Promise.all(heard), Array(3).fill(["right"]));
  assert.equal((await cluster.io(1).of("/one").fetchSockets()).length, 3);
  assert.equal((await cluster.io(1).of("/two").fetchSockets()).length, 0);
});

test("dynamic namespaces hear each other, each its own events", async (t) => {
  const cluster = await createCluster(t);
  for (const i of [0, 1, 2]) cluster.io(i).of(/^\/t-\d+$/);
  const sevens = await Promise.all([0, 1, 2].map((i) => join(cluster, i, "/t-7")));
  const eight = await join(cluster, 1, "/t-8");
  await known(cluster, "/t-7", [0, 1, 2]);
  let eights = 0;
  eight.on("hello", () => eights++);
  const heard = sevens.map((client) => next(client, "hello"));
  cluster.io(2).of("/t-7").emit("hello", 7);
  assert.deepEqual(await Promise.all(heard), Array(3).fill([7]));
  assert.equal((await cluster.io(0).of("/t-7").fetchSockets()).length, 3);
  await cluster.settled();
  assert.equal(eights, 0);
});

test("a parent namespace reaches the children that its server has", async (t) => {
  const cluster = await createCluster(t, { size: 2 });
  const parents = [0, 1].map((i) => cluster.io(i).of(/^\/t-\d+$/));
  const clients = await Promise.all([0, 1].map((i) => join(cluster, i, "/t-1")));
  await known(cluster, "/t-1", [0, 1]);
  const heard = clients.map((client) => next(client, "hello"));
  parents[0]?.emit("hello", "children");
  assert.deepEqual(await Promise.all(heard), [["children"], ["children"]]);
});

test("a thousand namespaces on each server hear each other", async (t) => {
  const cluster = await createCluster(t, { size: 2 });
  const names = Array.from({ length: 1_000 }, (_, i) => `/n-${i}`);
  const heard: string[] = [];
  for (const name of names) {
    cluster.io(0).of(name);
    cluster.io(1).of(name).on("hello", (given: string) => heard.push(`${name} ${given}`));
  }
  await known(cluster, "/n-999", [0, 1]);
  await cluster.settled();
  for (const name of names) cluster.io(0).of(name).serverSideEmit("hello", name);
  await cluster.settled();
  assert.deepEqual(heard, names.map((name) => `${name} ${name}`));
});

test("ten thousand namespaces made and emptied leave no channel behind", async (t) => {
  const cluster = await createCluster(t, {
    size: 2,
    server: { cleanupEmptyChildNamespaces: true },
  });
  const sql = connectSql(t, cluster.uri);
  const adapter = cluster.adapter(0);
  for (const i of [0, 1]) cluster.io(i).of(/^\/t-\d+$/);
  const before = { ...adapter.stats() };

  const emptied: string[] = [];
  for (let batch = 0; batch < 20; batch++) {
    const names = Array.from({ length: 500 }, (_, i) => `/t-${batch * 500 + i}`);
    // A connection of its own: a client looks through all namespaces that it ever had when it leaves one.
    const { io: manager } = createClient(cluster.port(0));
    const clients = names.map((name) => manager.socket(name));
    await Promise.all(clients.map(connected));
    if (batch === 0) await garbage(sql, cluster.prefix, names);
    await cluster.settled();
    assert.ok(names.every((name) => cluster.io(0)._nsps.has(name)));
    assert.equal(adapter.stats().namespaces, before.namespaces + 500);
    for (const client of clients) client.disconnect();
    manager._close();
    await until("the namespaces are gone", () => cluster.io(0)._nsps.size === 1);
    emptied.push(...names);
  }
  // What is no message of ours is an error for who hears it: the first batch was listened to.
  await until("an error", () => cluster.errors.length > 0);

  await until("the channels are gone", () => adapter.stats().channels === before.channels);
  assert.equal(adapter.stats().namespaces, before.namespaces);
  const { received } = adapter.stats();
  await garbage(sql, cluster.prefix, emptied);
  await cluster.settled();
  assert.equal(adapter.stats().received.malformed, received.malformed);
  cluster.errors.splice(0);
}, { deadline: 100_000 });

/** Notifies, by hand, the channel of each namespace of something that is no message. */
async function garbage(
  sql: ReturnType<typeof connectSql>,
  prefix: string,
  namespaces: readonly string[],
): Promise<void> {
  const channels = JSON.stringify(namespaces.map((name) => `${prefix}:${name}`));
  await sql`
    select pg_notify(channel, 'garbage ' || channel)
    from json_array_elements_text(${channels}::text::json) as channel`;
}
