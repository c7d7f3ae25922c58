import assert from "node:assert/strict";
import { createCluster } from "../support/cluster.ts";
import { test } from "../support/test.ts";
import { next, within } from "../support/wait.ts";

type Answer = (value?: unknown) => void;

/** The ids of sockets, sorted. */
function ids(sockets: readonly { id: string | undefined }[]): string[] {
  return sockets.map(({ id }) => String(id)).sort();
}

test("fetchSockets() finds the sockets of all servers", async (t) => {
  const cluster = await createCluster(t, { clients: 2 });
  for (const server of [0, 1, 2]) {
    assert.deepEqual(ids(await cluster.io(server).fetchSockets()), ids(cluster.clients));
  }
});

test("fetchSockets() of rooms, with exceptions, and local", async (t) => {
  const cluster = await createCluster(t, { clients: 2 });
  const of = (...clients: number[]) => ids(clients.map((i) => cluster.client(i)));
  for (const i of [0, 1, 3, 4]) await cluster.socket(i).join("news");
  for (const i of [1, 4]) await cluster.socket(i).join("muted");
  const io = cluster.io(1);
  assert.deepEqual(ids(await io.in("news").fetchSockets()), of(0, 1, 3, 4));
  assert.deepEqual(ids(await io.in("news").except("muted").fetchSockets()), of(0, 3));
  assert.deepEqual(ids(await io.except(["news"]).fetchSockets()), of(2, 5));
  assert.deepEqual(ids(await io.in(["news", "muted"]).fetchSockets()), of(0, 1, 3, 4));
  assert.deepEqual(ids(await io.in("nobody").fetchSockets()), []);
  assert.deepEqual(ids(await io.local.fetchSockets()), of(2, 3));
  assert.deepEqual(ids(await io.local.in("news").fetchSockets()), of(3));
  const { id } = cluster.socket(5);
  assert.deepEqual(ids(await io.in(id).fetchSockets()), of(5));
});

test("a remote socket has its id, handshake, rooms and data", async (t) => {
  const cluster = await createCluster(t, {
    client: { query: { name: "ünïcode & co" }, extraHeaders: { "x-custom": "abc" } },
  });
  const data = { user: { id: 7, tags: ["a", "b"] }, text: "🎉", nothing: null };
  cluster.socket(2).data = structuredClone(data);
  await cluster.socket(2).join(["a", "b"]);
  const { id, handshake } = cluster.socket(2);
  const [remote] = await cluster.io(0).in(id).fetchSockets();
  assert.ok(remote);
  assert.equal(remote.id, id);
  assert.deepEqual(remote.data, data);
  assert.deepEqual(remote.rooms, new Set([id, "a", "b"]));
  assert.equal(remote.handshake.query["name"], "ünïcode & co");
  assert.equal(remote.handshake.headers["x-custom"], "abc");
  assert.equal(remote.handshake.url, handshake.url);
  assert.equal(remote.handshake.address, handshake.address);
  assert.equal(remote.handshake.issued, handshake.issued);
  assert.equal(remote.handshake.time, handshake.time);
  assert.deepEqual(remote.handshake.auth, handshake.auth);
});

test("a remote socket can be emitted to, moved and asked", async (t) => {
  const cluster = await createCluster(t);
  cluster.client(2).on("ask", (n: number, answer: Answer) => answer(n + 1));
  const [remote] = await cluster.io(0).in(cluster.socket(2).id).fetchSockets();
  assert.ok(remote);
  remote.emit("direct", 1, Buffer.from("two"));
  remote.join("a");
  remote.join(["b", "c"]);
  remote.leave("b");
  assert.deepEqual(await cluster.receivers("direct"), [2]);
  assert.deepEqual([...cluster.socket(2).rooms].sort(), [cluster.socket(2).id, "a", "c"].sort());
  assert.equal(await remote.timeout(10_000).emitWithAck("ask", 41), 42);
});

