/** The channels of `node:diagnostics_channel` about messages; those about faults are in `tests/faults/metrics.test.ts`. */
import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { channel, subscribe, unsubscribe } from "node:diagnostics_channel";
import type { PgAdapterDiagnostics } from "../../mod.ts";
import { type Cluster, createCluster } from "../support/cluster.ts";
import { connectSql } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";
import { until } from "../support/wait.ts";

/** Calls back for each message of a channel that is about a cluster. */
function hear<C extends keyof PgAdapterDiagnostics>(
  t: Scope,
  cluster: Cluster,
  channel: C,
  callback: (message: PgAdapterDiagnostics[C]) => void,
): void {
  const uids = cluster.servers.map(({ adapter }) => adapter.stats().uid);
  const listener = (message: unknown) => {
    const told = message as PgAdapterDiagnostics[C];
    if (uids.includes(told.uid)) callback(told);
  };
  subscribe(channel, listener);
  t.after(() => unsubscribe(channel, listener));
}

test("what the application sends is told by who sends it and by who gets it, answers apart", async (t) => {
  const cluster = await createCluster(t, { size: 2, adapter: { subscriptionMode: "static" } });
  const [sender, receiver] = cluster.servers.map(({ adapter }) => adapter.stats().uid);
  const published: PgAdapterDiagnostics["socketio-pg:publish"][] = [];
  const received: PgAdapterDiagnostics["socketio-pg:receive"][] = [];
  hear(t, cluster, "socketio-pg:publish", (message) => published.push(message));
  hear(t, cluster, "socketio-pg:receive", (message) => received.push(message));
  const io = cluster.io(0);
  cluster.io(1).on("ask", (answer: (value: number) => void) => answer(1));
  io.to(["a", "b"]).except("c").emit("hello", "ä");
  io.in("a").socketsJoin("d");
  io.socketsLeave("d");
  io.serverSideEmit("tell", 1);
  await io.serverSideEmitWithAck("ask");
  await io.fetchSockets();
  const messages = [
    { verb: "emit", rooms: ["a", "b"], except: ["c"], bytes: '2["hello","ä"]'.length + 1 },
    { verb: "socketsJoin", rooms: ["a"], except: [], bytes: 0 },
    { verb: "socketsLeave", rooms: [], except: [], bytes: 0 },
    { verb: "serverSideEmit", rooms: [], except: [], bytes: '["tell",1]'.length },
    { verb: "serverSideEmit", rooms: [], except: [], bytes: '["ask"]'.length },
    { verb: "fetchSockets", rooms: [], except: [], bytes: 0 },
  ];
  await until("all is received", () => received.length >= messages.length);
  const on = `${cluster.prefix}:/`;
  assert.deepEqual(
    published.map(({ requestId: _, ...rest }) => rest),
    messages.map((message) => ({ ...message, uid: sender, nsp: "/", channel: on })),
  );
  assert.deepEqual(
    received.map(({ requestId: _, ...rest }) => rest),
    messages.map((message) => ({ ...message, uid: receiver, nsp: "/", from: sender })),
  );
  const ids = published.map(({ requestId }) => requestId);
  assert.deepEqual(received.map(({ requestId }) => requestId), ids);
  assert.deepEqual(ids.map((id) => typeof id), [
    ...Array.from({ length: 4 }, () => "undefined"),
    "string",
    "string",
  ]);
  io.disconnectSockets();
  await until("the last one is received", () => received.length > messages.length);
  assert.equal(received.at(-1)?.verb, "disconnectSockets");
});

test("a plain message has no sender", async (t) => {
  const cluster = await createCluster(t, { size: 1 });
  const received: PgAdapterDiagnostics["socketio-pg:receive"][] = [];
  hear(t, cluster, "socketio-pg:receive", (message) => received.push(message));
  const sql = connectSql(t, cluster.uri);
  await sql.notify(`${cluster.prefix}:/`, '{"emit":["hello"],"to":["a"]}');
  await until("it is received", () => received.length > 0);
  const { from, verb, rooms } = received[0]!;
  assert.deepEqual({ from, verb, rooms }, { from: undefined, verb: "emit", rooms: ["a"] });
});

test("who sends something is told of in the async context of the sender", async (t) => {
  const cluster = await createCluster(t, { size: 2 });
  const storage = new AsyncLocalStorage<string>();
  const contexts: (string | undefined)[] = [];
  hear(t, cluster, "socketio-pg:publish", () => contexts.push(storage.getStore()));
  await storage.run("outer", async () => {
    cluster.io(0).emit("one");
    await new Promise((resolve) => setImmediate(resolve));
    storage.run("inner", () => cluster.io(0).emit("two"));
  });
  cluster.io(0).emit("three");
  assert.deepEqual(contexts, ["outer", "inner", undefined]);
  await cluster.settled();
});

test("what a subscriber does to a message is no concern of those who get it", async (t) => {
  const cluster = await createCluster(t, { size: 2 });
  await cluster.socket(0).join("room");
  for (const channel of ["socketio-pg:publish", "socketio-pg:receive"] as const) {
    hear(t, cluster, channel, ({ rooms, except }) => {
      rooms.splice(0, rooms.length, "another room");
      except.push("room");
    });
  }
  for (const i of [0, 1]) cluster.io(i).to("room").emit("hello");
  assert.deepEqual(await cluster.receivers("hello"), [0, 0]);
});

test("a channel is not forgotten that only its subscriber knows", async () => {
  const heard: unknown[] = [];
  const listener = (message: unknown) => void heard.push(message);
  subscribe("socketio-pg:gap", listener);
  // Bun forgets a channel that nobody holds; a moment later it does so for good.
  (globalThis as { Bun?: { gc(isSync: boolean): void } }).Bun?.gc(true);
  await new Promise((resolve) => setTimeout(resolve, 0));
  channel("socketio-pg:gap").publish("still there");
  unsubscribe("socketio-pg:gap", listener);
  assert.deepEqual(heard, ["still there"]);
});

test("each heartbeat that comes back is told", async (t) => {
  const cluster = await createCluster(t, { size: 1, adapter: { heartbeatInterval: 100 } });
  const echoes: number[] = [];
  hear(t, cluster, "socketio-pg:echo", ({ milliseconds }) => echoes.push(milliseconds));
  const { count, sum } = cluster.adapter(0).stats().latency;
  await until("it beats", () => echoes.length >= 3);
  const { latency } = cluster.adapter(0).stats();
  assert.equal(latency.count - count, echoes.length);
  assert.ok(Math.abs(latency.sum - sum - echoes.reduce((a, b) => a + b)) < 1e-6);
  assert.equal(latency.last, echoes.at(-1));
});
