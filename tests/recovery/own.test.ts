/** What a server sends comes to its own clients through PostgreSQL, as if it had come to them at once. */
import assert from "node:assert/strict";
import type { PgAdapterError, PgAdapterOptions } from "../../mod.ts";
import { FaultProxy } from "../support/fault_proxy.ts";
import { createRecoveryCluster, type RecoveryCluster, type Wanderer } from "../support/recovery.ts";
import { connectSql, createDatabase } from "../support/sql.ts";
import { databaseUri } from "../support/database.ts";
import { type Scope, test } from "../support/test.ts";
import { next, until } from "../support/wait.ts";

/** The socket of a client at a server. */
function socketOf(cluster: RecoveryCluster, server: number, { client }: Wanderer) {
  const socket = cluster.io(server).sockets.sockets.get(client.id!);
  assert.ok(socket);
  return socket;
}

/** A client at the first of two servers, which reaches its database through a proxy. */
async function behindProxy(t: Scope, adapter: PgAdapterOptions = {}) {
  const { uri } = await createDatabase(t, await databaseUri());
  const proxy = await FaultProxy.start(uri);
  // Closed after the servers, which it must not hinder from saying goodbye.
  t.after(() => proxy.close());
  const cluster = await createRecoveryCluster(t, { uri: proxy.uri, size: 1, adapter });
  await cluster.start(uri);
  const wanderer = await cluster.client(0);
  const isReady = (server: number) =>
    until(
      `server ${server} works`,
      () => cluster.nodes[server]!.adapter.stats().phase === "ready",
    );
  return {
    cluster,
    wanderer,
    async goAway() {
      await proxy.refuse();
      proxy.cut("rst");
      await until(
        "it is noticed",
        () => cluster.nodes[0]!.adapter.stats().phase === "disconnected",
      );
    },
    async comeBack() {
      await proxy.accept();
      await isReady(0);
      await isReady(1);
      const { adapter } = cluster.nodes[0]!;
      await until("all is sent", () => adapter.stats().queued.messages === 0);
      for (const error of cluster.errors.splice(0)) {
        assert.match((error as PgAdapterError).code, /^(CONNECT_FAILED|BUFFER_FULL)$/);
      }
    },
  };
}

test("who leaves a room after the emit gets it, and who joins one after it does not", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 1 });
  const wanderer = await cluster.client(0);
  const socket = socketOf(cluster, 0, wanderer);
  const io = cluster.io(0);
  for (let round = 0; round < 20; round++) {
    socket.join("left");
    io.to("left").emit("for members", round);
    socket.leave("left");
    io.to("left").emit("for nobody", round);
    io.to("joined").emit("for nobody", round);
    socket.join("joined");
    io.except("muted").emit("for all", round);
    socket.join("muted");
    io.except("muted").emit("for nobody", round);
    io.socketsLeave("muted");
    socket.leave("joined");
  }
  io.emit("last");
  await wanderer.has("last");
  const rounds = Array.from({ length: 20 }, (_, round) => [round]);
  assert.deepEqual(wanderer.of("for members"), rounds);
  assert.deepEqual(wanderer.of("for all"), rounds);
  assert.deepEqual(wanderer.of("for nobody"), []);
});

test("who is disconnected by the application gets first what was emitted to it", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 2 });
  const ways: ((socket: ReturnType<typeof socketOf>) => void)[] = [
    (socket) => socket.disconnect(),
    (socket) => socket.disconnect(true),
    (socket) => cluster.io(0).in(socket.id).disconnectSockets(),
    () => cluster.io(0).disconnectSockets(true),
  ];
  cluster.io(1).on("are you there", (answer: () => void) => answer());
  for (const [way, disconnect] of ways.entries()) {
    for (const isBack of [false, true]) {
      const wanderer = await cluster.client(isBack ? 1 : 0);
      if (isBack) {
        await wanderer.cut();
        await wanderer.comeTo(cluster.port(0));
        assert.ok(wanderer.client.recovered);
      }
      const socket = socketOf(cluster, 0, wanderer);
      const gone = next(wanderer.client, "disconnect");
      cluster.io(0).emit("to all", way);
      socket.emit("bye", way, "text");
      disconnect(socket);
      await gone;
      assert.deepEqual(wanderer.received, [["to all", way], ["bye", way, "text"]]);
      // What disconnects all must not reach the next client there.
      await cluster.io(0).serverSideEmitWithAck("are you there");
    }
  }
});

