/** Whose session is given back, to which server, how often, and what a server of Socket.IO promises of it. */
import assert from "node:assert/strict";
import { createRecoveryCluster, type RecoveryCluster, type Wanderer } from "../support/recovery.ts";
import { connectSql } from "../support/sql.ts";
import { test } from "../support/test.ts";
import { next, until } from "../support/wait.ts";

/** Cuts a client off, and waits until its session can be taken. */
async function leave(cluster: RecoveryCluster, i: number, wanderer: Wanderer): Promise<void> {
  const { persisted } = cluster.nodes[i]!.adapter.stats().recovery!;
  await wanderer.cut();
  await until(
    "its session is kept",
    () => cluster.nodes[i]!.adapter.stats().recovery!.persisted > persisted,
  );
}

test("a client comes back ten times, to one server after the other", async (t) => {
  const cluster = await createRecoveryCluster(t);
  const wanderer = await cluster.client(0);
  const { id } = wanderer.client;
  for (let i = 0; i < 10; i++) {
    await leave(cluster, i % 3, wanderer);
    cluster.io((i + 2) % 3).emit("number", i);
    await wanderer.comeTo(cluster.port((i + 1) % 3));
    assert.ok(wanderer.client.recovered, `recovered for the ${i + 1}th time`);
    assert.equal(wanderer.client.id, id);
    await wanderer.has("number", i + 1);
  }
  assert.deepEqual(wanderer.of("number"), Array.from({ length: 10 }, (_, i) => [i]));
  const stats = cluster.nodes.map(({ adapter }) => adapter.stats().recovery!);
  assert.equal(stats.reduce((sum, { restored }) => sum + restored, 0), 10);
  assert.deepEqual(cluster.expired, []);
});

test("clients survive a restart of all servers", async (t) => {
  const cluster = await createRecoveryCluster(t);
  const wanderers = [await cluster.client(0), await cluster.client(1), await cluster.client(2)];
  const ids = wanderers.map(({ client }) => client.id);
  for (const [i, { client }] of wanderers.entries()) {
    const socket = cluster.io(i).sockets.sockets.get(client.id!)!;
    socket.data = { i };
    await socket.join(`room ${i}`);
    cluster.io(i).emit("before", i);
  }
  for (const wanderer of wanderers) await wanderer.has("before", 3);
  const gone = wanderers.map(({ client }) => next(client, "disconnect"));
  await cluster.stop();
  await Promise.all(gone);
  for (let i = 0; i < 2; i++) await cluster.start();
  cluster.io(0).to("room 1").emit("meanwhile");
  cluster.io(1).emit("all");
  for (const [i, wanderer] of wanderers.entries()) {
    await wanderer.comeTo(cluster.port(i % 2));
    assert.ok(wanderer.client.recovered, `client ${i}`);
    await wanderer.has("all");
    assert.equal(wanderer.of("meanwhile").length, i === 1 ? 1 : 0);
    assert.equal(wanderer.of("before").length, 3);
    assert.deepEqual(cluster.io(i % 2).sockets.sockets.get(ids[i]!)!.data, { i });
  }
  assert.deepEqual(wanderers.map(({ client }) => client.id), ids);
});

test("clients survive a rolling restart, under traffic", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 2 });
  const wanderer = await cluster.client(0);
  const { id } = wanderer.client;
  let count = 0;
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 50; i++) cluster.io(i % 2).emit("number", count++);
    const gone = next(wanderer.client, "disconnect");
    const [old] = cluster.nodes.splice(0, 1);
    for (let i = 0; i < 50; i++) cluster.io(0).emit("number", count++);
    await old!.close();
    await gone;
    // One that starts after the client has left.
    await cluster.start();
    for (let i = 0; i < 50; i++) cluster.io(i % 2).emit("number", count++);
    await wanderer.comeTo(cluster.port(1));
    assert.ok(wanderer.client.recovered, `round ${round}`);
    assert.equal(wanderer.client.id, id);
    await wanderer.has("number", count);
    // The one that it is at is stopped next.
    cluster.nodes.reverse();
  }
  const numbers = wanderer.of("number").map(([number]) => number as number);
  assert.deepEqual(numbers.toSorted((a, b) => a - b), Array.from({ length: count }, (_, i) => i));
});

