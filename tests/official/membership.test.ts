import assert from "node:assert/strict";
import parser from "socket.io-msgpack-parser";
import { pgAdapter, type PgAdapterError } from "../../mod.ts";
import { createNode, knowEachOther } from "../support/cluster.ts";
import { adapterOf, createMixed } from "../support/official.ts";
import { connectSql } from "../support/sql.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

/** What somebody who is like a server of theirs says of itself. */
function presence(type: number, uid: string): string {
  return JSON.stringify({ uid, type, nsp: "/" });
}

test("servers that leave are not waited for, of either kind", async (t) => {
  // They say that they leave: nobody has to find out.
  const cluster = await createMixed(t, ["theirs", "both", "theirs", "both"], {
    adapter: { heartbeatTimeout: 60_000 },
  });
  assert.equal(cluster.adapter(1).stats().official?.servers, 2);
  await cluster.closeServer(2);
  await knowEachOther([0, 1, 3].map((i) => cluster.servers[i]!));
  assert.equal((await cluster.io(1).fetchSockets()).length, 3);
  await cluster.closeServer(3);
  await knowEachOther([0, 1].map((i) => cluster.servers[i]!));
  assert.equal((await cluster.io(0).fetchSockets()).length, 2);
  assert.equal((await cluster.io(1).fetchSockets()).length, 2);
});

test("a server of theirs that is silent is gone after a while, and fails no request", async (t) => {
  const cluster = await createMixed(t, ["both", "both"]);
  const sql = connectSql(t, cluster.uri);
  const count = () => cluster.io(0).of("/").adapter.serverCount();
  await sql`select pg_notify(${`${cluster.prefix}#/`}, ${presence(1, "silent")})`;
  await until("it is counted", async () => await count() === 3);
  // Its answer never comes; what is asked is complete when it counts as gone.
  assert.equal((await cluster.io(0).fetchSockets()).length, 2);
  assert.equal(await count(), 2);
});

test("a server of theirs that does not answer in time is an error", async (t) => {
  const cluster = await createMixed(t, ["both"], {
    adapter: { requestsTimeout: 500, heartbeatTimeout: 10_000 },
  });
  const sql = connectSql(t, cluster.uri);
  await sql`select pg_notify(${`${cluster.prefix}#/`}, ${presence(2, "mute")})`;
  await until(
    "it is counted",
    async () => await cluster.io(0).of("/").adapter.serverCount() === 2,
  );
  await assert.rejects(cluster.io(0).fetchSockets(), (error: PgAdapterError) => {
    assert.equal(error.code, "REQUEST_TIMEOUT");
    assert.match(error.message, /official:mute/);
    return true;
  });
  await sql`select pg_notify(${`${cluster.prefix}#/`}, ${presence(13, "mute")})`;
  await until(
    "it has left",
    async () => await cluster.io(0).of("/").adapter.serverCount() === 1,
  );
});

test("ready() is known to theirs, and knows them", async (t) => {
  const cluster = await createMixed(t, ["theirs", "theirs"]);
  const adapter = adapterOf("both", cluster.uri, cluster.prefix);
  const node = await createNode(adapter);
  t.after(() => node.close());
  await adapter.ready();
  assert.equal(adapter.stats().official?.servers, 2);
  assert.equal((await node.io.fetchSockets()).length, 2);
  const answers = await Promise.all([0, 1].map((i) => cluster.io(i).fetchSockets()));
  for (const sockets of answers) assert.equal(sockets.length, 2);
});

test("ready() settles without any server, too", async (t) => {
  const cluster = await createMixed(t, ["theirs"]);
  const adapter = adapterOf("both", cluster.uri, cluster.prefix);
  t.after(() => adapter.close());
  await adapter.ready();
});

test("a database that is away is told, ends nothing, and closing does not wait for it", async () => {
  const adapter = pgAdapter("postgresql://u@127.0.0.1:1/db", { wire: "official" });
  const codes = new Set<string>();
  adapter.on("error", ({ code }) => void codes.add(code));
  const node = await createNode(adapter);
  // Nobody awaits it.
  void adapter.ready();
  await assert.rejects(adapter.ready(), (error: PgAdapterError) => error.code === "CONNECT_FAILED");
  await node.close();
  assert.deepEqual([...codes], ["CONNECT_FAILED"]);
});