test("while the database is away clients get everything all the same, in order, and none of it twice", async (t) => {
  const { cluster, wanderer, goAway, comeBack } = await behindProxy(t);
  const [io, far] = [cluster.io(0), await cluster.client(1)];
  const second = io.of("/second");
  await goAway();
  for (let n = 0; n < 10; n++) io.emit("n", n, "text");
  second.emit("other namespace");
  await wanderer.has("n", 10);
  for (let n = 10; n < 20; n++) io.emit("n", n);
  // At once by now.
  io.local.emit("here");
  await wanderer.has("here", 1, 500);
  assert.deepEqual(wanderer.of("n").map(([n]) => n), Array.from({ length: 20 }, (_, n) => n));
  assert.equal(far.of("n").length, 0);
  await comeBack();
  await far.has("n", 20);
  // Nobody can say what it has received: it gets a new session.
  const { id } = wanderer.client;
  await wanderer.cut();
  await cluster.gone(0, id!);
  await wanderer.comeTo(cluster.port(1));
  assert.ok(!wanderer.client.recovered);
  assert.notEqual(wanderer.client.id, id);
  io.emit("n", 20);
  await wanderer.has("n", 21);
  await far.has("n", 21);
  for (const { received } of [wanderer, far]) {
    const numbers = received.filter(([event]) => event === "n").map(([, n]) => n);
    assert.deepEqual(numbers, Array.from({ length: 21 }, (_, n) => n));
  }
});

test("who was given something while the database was away can come back after the next packet", async (t) => {
  const { cluster, wanderer, goAway, comeBack } = await behindProxy(t);
  const io = cluster.io(0);
  await goAway();
  io.emit("early");
  await wanderer.has("early");
  await comeBack();
  io.emit("later");
  await wanderer.has("later");
  const { id } = wanderer.client;
  await wanderer.cut();
  await cluster.gone(0, id!);
  io.emit("missed");
  await wanderer.comeTo(cluster.port(1));
  await wanderer.has("missed");
  assert.ok(wanderer.client.recovered);
  assert.equal(wanderer.client.id, id);
  for (const event of ["early", "later", "missed"]) assert.equal(wanderer.of(event).length, 1);
});

test("who comes back to a server that has been away gets what it sent meanwhile, once", async (t) => {
  const { cluster, goAway, comeBack } = await behindProxy(t);
  const [io, wanderer, watcher] = [cluster.io(0), await cluster.client(1), await cluster.client(0)];
  await wanderer.cut();
  await cluster.gone(1, wanderer.client.id!);
  await goAway();
  for (let n = 0; n < 5; n++) io.emit("n", n, "x".repeat(20_000));
  await watcher.has("n", 5);
  const back = comeBack();
  await until("it is connected", () => cluster.nodes[0]!.adapter.stats().phase === "ready");
  await wanderer.comeTo(cluster.port(0));
  await back;
  assert.ok(wanderer.client.recovered);
  io.emit("n", 5);
  await wanderer.has("n", 6);
  assert.deepEqual(wanderer.of("n").map(([n]) => n), [0, 1, 2, 3, 4, 5]);
});

test("who comes back while a long backlog is sent waits until it is in the log", async (t) => {
  const { cluster, goAway, comeBack } = await behindProxy(t);
  const [io, wanderer, watcher] = [cluster.io(0), await cluster.client(1), await cluster.client(0)];
  await wanderer.cut();
  await cluster.gone(1, wanderer.client.id!);
  await goAway();
  for (let n = 0; n < 3_000; n++) io.emit("n", n, "x".repeat(2_000));
  await watcher.has("n", 3_000);
  const { adapter } = cluster.nodes[0]!;
  const comes = async () => {
    await until("it sends again", () => adapter.stats().phase === "ready");
    assert.ok(adapter.stats().queued.messages > 0);
    await wanderer.comeTo(cluster.port(0));
  };
  await Promise.all([comeBack(), comes()]);
  assert.ok(wanderer.client.recovered);
  io.emit("n", 3_000);
  await wanderer.has("n", 3_001);
  assert.deepEqual(wanderer.of("n").map(([n]) => n), Array.from({ length: 3_001 }, (_, n) => n));
});

test("what maxBuffer has no room for comes to the clients of its server", async (t) => {
  const { cluster, wanderer, goAway, comeBack } = await behindProxy(t, { maxBuffer: 10_000 });
  const [io, far] = [cluster.io(0), await cluster.client(1)];
  await goAway();
  for (let n = 0; n < 30; n++) io.emit("n", n, "x".repeat(1_000));
  await comeBack();
  io.emit("last");
  await Promise.all([wanderer, far].map((each) => each.has("last")));
  assert.deepEqual(wanderer.of("n").map(([n]) => n), Array.from({ length: 30 }, (_, n) => n));
  assert.ok(far.of("n").length > 5 && far.of("n").length < 10);
});

