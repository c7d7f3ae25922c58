import assert from "node:assert/strict";
import { Emitter } from "../../src/emitter.ts";
import { type Cluster, type ClusterOptions, createCluster } from "../support/cluster.ts";
import { connectSql } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";
import { next, within } from "../support/wait.ts";

/** A cluster and an emitter to it. */
async function withEmitter(t: Scope, options?: ClusterOptions) {
  const cluster = await createCluster(t, options);
  const emitter = new Emitter(cluster.uri, { prefix: cluster.prefix });
  t.after(() => emitter.close());
  return { cluster, emitter };
}

/** Waits until each client has everything that the emitter sent: its messages arrive in order. */
async function settled(cluster: Cluster, emitter: Emitter): Promise<void> {
  const last = `last ${crypto.randomUUID()}`;
  await emitter.of(cluster.namespace).emit(last);
  await Promise.all(cluster.clients.map(async ({ connected }, i) => {
    if (connected) await cluster.inbox(i).count(last, 1);
  }));
}

/** Which clients received an event of the emitter. */
async function receivers(cluster: Cluster, emitter: Emitter, event: string): Promise<number[]> {
  await settled(cluster, emitter);
  return [...cluster.clients.keys()].flatMap((i) => cluster.inbox(i).of(event).map(() => i));
}

test("emit() reaches every client once, with its arguments", async (t) => {
  const { cluster, emitter } = await withEmitter(t, { clients: 2 });
  const args = [1, null, "ü🎉\0", { a: [{ b: 2 }] }, new Date(0)];
  await emitter.emit("hello", ...args);
  await emitter.emit("none");
  assert.deepEqual(await receivers(cluster, emitter, "hello"), [0, 1, 2, 3, 4, 5]);
  assert.deepEqual(await receivers(cluster, emitter, "none"), [0, 1, 2, 3, 4, 5]);
  assert.deepEqual(cluster.inbox(5).of("hello"), [[...args.slice(0, 4), new Date(0).toJSON()]]);
});

test("to(), in() and except() choose the clients", async (t) => {
  const { cluster, emitter } = await withEmitter(t, { clients: 2 });
  for (const i of [0, 2, 3]) await cluster.socket(i).join("a");
  for (const i of [3, 5]) await cluster.socket(i).join("b");
  emitter.to("a").emit("a");
  emitter.in("a").to("b").emit("a and b");
  emitter.to(["a", "b"]).except("b").emit("a without b");
  emitter.except(["a", "b"]).emit("neither");
  emitter.to(cluster.socket(4).id).emit("one");
  emitter.to("nobody").emit("nobody");
  assert.deepEqual(await receivers(cluster, emitter, "a"), [0, 2, 3]);
  assert.deepEqual(await receivers(cluster, emitter, "a and b"), [0, 2, 3, 5]);
  assert.deepEqual(await receivers(cluster, emitter, "a without b"), [0, 2]);
  assert.deepEqual(await receivers(cluster, emitter, "neither"), [1, 4]);
  assert.deepEqual(await receivers(cluster, emitter, "one"), [4]);
  assert.deepEqual(await receivers(cluster, emitter, "nobody"), []);
});

test("operators can be kept and used again", async (t) => {
  const { cluster, emitter } = await withEmitter(t);
  await cluster.socket(1).join("a");
  await cluster.socket(2).join("b");
  const toA = emitter.to("a");
  toA.to("b");
  toA.except("a");
  await toA.emit("kept", 1);
  await toA.emit("kept", 2);
  assert.deepEqual(await receivers(cluster, emitter, "kept"), [1, 1]);
});

test("of() chooses the namespace, with or without a slash", async (t) => {
  const { cluster, emitter } = await withEmitter(t, { namespace: "/chat" });
  await cluster.socket(2).join("news");
  emitter.of("/chat").emit("chat");
  emitter.of("chat").to("news").emit("chat news");
  emitter.emit("main");
  emitter.of("/other").emit("other");
  assert.deepEqual(await receivers(cluster, emitter, "chat"), [0, 1, 2]);
  assert.deepEqual(await receivers(cluster, emitter, "chat news"), [2]);
  for (const event of ["main", "other"]) {
    assert.deepEqual(await receivers(cluster, emitter, event), []);
  }
});

