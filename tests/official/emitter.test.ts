import assert from "node:assert/strict";
import { Emitter as TheirEmitter } from "@socket.io/postgres-emitter";
import postgres from "postgres";
import { Emitter, fromPg, type PgAdapterError } from "../../src/emitter.ts";
import type { Cluster } from "../support/cluster.ts";
import { createMixed, createPool, endPool, tableOf } from "../support/official.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

/** The options of an emitter for a cluster. */
function optionsOf({ prefix }: Cluster) {
  return { prefix, wire: "official", channelPrefix: prefix, tableName: tableOf(prefix) } as const;
}

test("an emitter with both wires reaches each kind, once", async (t) => {
  const cluster = await createMixed(t, ["theirs", "both", "ours"], { wait: false });
  const emitter = new Emitter(cluster.uri, optionsOf(cluster));
  t.after(() => emitter.close());
  const counts = async () =>
    await Promise.all([0, 1, 2].map((i) => cluster.io(i).of("/").adapter.serverCount()));
  await until("they know those whom they hear", async () => `${await counts()}` === "2,3,2");
  await emitter.socketsJoin("all");
  await emitter.in(cluster.client(0).id!).socketsLeave("all");
  await until(
    "they are in the room",
    () => `${[0, 1, 2].map((i) => cluster.socket(i).rooms.has("all"))}` === "false,true,true",
  );
  const heard: unknown[] = [];
  for (const i of [0, 1, 2]) {
    cluster.io(i).on(
      "server" as "connection",
      (...args: unknown[]) => void heard.push([i, ...args]),
    );
  }
  const bytes = Buffer.alloc(20_000, 3);
  await emitter.emit("small", 1, { two: ["ü"] });
  await emitter.to("all").emit("room");
  await emitter.except("all").emit("others");
  await emitter.volatile.compress(false).emit("flags");
  await emitter.emit("binary", { bytes });
  await emitter.emit("large", "x".repeat(50_000));
  await emitter.emit("twice");
  await emitter.emit("twice");
  await emitter.serverSideEmit("server", "hello");
  await emitter.emit("last");
  for (const i of [0, 1, 2]) {
    const inbox = cluster.inbox(i);
    await inbox.count("last", 1);
    await inbox.count("large", 1);
    const [[binary]] = await inbox.count("binary", 1) as [[{ bytes: Uint8Array }]];
    assert.ok(bytes.equals(Buffer.from(binary.bytes)));
    await inbox.count("twice", 2);
    assert.deepEqual(inbox.of("small"), [[1, { two: ["ü"] }]]);
    assert.equal(inbox.of("room").length, i === 0 ? 0 : 1);
    assert.equal(inbox.of("others").length, i === 0 ? 1 : 0);
    const { events } = inbox;
    for (const event of ["small", "binary", "large", "last"]) {
      assert.equal(events.filter((each) => each === event).length, 1, event);
    }
  }
  await until("all servers heard it", () => heard.length >= 3);
  assert.deepEqual(heard.sort(), [[0, "hello"], [1, "hello"], [2, "hello"]]);
  await emitter.in("all").disconnectSockets();
  await until("two are gone", () => !cluster.client(1).connected && !cluster.client(2).connected);
  assert.ok(cluster.client(0).connected);
  // Nobody takes it for a server.
  assert.deepEqual(await counts(), [2, 3, 2]);
});

test("an emitter in a namespace, and a batch of many", async (t) => {
  const cluster = await createMixed(t, ["theirs", "both"], { namespace: "/chat" });
  const emitter = new Emitter(cluster.uri, optionsOf(cluster));
  t.after(() => emitter.close());
  await emitter.batch((batch) => {
    for (let i = 0; i < 300; i++) {
      batch.of("/chat").emit("n", i, i % 50 === 0 ? Buffer.alloc(9_000, i) : "text");
    }
    batch.emit("elsewhere");
  });
  for (const i of [0, 1]) {
    const received = await cluster.inbox(i).count("n", 300);
    assert.deepEqual(
      received.map(([n]) => n as number).sort((a, b) => a - b),
      Array.from({ length: 300 }, (_, n) => n),
    );
  }
  assert.deepEqual(cluster.inbox(1).events, Array(300).fill("n"));
});