test("what is too large to send comes to the clients of its server, in its place", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 1, adapter: { maxPayload: 10_000 } });
  const wanderer = await cluster.client(0);
  for (const n of [0, 1, 2]) cluster.io(0).emit("n", n, "x".repeat(n === 1 ? 20_000 : 10));
  await wanderer.has("n", 3);
  assert.deepEqual(wanderer.of("n").map(([n]) => n), [0, 1, 2]);
  assert.deepEqual(
    cluster.errors.splice(0).map((error) => (error as PgAdapterError).code),
    ["PAYLOAD_TOO_LARGE"],
  );
});

for (const isFar of [false, true]) {
  const before = isFar ? " and that it has got elsewhere" : "";
  test(`who comes back to a server that hears nothing gets what it sends${before}, once`, async (t) => {
    const { uri } = await createDatabase(t, await databaseUri());
    const proxy = await FaultProxy.start(uri);
    t.after(() => proxy.close());
    const cluster = await createRecoveryCluster(t, {
      uri,
      size: 1,
      adapter: { listen: proxy.uri, publish: uri },
    });
    const { adapter } = cluster.nodes[0]!;
    await cluster.start(uri, { listen: uri });
    const io = cluster.io(0);
    const [wanderer, watcher] = [await cluster.client(isFar ? 1 : 0), await cluster.client(0)];
    const leave = async () => {
      await wanderer.cut();
      await cluster.gone(isFar ? 1 : 0, wanderer.client.id!);
    };
    if (!isFar) await leave();
    await proxy.refuse();
    proxy.cut("rst");
    await until("it is noticed", () => adapter.stats().phase === "disconnected");
    for (let n = 0; n < 5; n++) io.emit("n", n);
    if (isFar) {
      await wanderer.has("n", 5);
      await leave();
    }
    await wanderer.comeTo(cluster.port(0));
    assert.ok(wanderer.client.recovered);
    await watcher.has("n", 5);
    for (let n = 5; n < 10; n++) io.emit("n", n);
    await proxy.accept();
    await until("it hears again", () => adapter.stats().phase === "ready");
    io.emit("last");
    for (const each of [wanderer, watcher]) {
      await each.has("last");
      assert.deepEqual(each.of("n").map(([n]) => n), Array.from({ length: 10 }, (_, n) => n));
    }
    for (const { code } of cluster.errors.splice(0)) assert.equal(code, "CONNECT_FAILED");
  });
}

for (const isLong of [false, true]) {
  const howLong = isLong ? ", even if the other connection is away for long" : "";
  test(`what a server sent while it heard nothing comes before what others sent after that${howLong}`, async (t) => {
    const { uri } = await createDatabase(t, await databaseUri());
    const [listening, publishing] = [await FaultProxy.start(uri), await FaultProxy.start(uri)];
    t.after(() => Promise.all([listening.close(), publishing.close()]));
    const cluster = await createRecoveryCluster(t, {
      uri,
      size: 1,
      adapter: { listen: listening.uri, publish: publishing.uri },
    });
    const [io, { adapter }] = [cluster.io(0), cluster.nodes[0]!];
    const wanderer = await cluster.client(0);
    await listening.refuse();
    listening.cut("rst");
    await until("it is noticed", () => adapter.stats().phase === "disconnected");
    for (let n = 0; n < 3; n++) io.emit("n", n);
    await until("all is in the log", () => adapter.stats().queued.messages === 0);
    // It hears others before it hears itself again.
    publishing.hold();
    await listening.accept();
    await until("it listens", () => adapter.stats().connections.listen.isUp);
    const { messages } = adapter.stats().received;
    const channel = `${cluster.prefix}:/`;
    await connectSql(t, uri)`select socketio.recovery_notify(
    ${channel}, ${JSON.stringify({ emit: ["n", 3] })}, ${channel}, 'test', null)`;
    await until("it hears that", () => adapter.stats().received.messages > messages);
    if (!isLong) publishing.pass();
    await wanderer.has("n", 4);
    publishing.pass();
    assert.deepEqual(wanderer.of("n").map(([n]) => n), [0, 1, 2, 3]);
    for (const { code } of cluster.errors.splice(0)) assert.equal(code, "CONNECT_FAILED");
  });
}