test("binary, 1 MB and 16 MB arrive unchanged and in order", async (t) => {
  const { cluster, emitter } = await withEmitter(t, { size: 2 });
  const large = Buffer.alloc(1_000_000, "0123456789");
  const values = ["small", large, { deep: [large.subarray(0, 10)] }, "漢".repeat(333_333)];
  for (const value of values) emitter.emit("value", value);
  await emitter.emit("value", "x".repeat(16_000_000));
  await settled(cluster, emitter);
  for (const i of [0, 1]) {
    const received = cluster.inbox(i).of("value").flat() as unknown[];
    assert.equal(received.length, 5);
    assert.equal(received[0], "small");
    assert.ok(large.equals(received[1] as Uint8Array));
    const { deep: [ten] } = received[2] as { deep: [Uint8Array] };
    assert.ok(large.subarray(0, 10).equals(ten));
    assert.ok(received[3] === values[3]);
    assert.equal((received[4] as string).length, 16_000_000);
  }
}, { deadline: 60_000 });

test("a burst of mixed sizes arrives complete and in order, equal ones included", async (t) => {
  const { cluster, emitter } = await withEmitter(t);
  const sent: Promise<void>[] = [];
  for (let n = 0; n < 3_000; n++) {
    sent.push(emitter.emit("n", n, "x".repeat(n % 50 === 0 ? 20_000 : n % 30)));
    sent.push(emitter.emit("same"));
  }
  await Promise.all(sent);
  await settled(cluster, emitter);
  for (const i of [0, 1, 2]) {
    const numbers = cluster.inbox(i).of("n").map(([n]) => n);
    assert.deepEqual(numbers, Array.from({ length: 3_000 }, (_, n) => n));
    assert.equal(cluster.inbox(i).of("same").length, 3_000);
  }
});

test("volatile and compress reach the engine", async (t) => {
  const { cluster, emitter } = await withEmitter(t, { size: 1 });
  const client = cluster.socket(0).client as unknown as {
    writeToEngine(packets: unknown, options: { volatile?: boolean; compress?: boolean }): void;
  };
  const { writeToEngine } = client;
  const flags: unknown[] = [];
  client.writeToEngine = function (packets, options) {
    if (String(packets).includes("flags")) flags.push([options.volatile, options.compress]);
    writeToEngine.call(this, packets, options);
  };
  await emitter.volatile.emit("flags");
  await emitter.compress(false).emit("flags");
  await emitter.volatile.compress(true).to(cluster.socket(0).id).emit("flags");
  await settled(cluster, emitter);
  assert.deepEqual(flags, [[true, undefined], [undefined, false], [true, true]]);
});

test("socketsJoin(), socketsLeave() and disconnectSockets()", async (t) => {
  const { cluster, emitter } = await withEmitter(t, { clients: 2 });
  const members = async (room: string) => {
    await settled(cluster, emitter);
    return [...cluster.clients.keys()].filter((i) => cluster.socket(i).rooms.has(room));
  };
  await emitter.socketsJoin("all");
  await emitter.in(cluster.socket(1).id).socketsJoin(["a", "b"]);
  assert.deepEqual(await members("all"), [0, 1, 2, 3, 4, 5]);
  assert.deepEqual(await members("b"), [1]);
  await emitter.except("a").socketsLeave("all");
  await emitter.in("a").socketsLeave(["b", "unknown"]);
  assert.deepEqual(await members("all"), [1]);
  assert.deepEqual(await members("b"), []);
  const gone = next(cluster.client(1), "disconnect");
  await emitter.in("a").disconnectSockets();
  assert.equal((await gone)[0], "io server disconnect");
  const rest = [0, 2, 3, 4, 5].map((i) => next(cluster.client(i), "disconnect"));
  await emitter.disconnectSockets(true);
  await Promise.all(rest);
});

test("serverSideEmit() reaches every server", async (t) => {
  const { cluster, emitter } = await withEmitter(t, { namespace: "/chat" });
  const seen: unknown[] = [];
  for (const i of [0, 1, 2]) {
    cluster.nsp(i).on("ev", (n: number, bytes: Uint8Array) => seen.push([i, n, bytes.length]));
    cluster.io(i).on("ev", () => seen.push("wrong"));
  }
  await emitter.of("/chat").serverSideEmit("ev", 7, Buffer.alloc(9_000));
  await settled(cluster, emitter);
  assert.deepEqual(seen.sort(), [0, 1, 2].map((i) => [i, 7, 9_000]));
});

