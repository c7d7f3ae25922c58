import assert from "node:assert/strict";
import { type AddressInfo, createServer } from "node:net";
import { Server } from "socket.io";
import { pgAdapter } from "../../mod.ts";
import { createCluster, createNode, uniquePrefix } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { connectSql, createDatabase } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";
import { next, until, within } from "../support/wait.ts";

/** Closing must not take long, whatever the database does. */
const closes = (promise: Promise<unknown>) => within(5_000, "closing", promise);

/** How many sessions a database of its own has. */
async function ownDatabase(t: Scope) {
  const uri = await databaseUri();
  const sql = connectSql(t, uri);
  const own = await createDatabase(t, uri);
  const sessions = async () => {
    const [row] = await sql`
      select count(*)::int as count from pg_stat_activity where datname = ${own.name}`;
    return Number(row?.["count"]);
  };
  return { uri: own.uri, sessions };
}

test("what is emitted just before io.close() arrives", async (t) => {
  const cluster = await createCluster(t);
  const large = "x".repeat(1_000_000);
  for (let n = 0; n < 1_000; n++) cluster.io(0).emit("n", n);
  cluster.io(0).emit("large", large);
  cluster.io(0).emit("last", Buffer.from("bye"));
  await closes(cluster.closeServer(0));
  for (const i of [1, 2]) {
    await cluster.inbox(i).count("last", 1);
    assert.equal(cluster.inbox(i).of("n").length, 1_000);
    assert.ok(cluster.inbox(i).of("large")[0]?.[0] === large);
  }
});

test("io.close() and adapter.close(), in any order and number, are one", async (t) => {
  const { uri, sessions } = await ownDatabase(t);
  for (const first of ["io", "adapter", "both"]) {
    const cluster = await createCluster(t, { uri, size: 1 });
    const adapter = cluster.adapter(0);
    if (first === "both") await closes(Promise.all([cluster.io(0).close(), adapter.close()]));
    else if (first === "io") await closes(cluster.io(0).close());
    else await closes(adapter.close());
    assert.equal(adapter.stats().phase, "closed");
    await closes(adapter.close());
    await closes(adapter[Symbol.asyncDispose]());
    await closes(cluster.closeServer(0));
    await until("no session is left", async () => await sessions() === 0);
  }
});

test("close() of an adapter that was never used", async () => {
  const adapter = pgAdapter(await databaseUri(), { prefix: uniquePrefix() });
  await closes(adapter.close());
  await assert.rejects(adapter.ready(), { code: "CLOSED" });
});

test("close() during start, at many moments, leaves no session and no ghost", async (t) => {
  const { uri, sessions } = await ownDatabase(t);
  const prefix = uniquePrefix();
  const cluster = await createCluster(t, { uri, size: 1, prefix });
  for (const turns of [0, 1, 2, 3, 4, 5, 6, 8, 10, 14, 18, 24, 32, 64, 200]) {
    const adapter = pgAdapter(uri, { prefix });
    const errors: unknown[] = [];
    adapter.on("error", (error) => errors.push(error));
    const node = await createNode(adapter);
    node.io.of("/more");
    node.io.emit("early", turns);
    for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
    await closes(node.close());
    assert.deepEqual(errors, []);
  }
  await until("the others are gone", async () => {
    return await cluster.nsp(0).adapter.serverCount() === 1 && await sessions() === 2;
  });
});

test("close() before ready() rejects it, and takes no time", async (t) => {
  const adapter = pgAdapter(await databaseUri(), { prefix: uniquePrefix() });
  t.after(() => adapter.close());
  const ready = assert.rejects(adapter.ready(), { code: "CLOSED" });
  await closes(adapter.close());
  await ready;
});

test("close() while nobody answers at the address", async () => {
  const adapter = pgAdapter("postgresql://u@127.0.0.1:1/none", { prefix: uniquePrefix() });
  const failed = next<[Error & { code: string }]>(adapter, "error");
  const node = await createNode(adapter);
  assert.equal((await failed)[0].code, "CONNECT_FAILED");
  node.io.emit("nobody hears it");
  await closes(node.close());
  await closes(adapter.close());
});

test("close() while the server accepts and says nothing", async (t) => {
  const connections = new Set<{ destroy(): void }>();
  const silent = createServer((socket) => {
    connections.add(socket);
    socket.on("error", () => {});
  });
  silent.listen(0, "127.0.0.1");
  await next(silent, "listening");
  t.after(() => {
    for (const connection of connections) connection.destroy();
    silent.close();
  });
  const { port } = silent.address() as AddressInfo;
  const adapter = pgAdapter(`postgresql://u@127.0.0.1:${port}/none`, { prefix: uniquePrefix() });
  adapter.on("error", () => {});
  const node = await createNode(adapter);
  await until("it has connected", () => connections.size > 0);
  await closes(node.close());
});

test("emits and requests after close() do not throw, and reach local clients", async (t) => {
  const cluster = await createCluster(t, { size: 2 });
  const reported: string[] = [];
  cluster.adapter(0).on("error", (error) => reported.push(error.code));
  await closes(cluster.adapter(0).close());
  const io = cluster.io(0);
  io.emit("late", 1);
  io.to("room").emit("late", 2);
  io.serverSideEmit("late");
  io.socketsJoin("room");
  io.of("/new").emit("late", 3);
  await cluster.socket(0).join("another");
  await cluster.socket(0).leave("another");
  await cluster.inbox(0).count("late", 1);
  assert.equal((await io.local.fetchSockets()).length, 1);
  io.disconnectSockets(true);
  // The other server works on, and heard none of it.
  cluster.io(1).emit("alone");
  await cluster.inbox(1).count("alone", 1);
  assert.deepEqual(cluster.inbox(1).events, ["alone"]);
  await until("it knows that it is alone", async () => {
    return await cluster.nsp(1).adapter.serverCount() === 1;
  });
  assert.deepEqual([...new Set(reported)].filter((code) => code !== "CLOSED"), []);
  cluster.errors.splice(0);
});

test("requests that wait when the adapter closes fail at once", async (t) => {
  const cluster = await createCluster(t, { size: 2, adapter: { requestsTimeout: 60_000 } });
  const asked = next(cluster.io(1), "ask");
  const answer = assert.rejects(
    within(10_000, "the answer", cluster.io(0).serverSideEmitWithAck("ask")),
    { code: "CLOSED" },
  );
  await asked;
  await closes(cluster.adapter(0).close());
  await answer;
});

test("closing one namespace leaves the others at work", async (t) => {
  const cluster = await createCluster(t, { namespace: "/chat" });
  const { channels } = cluster.adapter(0).stats();
  await closes(Promise.resolve(cluster.io(0).of("/").adapter.close()));
  await until("its channel is gone", () => cluster.adapter(0).stats().channels === channels - 1);
  cluster.nsp(0).emit("hello");
  cluster.nsp(1).emit("hello");
  assert.deepEqual(await cluster.receivers("hello"), [0, 0, 1, 1, 2, 2]);
});

test("a server without an engine closes with its adapter", async (t) => {
  const { uri, sessions } = await ownDatabase(t);
  const adapter = pgAdapter(uri, { prefix: uniquePrefix() });
  const io = new Server({ adapter });
  await adapter.ready();
  assert.equal(await sessions(), 2);
  await closes(Promise.resolve(io.of("/").adapter.close()));
  await until("no session is left", async () => await sessions() === 0);
});