test("of two servers that are asked for a session at once one gets it", async (t) => {
  const cluster = await createRecoveryCluster(t);
  for (let round = 0; round < 10; round++) {
    const wanderer = await cluster.client(0);
    const { offset, pid } = wanderer;
    const { id } = wanderer.client;
    await leave(cluster, 0, wanderer);
    const others = [1, 2, 1, 2].map((i) => cluster.stranger(i, pid, offset));
    const clients = await Promise.all(others);
    assert.equal(clients.filter(({ client }) => client.id === id).length, 1);
    assert.equal(clients.filter(({ client }) => client.recovered).length, 1);
    assert.equal(new Set(clients.map(({ client }) => client.id)).size, 4);
    for (const { client } of clients) client.disconnect();
  }
  const stats = cluster.nodes.map(({ adapter }) => adapter.stats().recovery!);
  assert.equal(stats.reduce((sum, { restored }) => sum + restored, 0), 10);
  assert.equal(stats.reduce((sum, { expired }) => sum + expired, 0), 30);
  assert.deepEqual(cluster.expired, Array.from({ length: 30 }, () => ({ nsp: "/" })));
});

test("a session that was taken is not kept once more by who does not know that it was", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 2 });
  const sql = connectSql(t, cluster.uri);
  const wanderer = await cluster.client(0);
  await leave(cluster, 0, wanderer);
  const [row] = await sql`select pid, keys::text, session, origin from socketio.recovery_sessions`;
  await wanderer.comeTo(cluster.port(1));
  assert.ok(wanderer.client.recovered);
  // What the first server says again when it did not hear the answer.
  const again = { ...row, keys: row!["keys"].slice(1, -1).split(","), ago: 1_000 };
  await sql`select socketio.recovery_keep(${JSON.stringify([again])}::text::json)`;
  const { client } = wanderer;
  const { pid, offset } = wanderer;
  const socket = cluster.io(1).sockets.sockets.get(client.id!)!;
  socket.disconnect();
  await until("it is disconnected", () => !client.connected);
  const stranger = await cluster.stranger(0, pid, offset);
  assert.ok(!stranger.client.recovered);
  assert.notEqual(stranger.client.id, socket.id);
});

test("what the client left last counts, when an earlier session is left over", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 2 });
  const sql = connectSql(t, cluster.uri);
  const wanderer = await cluster.client(0);
  const { pid } = wanderer;
  cluster.io(0).sockets.sockets.get(wanderer.client.id!)!.data = { is: "new" };
  await leave(cluster, 0, wanderer);
  await sql`
    insert into socketio.recovery_sessions
    select part, pid, keys, 'left over', left_at - interval '10 seconds', 'another'
    from socketio.recovery_sessions`;
  await wanderer.comeTo(cluster.port(1));
  assert.ok(wanderer.client.recovered);
  assert.equal(wanderer.pid, pid);
  const { data } = cluster.io(1).sockets.sockets.get(wanderer.client.id!)!;
  assert.deepEqual(data, { is: "new" });
  const free = await sql`select from socketio.recovery_sessions where taker is null`;
  assert.equal(free.length, 0);
});