test("a remote socket that does not answer gives an error in time", async (t) => {
  const cluster = await createCluster(t);
  const [remote] = await cluster.io(0).in(cluster.socket(1).id).fetchSockets();
  assert.ok(remote);
  await assert.rejects(remote.timeout(300).emitWithAck("ask"), /operation has timed out/);
});

test("a remote socket can be disconnected", async (t) => {
  const cluster = await createCluster(t);
  const [remote] = await cluster.io(0).in(cluster.socket(1).id).fetchSockets();
  const disconnected = next(cluster.client(1), "disconnect");
  remote?.disconnect();
  assert.equal((await disconnected)[0], "io server disconnect");
  assert.deepEqual(
    ids(await cluster.io(2).fetchSockets()),
    ids([cluster.client(0), cluster.client(2)]),
  );
});

test("sockets of another namespace stay out", async (t) => {
  const cluster = await createCluster(t, { namespace: "/chat" });
  assert.deepEqual(ids(await cluster.nsp(1).fetchSockets()), ids(cluster.clients));
  assert.deepEqual(await cluster.io(1).fetchSockets(), []);
});

test("a namespace that one server alone has is answered at once", async (t) => {
  const cluster = await createCluster(t, { adapter: { requestsTimeout: 60_000 } });
  const own = cluster.io(1).of("/own");
  assert.deepEqual(await within(10_000, "fetchSockets()", own.fetchSockets()), []);
});

test("an answer of megabytes arrives complete", async (t) => {
  const cluster = await createCluster(t, { clients: 20, adapter: { requestsTimeout: 20_000 } });
  for (const i of cluster.clients.keys()) {
    cluster.socket(i).data = { big: "x".repeat(40_000), i };
  }
  const sockets = await cluster.io(0).fetchSockets();
  assert.deepEqual(ids(sockets), ids(cluster.clients));
  for (const { id, data } of sockets) {
    assert.equal(data.i, cluster.clients.findIndex((client) => client.id === id));
    assert.equal(data.big.length, 40_000);
  }
});

test("an answer goes to who asked, and nobody else has to read it", async (t) => {
  const cluster = await createCluster(t);
  cluster.socket(1).data = { big: "x".repeat(1_000_000) };
  cluster.io(1).on("ask", (answer: Answer) => answer("y".repeat(1_000_000)));
  cluster.io(2).on("ask", (answer: Answer) => answer("small"));
  await cluster.settled();
  const frames = () => [0, 2].map((i) => cluster.adapter(i).stats().received.frames);
  const before = frames();
  await cluster.io(0).fetchSockets();
  await cluster.io(0).serverSideEmitWithAck("ask");
  await cluster.settled();
  const [asker, other] = frames().map((now, i) => now - (before[i] ?? 0));
  // Two megabytes are 250 frames of 8 KB at least.
  assert.ok(Number(asker) > 250, `the asker read ${asker} frames`);
  assert.ok(Number(other) < 50, `the other one read ${other} frames`);
});

test("a hundred requests at once are each answered in full", async (t) => {
  const cluster = await createCluster(t, { clients: 2 });
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, i) => cluster.io(i % 3).fetchSockets()),
  );
  for (const sockets of answers) assert.deepEqual(ids(sockets), ids(cluster.clients));
});

test("two and eight servers", async (t) => {
  for (const size of [2, 8]) {
    const cluster = await createCluster(t, { size });
    assert.deepEqual(ids(await cluster.io(size - 1).fetchSockets()), ids(cluster.clients));
  }
});

test("data that cannot be sent is an error for who asks, soon, and says where", async (t) => {
  const cluster = await createCluster(t, { adapter: { requestsTimeout: 60_000 } });
  const cycle: Record<string, unknown> = {};
  cycle["self"] = cycle;
  cluster.socket(2).data = cycle;
  const asked = within(10_000, "the error", cluster.io(0).fetchSockets());
  await assert.rejects(asked, (error: Error & { code?: string }) => {
    assert.equal(error.code, "REQUEST_FAILED");
    return true;
  });
  cluster.errors.splice(0);
  cluster.socket(2).data = {};
  assert.deepEqual(ids(await cluster.io(0).fetchSockets()), ids(cluster.clients));
});
