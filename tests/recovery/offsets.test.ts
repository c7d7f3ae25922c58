/** Offsets: what a client says it has received is what it has received. */
import assert from "node:assert/strict";
import { createRecoveryCluster, type RecoveryCluster } from "../support/recovery.ts";
import { createNode } from "../support/cluster.ts";
import { pgAdapter } from "../../mod.ts";
import { Emitter } from "../../src/emitter.ts";
import { connectSql } from "../support/sql.ts";
import { FaultProxy } from "../support/fault_proxy.ts";
import { type Scope, test } from "../support/test.ts";
import { until } from "../support/wait.ts";

/** One more server, whose connections to PostgreSQL go through a proxy. */
async function proxied(t: Scope, cluster: RecoveryCluster): Promise<FaultProxy> {
  const proxy = await FaultProxy.start(cluster.uri);
  t.after(() => proxy.close());
  const adapter = pgAdapter(proxy.uri, { prefix: cluster.prefix });
  adapter.on("error", (error) => cluster.errors.push(error));
  const node = await createNode(adapter, { server: { connectionStateRecovery: {} } });
  cluster.nodes.push(node);
  // Before its proxy, which it needs to say goodbye.
  t.after(async () => {
    proxy.pass();
    await node.close();
  });
  await adapter.ready();
  return proxy;
}

test("what is not in the log takes nobody back in it, on a server that hears late", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 1 });
  const proxy = await proxied(t, cluster);
  const wanderer = await cluster.client(0);
  cluster.io(0).emit("first");
  await wanderer.has("first");
  await wanderer.cut();
  await cluster.gone(0, wanderer.client.id!);
  // From now on the second server knows of nothing but what it asks for.
  proxy.hold("down", { only: "listen" });
  for (let i = 0; i < 5; i++) cluster.io(0).emit("missed", i);
  await until("all is in the log", () => cluster.nodes[0]!.adapter.stats().queued.messages === 0);
  await wanderer.comeTo(cluster.port(1));
  await wanderer.has("missed", 5);
  assert.ok(wanderer.client.recovered);
  const { offset } = wanderer;
  cluster.io(1).volatile.emit("volatile", "a text");
  await wanderer.has("volatile");
  assert.equal(wanderer.offset, offset);
  await wanderer.cut();
  await cluster.gone(1, wanderer.client.id!);
  proxy.pass();
  await wanderer.comeTo(cluster.port(0));
  assert.ok(wanderer.client.recovered);
  cluster.io(0).emit("last");
  await wanderer.has("last");
  assert.equal(wanderer.of("missed").length, 5);
});

test("what waits to come back while a client is connected comes to it once, and takes it nowhere", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 1 });
  const proxy = await proxied(t, cluster);
  const wanderer = await cluster.client(0);
  cluster.io(1).emit("first");
  await wanderer.has("first");
  await wanderer.cut();
  await cluster.gone(0, wanderer.client.id!);
  proxy.hold("down", { only: "listen" });
  // Before what the client has missed, and not to be given before it has come back.
  cluster.io(1).local.emit("local", "a text");
  await until("it is sent", () => cluster.nodes[1]!.adapter.stats().queued.messages === 0);
  for (let i = 0; i < 5; i++) cluster.io(0).emit("missed", i);
  await until("all is in the log", () => cluster.nodes[0]!.adapter.stats().queued.messages === 0);
  await wanderer.comeTo(cluster.port(1));
  assert.ok(wanderer.client.recovered);
  await wanderer.has("missed", 5);
  const { offset } = wanderer;
  const offsets: (string | undefined)[] = [];
  wanderer.client.onAny(() => offsets.push(wanderer.offset));
  proxy.pass();
  await wanderer.has("local");
  await wanderer.cut();
  assert.equal(wanderer.of("local").length, 1);
  assert.deepEqual(offsets.filter((each) => each !== offset), []);
  await cluster.gone(1, wanderer.client.id!);
  await wanderer.comeTo(cluster.port(0));
  assert.ok(wanderer.client.recovered);
  cluster.io(0).emit("last");
  await wanderer.has("last");
  assert.equal(wanderer.of("missed").length, 5);
});

test(
  "messages that share a frame have offsets of their own, of all kinds of senders",
  async (t) => {
    const cluster = await createRecoveryCluster(t, { size: 2 });
    const sql = connectSql(t, cluster.uri);
    const emitter = new Emitter(cluster.uri, { prefix: cluster.prefix, recovery: true });
    t.after(() => emitter.close());
    const senders = {
      server: () => {
        for (let i = 0; i < 300; i++) cluster.io(0).emit("n", i);
      },
      emitter: () =>
        emitter.batch((io) => {
          for (let i = 0; i < 300; i++) io.emit("n", i);
        }),
    };
    for (const [name, send] of Object.entries(senders)) {
      for (const server of [0, 1]) {
        const wanderer = await cluster.client(server);
        const offsets: string[] = [];
        wanderer.client.onAny((event: string, ...args: unknown[]) => {
          if (event === "n") offsets.push(String(args.at(-1)));
        });
        const rows = async () => (await sql`select from socketio.recovery_packets`).length;
        const before = await rows();
        await send();
        await wanderer.has("n", 300);
        const took = await rows() - before;
        assert.ok(took >= 3 && took < 10, `${name}: 300 messages in ${took} frames`);
        const numbers = offsets.map((offset) => Number.parseInt(offset, 36));
        assert.deepEqual(numbers, [...new Set(numbers)].toSorted((a, b) => a - b));
        // At the beginning, within and at the end of a frame, and of those that are full.
        for (const last of [0, 1, 63, 126, 127, 128, 200, 255, 256, 298, 299]) {
          wanderer.offset = offsets[last];
          const { pid } = wanderer;
          await wanderer.cut();
          await until(
            "its session is kept",
            async () =>
              (await sql`select from socketio.recovery_sessions where pid = ${pid!} and taker is null`)
                .length > 0,
          );
          wanderer.received.length = 0;
          await wanderer.comeTo(cluster.port(1 - server));
          assert.ok(wanderer.client.recovered);
          cluster.io(server).to(wanderer.client.id!).emit("end");
          await wanderer.has("end");
          assert.deepEqual(
            wanderer.of("n").map(([n]) => n),
            Array.from({ length: 299 - last }, (_, i) => last + 1 + i),
            `${name}, server ${server}, after ${last}`,
          );
          await wanderer.cut();
          await until(
            "its session is kept",
            async () =>
              (await sql`select from socketio.recovery_sessions where pid = ${pid!} and taker is null`)
                .length > 0,
          );
          await wanderer.comeTo(cluster.port(server));
          assert.ok(wanderer.client.recovered);
        }
        wanderer.client.disconnect();
      }
    }
  },
  { deadline: 60_000 },
);