test("who is told to leave, or leaves by itself, has no session", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 2 });
  const ways: [string, (wanderer: Wanderer) => void][] = [
    ["socket.disconnect()", ({ client }) => {
      cluster.io(0).sockets.sockets.get(client.id!)!.disconnect();
    }],
    ["io.disconnectSockets()", () => void cluster.io(0).disconnectSockets()],
    ["disconnectSockets() of another server", () => void cluster.io(1).disconnectSockets()],
    ["the client", ({ client }) => void client.disconnect()],
  ];
  for (const [who, leaves] of ways) {
    const wanderer = await cluster.client(0);
    const { id } = wanderer.client;
    const gone = next(wanderer.client, "disconnect");
    leaves(wanderer);
    await gone;
    await cluster.gone(0, id!);
    await wanderer.comeTo(cluster.port(1));
    assert.ok(!wanderer.client.recovered, who);
    assert.notEqual(wanderer.client.id, id, who);
    wanderer.client.disconnect();
  }
  const { persisted } = cluster.nodes[0]!.adapter.stats().recovery!;
  assert.equal(persisted, 0);
});

test("who comes too late gets a fresh session, and the server is told", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 2, maxDisconnectionDuration: 200 });
  const wanderer = await cluster.client(0);
  const { id } = wanderer.client;
  await leave(cluster, 0, wanderer);
  const left = performance.now();
  await until("it is late", () => performance.now() - left > 300);
  await wanderer.comeTo(cluster.port(1));
  assert.ok(!wanderer.client.recovered);
  assert.notEqual(wanderer.client.id, id);
  assert.deepEqual(cluster.expired, [{ nsp: "/" }]);
  const { restored, expired, failed } = cluster.nodes[1]!.adapter.stats().recovery!;
  assert.deepEqual({ restored, expired, failed }, { restored: 0, expired: 1, failed: 0 });
});

for (const skipMiddlewares of [true, false]) {
  test(`middlewares ${skipMiddlewares ? "are skipped" : "run"} where the server says so`, async (t) => {
    const cluster = await createRecoveryCluster(t, {
      size: 2,
      server: { connectionStateRecovery: { maxDisconnectionDuration: 60_000, skipMiddlewares } },
    });
    let runs = 0;
    const recovered: boolean[] = [];
    for (const i of [0, 1]) {
      cluster.io(i).use((_socket, go) => {
        runs++;
        go();
      });
      cluster.io(i).on("connection", (socket) => recovered.push(socket.recovered));
    }
    const wanderer = await cluster.client(0);
    await leave(cluster, 0, wanderer);
    await wanderer.comeTo(cluster.port(1));
    assert.ok(wanderer.client.recovered);
    assert.equal(runs, skipMiddlewares ? 1 : 2);
    assert.deepEqual(recovered, [false, true]);
  });
}

test("a middleware that takes long costs a client nothing", async (t) => {
  const cluster = await createRecoveryCluster(t, {
    size: 2,
    server: {
      connectionStateRecovery: { maxDisconnectionDuration: 60_000, skipMiddlewares: false },
    },
  });
  let go: (() => void) | undefined;
  cluster.io(1).use((_socket, next) => void (go = next));
  const wanderer = await cluster.client(0);
  await leave(cluster, 0, wanderer);
  cluster.io(0).emit("number", 1);
  const back = wanderer.comeTo(cluster.port(1));
  await until("the middleware runs", () => go !== undefined);
  for (let i = 2; i < 6; i++) cluster.io(i % 2).emit("number", i);
  const other = await cluster.client(0);
  cluster.io(1).emit("seen");
  await other.has("seen");
  go!();
  await back;
  assert.ok(wanderer.client.recovered);
  cluster.io(0).emit("last");
  await wanderer.has("last");
  assert.deepEqual(
    wanderer.of("number").map(([number]) => number as number).toSorted(),
    [1, 2, 3, 4, 5],
  );
});