test("a lost connection of the other wire is made again, and what waited is sent", async (t) => {
  const cluster = await createMixed(t, ["both", "theirs", "both"]);
  const sql = connectSql(t, cluster.uri);
  const { uid } = cluster.adapter(0).stats();
  const terminated = await sql`select pg_terminate_backend(pid) as done from pg_stat_activity
    where application_name = ${`socketio-pg:official:${uid}`}`;
  assert.equal(terminated.length, 1);
  await until("it is told", () => cluster.errors.length > 0);
  const codes = cluster.errors.splice(0).map((error) => (error as PgAdapterError).code);
  assert.deepEqual(codes, ["CONNECTION_LOST"]);
  cluster.io(0).emit("meanwhile", Buffer.from("kept"));
  await cluster.inbox(1).count("meanwhile", 1);
  await cluster.inbox(2).count("meanwhile", 1);
  await until("it hears theirs again", () => {
    cluster.io(1).emit("again");
    return cluster.inbox(0).of("again").length > 0;
  });
  await knowEachOther(cluster.servers);
  assert.equal((await cluster.io(0).fetchSockets()).length, 3);
  assert.equal((await cluster.io(1).fetchSockets()).length, 3);
});

test("with the other wire it has one more connection, and none is left", async (t) => {
  const cluster = await createMixed(t, ["both"]);
  const sql = connectSql(t, cluster.uri);
  const { uid } = cluster.adapter(0).stats();
  const sessions = async () =>
    (await sql`select application_name from pg_stat_activity
      where application_name like ${`socketio-pg:%:${uid}`}`).length;
  assert.equal(await sessions(), 3);
  cluster.io(0).of("/other");
  await cluster.closeServer(0);
  await until("all are closed", async () => await sessions() === 0);
});

test("a namespace whose channel is too long for theirs is told, and works among ours", async (t) => {
  const namespace = `/${"n".repeat(70)}`;
  const told: Error[] = [];
  const cluster = await createMixed(t, [], {
    size: 2,
    namespace,
    make: (_server, uri, prefix) =>
      adapterOf("both", uri, prefix).on("error", (error) => told.push(error)),
  });
  assert.equal(told.length, 2);
  for (const error of told) {
    assert.equal((error as PgAdapterError).code, "LISTEN_FAILED");
    assert.ok(error.message.includes(namespace));
  }
  cluster.nsp(0).emit("hello");
  assert.deepEqual(await cluster.receivers("hello"), [0, 1]);
});

test("with connection state recovery, clients have what theirs send, too", async (t) => {
  const cluster = await createMixed(t, ["both", "both", "theirs"], {
    server: { connectionStateRecovery: {} },
  });
  for (const server of [0, 1]) cluster.io(server).emit("from", server);
  cluster.io(1).to(cluster.client(2).id!).emit("direct", 1);
  await cluster.inbox(0).count("from", 2);
  await cluster.inbox(2).count("from", 2);
  await cluster.inbox(2).count("direct", 1);
  cluster.io(0).local.emit("local");
  cluster.io(0).emit("after local");
  await cluster.inbox(2).count("after local", 1);
  assert.deepEqual(cluster.inbox(2).of("local"), []);
  cluster.io(2).emit("theirs", 2);
  for (const client of [0, 1]) {
    const [args] = await cluster.inbox(client).count("theirs", 1);
    assert.equal(args?.[0], 2);
  }
});

test("what is emitted right before close() reaches theirs", async (t) => {
  const cluster = await createMixed(t, ["both", "theirs"]);
  cluster.io(0).emit("last", "small");
  cluster.io(0).emit("last", Buffer.alloc(100_000));
  await cluster.closeServer(0);
  await cluster.inbox(1).count("last", 2);
});

test("with another parser, too", async (t) => {
  const cluster = await createMixed(t, ["both", "theirs", "both"], {
    server: { parser },
    client: { parser },
  });
  for (const client of cluster.clients) {
    client.on("ask", (value: unknown, reply: (answer: unknown) => void) => reply(value));
  }
  for (const server of [0, 1]) {
    const io = cluster.io(server);
    io.emit("value", server, { bytes: Buffer.from("bytes"), "ü": [null] });
    for (const client of [0, 1, 2]) {
      const received = await cluster.inbox(client).count("value", server + 1);
      const [, { bytes, ...others }] = received[server] as [number, { bytes: Uint8Array }];
      assert.equal(Buffer.from(bytes).toString(), "bytes");
      assert.deepEqual(others, { "ü": [null] });
    }
    assert.deepEqual(await io.timeout(5_000).emitWithAck("ask", 1), [1, 1, 1]);
  }
});