test("an emitter is no server of the cluster, and emits to rooms in dynamic mode", async (t) => {
  const { cluster, emitter } = await withEmitter(t, { adapter: { subscriptionMode: "dynamic" } });
  await cluster.socket(1).join("news");
  await emitter.to("news").emit("news");
  assert.deepEqual(await receivers(cluster, emitter, "news"), [1]);
  assert.equal(await cluster.io(0).of("/").adapter.serverCount(), 3);
  assert.equal((await cluster.io(0).fetchSockets()).length, 3);
});

test("servers with another parser understand an emitter", async (t) => {
  const { default: parser } = await import("socket.io-msgpack-parser");
  const { cluster, emitter } = await withEmitter(t, { server: { parser }, client: { parser } });
  await emitter.emit("hello", { a: [1] }, Buffer.from("b"));
  assert.deepEqual(await receivers(cluster, emitter, "hello"), [0, 1, 2]);
  const [[data, bytes]] = cluster.inbox(2).of("hello") as [[unknown, Uint8Array]];
  assert.deepEqual(data, { a: [1] });
  assert.equal(Buffer.from(bytes).toString(), "b");
});

test("an instance of postgres.js is used, and left open", async (t) => {
  const cluster = await createCluster(t);
  const sql = connectSql(t, cluster.uri);
  const emitter = new Emitter(sql, { prefix: cluster.prefix });
  await emitter.emit("by instance", 1);
  assert.deepEqual(await receivers(cluster, emitter, "by instance"), [0, 1, 2]);
  await emitter.close();
  assert.deepEqual([...await sql`select 1 as one`], [{ one: 1 }]);
});

test("close() sends what was emitted before, twice is once, and after it nothing is taken", async (t) => {
  const cluster = await createCluster(t);
  const emitter = new Emitter(new URL(cluster.uri), { prefix: cluster.prefix });
  for (let n = 0; n < 100; n++) emitter.emit("n", n, "x".repeat(n * 100));
  await within(10_000, "closing", Promise.all([emitter.close(), emitter.close()]));
  await emitter.close();
  for (const i of [0, 1, 2]) await cluster.inbox(i).count("n", 100);
  await assert.rejects(emitter.emit("late"), { code: "CLOSED" });
  emitter.emit("late and unheard");
  assert.deepEqual(await cluster.receivers("late"), []);
});

test("bad input is refused with an error that names it, and takes nothing along", async (t) => {
  const { cluster, emitter } = await withEmitter(t, { size: 1 });
  const cycle: { self?: unknown } = {};
  cycle.self = cycle;
  for (const value of [cycle, 1n, { deep: [2n] }]) {
    await assert.rejects(emitter.emit("odd", value), { code: "NOT_ENCODABLE", message: /"odd"/ });
  }
  await assert.rejects(emitter.emit("connect"), { message: /"connect"/ });
  await assert.rejects(emitter.serverSideEmit("connection"), { message: /"connection"/ });
  emitter.emit("unheard", 1n);

  const small = new Emitter(cluster.uri, { prefix: cluster.prefix, maxPayload: 1_000 });
  t.after(() => small.close());
  const code = "PAYLOAD_TOO_LARGE";
  await assert.rejects(small.emit("large", "x".repeat(1_001)), { code, message: /1000/ });
  await assert.rejects(small.emit("large", "🎉".repeat(300)), { code });
  await assert.rejects(small.serverSideEmit("large", "x".repeat(1_001)), { code });
  await small.emit("next");
  await emitter.emit("next");
  assert.deepEqual(await receivers(cluster, emitter, "next"), [0, 0]);

  assert.throws(() => new Emitter("mysql://u:secret@h/db"), (error: Error & { code?: string }) => {
    assert.equal(error.code, "INVALID_URI");
    assert.doesNotMatch(error.message, /secret/);
    return true;
  });
  assert.throws(() => new Emitter(cluster.uri, { prefix: "" }), { code: "INVALID_OPTION" });
  const nowhere = new Emitter("postgresql://u:secret@127.0.0.1:1/db", { prefix: cluster.prefix });
  t.after(() => nowhere.close());
  await assert.rejects(nowhere.emit("lost"), { code: "CONNECT_FAILED", message: /127.0.0.1:1,/ });
});