test("in a transaction: on both wires if it commits, on neither if it does not", async (t) => {
  const cluster = await createMixed(t, ["theirs", "both"]);
  const sql = postgres(cluster.uri, { max: 2, onnotice: () => {} });
  t.after(() => sql.end({ timeout: 5 }));
  const rollback = sql.begin(async (tx) => {
    const emitter = new Emitter(tx, optionsOf(cluster));
    await emitter.emit("never", Buffer.from([1]));
    await emitter.emit("never");
    throw new Error("no");
  });
  await assert.rejects(rollback, /no/);
  await sql.begin(async (tx) => {
    // Equal messages of two emitters in one transaction are two.
    await new Emitter(tx, optionsOf(cluster)).emit("saved", "x");
    await new Emitter(tx, optionsOf(cluster)).emit("saved", "x");
    await new Emitter(tx, optionsOf(cluster)).emit("saved binary", Buffer.from([1]));
  });
  for (const i of [0, 1]) {
    await cluster.inbox(i).count("saved", 2);
    await cluster.inbox(i).count("saved binary", 1);
    assert.deepEqual(cluster.inbox(i).of("never"), []);
  }
});

test("over node-postgres, and over a transport that cannot fill the table", async (t) => {
  const cluster = await createMixed(t, ["theirs", "both"]);
  const pool = createPool(cluster.uri);
  t.after(() => endPool(pool));
  const emitter = new Emitter(fromPg(pool), optionsOf(cluster));
  await emitter.emit("binary", Buffer.from([1]));
  const limited = new Emitter(
    { send: (items) => fromPg(pool).send(items) },
    optionsOf(cluster),
  );
  await limited.emit("small");
  await assert.rejects(limited.emit("binary", Buffer.from([2])), (error: PgAdapterError) => {
    assert.equal(error.code, "ATTACHMENTS_UNAVAILABLE");
    return true;
  });
  for (const i of [0, 1]) {
    await cluster.inbox(i).count("binary", 1);
    await cluster.inbox(i).count("small", 1);
  }
});

test("an emitter makes the table where it is not", async (t) => {
  const cluster = await createMixed(t, ["both", "both"]);
  const emitter = new Emitter(cluster.uri, optionsOf(cluster));
  t.after(() => emitter.close());
  await emitter.emit("binary", Buffer.from([1]));
  await cluster.inbox(0).count("binary", 1);
  await cluster.settled();
  assert.equal(cluster.inbox(0).of("binary").length, 1);
});

test("what an emitter of theirs sends reaches servers with both wires", async (t) => {
  const cluster = await createMixed(t, ["both", "both"]);
  const pool = createPool(cluster.uri);
  t.after(() => endPool(pool));
  const emitter = new TheirEmitter(pool, "/", {
    channelPrefix: cluster.prefix,
    tableName: tableOf(cluster.prefix),
  });
  await pool.query(`create table if not exists ${tableOf(cluster.prefix)} (id bigserial unique,
    created_at timestamptz default now(), payload bytea)`);
  emitter.in(cluster.client(1).id!).socketsJoin("room");
  await until("it is in the room", () => cluster.socket(1).rooms.has("room"));
  const heard: unknown[] = [];
  cluster.io(0).on("server" as "connection", (...args: unknown[]) => void heard.push(args));
  emitter.emit("small", 1);
  emitter.to("room").emit("room", "x".repeat(20_000));
  emitter.except("room").emit("binary", Buffer.from([1, 2]));
  emitter.serverSideEmit("server", 7);
  for (const i of [0, 1]) await cluster.inbox(i).count("small", 1);
  await cluster.inbox(1).count("room", 1);
  await cluster.inbox(0).count("binary", 1);
  await until("a server heard it", () => heard.length > 0);
  emitter.in("room").disconnectSockets();
  await until("it is gone", () => !cluster.client(1).connected);
  assert.deepEqual(heard, [[7]]);
  assert.deepEqual(cluster.inbox(0).events.sort(), ["binary", "small"]);
});