test("each namespace has its sessions", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 2 });
  for (const i of [0, 1]) for (const nsp of ["/a", "/b"]) cluster.io(i).of(nsp);
  const [a, b] = [await cluster.client(0, "/a"), await cluster.client(0, "/b")];
  await leave(cluster, 0, a);
  await leave(cluster, 0, b);
  cluster.io(1).of("/a").emit("a");
  cluster.io(1).of("/b").emit("b");
  // What is one namespace's is nothing in another, with its own offset and with that of another.
  for (const offset of [a.offset, b.offset]) {
    const stranger = await cluster.stranger(1, a.pid, offset, "/b");
    assert.ok(!stranger.client.recovered);
    assert.deepEqual(stranger.received, []);
  }
  await a.comeTo(cluster.port(1));
  await b.comeTo(cluster.port(1));
  assert.ok(a.client.recovered);
  assert.ok(b.client.recovered);
  await a.has("a");
  await b.has("b");
  assert.deepEqual([a.received, b.received], [[["a"]], [["b"]]]);
});

test("events have an offset at their end, those that are acknowledged have none", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 2 });
  const wanderer = await cluster.client(0);
  const raw: unknown[][] = [];
  wanderer.client.onAny((...args: unknown[]) => raw.push(args));
  wanderer.client.on("ask", (...args: unknown[]) => (args.at(-1) as () => void)());
  const before = wanderer.offset;
  await cluster.io(1).timeout(5_000).emitWithAck("ask", "a text");
  await cluster.io(0).sockets.sockets.get(wanderer.client.id!)!.timeout(5_000).emitWithAck(
    "ask",
    1,
  );
  assert.equal(wanderer.offset, before);
  assert.ok(raw.every((args) => typeof args.at(-1) === "function"));
  cluster.io(1).emit("event", 1);
  await wanderer.has("event");
  assert.equal(raw.at(-1)!.length, 3);
  assert.match(String(raw.at(-1)![2]), /^[0-9a-z]{8,11}\.[0-9a-f]{6}$/);
  assert.notEqual(wanderer.offset, before);
});

test("binary and large packets come back as they were", async (t) => {
  const cluster = await createRecoveryCluster(t);
  const wanderer = await cluster.client(0);
  const id = wanderer.client.id!;
  await leave(cluster, 0, wanderer);
  const bytes = new Uint8Array(100_000).map((_, i) => i * 7);
  cluster.io(1).emit("binary", { bytes, more: [new Uint8Array([1])] });
  cluster.io(2).emit("large", "é€😀".repeat(50_000));
  cluster.io(1).to(id).emit("direct", bytes, "text");
  await wanderer.comeTo(cluster.port(2));
  await wanderer.has("large");
  await wanderer.has("direct");
  const [[{ bytes: got, more }]] = await wanderer.has("binary") as [
    [{ bytes: Uint8Array; more: Uint8Array[] }],
  ];
  assert.deepEqual([...got], [...bytes]);
  assert.deepEqual([...more[0]!], [1]);
  assert.deepEqual(wanderer.of("large"), [["é€😀".repeat(50_000)]]);
  const [direct] = wanderer.of("direct");
  assert.deepEqual([...direct![0] as Uint8Array], [...bytes]);
  assert.equal(direct![1], "text");
});

test("others need not wait for sessions that cannot be kept at once when a server closes", async (t) => {
  // Nobody counts as gone for being silent.
  const adapter = { heartbeatTimeout: 60_000 };
  const cluster = await createRecoveryCluster(t, { size: 2, adapter });
  const wanderer = await cluster.client(0);
  const { uid } = cluster.nodes[0]!.adapter.stats();
  const gone = next(cluster.nodes[1]!.adapter, "node-down", 15_000);
  const left = next(wanderer.client, "disconnect", 15_000);
  const sql = connectSql(t, cluster.uri);
  let closing: Promise<void> | undefined;
  await sql.begin(async (transaction) => {
    await transaction`lock table socketio.recovery_sessions in access exclusive mode`;
    closing = cluster.nodes.shift()!.close();
    assert.deepEqual(await gone, [uid]);
  });
  await Promise.all([closing, left]);
  await wanderer.comeTo(cluster.port(0));
  assert.ok(wanderer.client.recovered);
});
