import assert from "node:assert/strict";
import parser from "socket.io-msgpack-parser";
import { pgAdapter, type PgAdapterError } from "../../mod.ts";
import { HAS_RECOVERY } from "../support/offset.ts";
import { createCluster, createNode } from "../support/cluster.ts";
import { runtime } from "../support/runtime.ts";
import { test } from "../support/test.ts";
import { next } from "../support/wait.ts";
import { testBroadcast } from "./broadcast_suite.ts";

testBroadcast(" (msgpack)", { server: { parser }, client: { parser } });
testBroadcast(" (polling)", { client: { transports: ["polling"] } });
if (runtime === "bun") testBroadcast(" (bun-engine)", { bunEngine: true });

test("clients that upgrade from polling to websocket miss nothing", async (t) => {
  const cluster = await createCluster(t, {
    client: { transports: ["polling", "websocket"] },
  });
  const binary = Buffer.from([0, 1, 2, 255]);
  for (let i = 0; i < 500; i++) {
    cluster.io(0).emit("upgrading", i, i % 50 === 0 ? binary : null);
    if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  for (const messages of await cluster.received("upgrading")) {
    assert.deepEqual(messages.map(([i]) => i), Array.from({ length: 500 }, (_, i) => i));
  }
});

test("a volatile event is dropped for a client that cannot be written to, anywhere", async (t) => {
  const cluster = await createCluster(t);
  const transports = [0, 1, 2].map((i) => cluster.socket(i).conn.transport);
  for (const transport of transports) transport.writable = false;
  cluster.io(0).volatile.emit("volatile");
  cluster.io(0).volatile.emit("volatile", "x".repeat(20_000));
  // The others are told, too, before the clients can be written to again.
  const told = [1, 2].map((i) => next(cluster.io(i), "told"));
  cluster.io(0).serverSideEmit("told");
  await Promise.all(told);
  for (const transport of transports) transport.writable = true;
  cluster.io(0).emit("firm");
  assert.deepEqual(await cluster.receivers("firm"), [0, 1, 2]);
  assert.deepEqual(await cluster.receivers("volatile"), []);
});

test("servers with different parsers in one cluster are told", async (t) => {
  const cluster = await createCluster(t, { size: 2 });
  const told = [0, 1].map((i) => next<[PgAdapterError]>(cluster.adapter(i), "error"));
  const other = pgAdapter(cluster.uri, { prefix: cluster.prefix });
  const own = next<[PgAdapterError]>(other, "error");
  const node = await createNode(other, { server: { parser } });
  t.after(() => node.close());
  for (const [error] of await Promise.all([...told, own])) {
    assert.equal(error.code, "PARSER_MISMATCH");
    assert.match(error.message, /parser/);
  }
  assert.equal(cluster.errors.splice(0).length, 2);
  cluster.io(0).emit("among equals");
  assert.deepEqual(await cluster.receivers("among equals"), [0, 1]);
  cluster.errors.splice(0);
});

test("with connectionStateRecovery set, events arrive as they are", async (t) => {
  const cluster = await createCluster(t, { server: { connectionStateRecovery: {} } });
  await cluster.socket(2).join("room");
  cluster.io(0).emit("all", 1, "text");
  cluster.io(0).to("room").emit("room", Buffer.from("binary"));
  cluster.socket(1).emit("direct", [1]);
  const all = await cluster.received("all");
  // What comes after the arguments is the client's offset, if anything.
  for (const [message] of all) assert.deepEqual(message?.slice(0, 2), [1, "text"]);
  assert.equal(all.flat().length, 3);
  assert.deepEqual(await cluster.receivers("room"), [2]);
  assert.deepEqual(await cluster.receivers("direct"), [1]);
});

/** A parser that counts, by the name of the event, how often something is encoded and decoded. */
function counting() {
  const counts = { encoded: 0, decoded: 0 };
  class Encoder extends parser.Encoder {
    override encode(
      packet: { data?: unknown[] },
    ): ReturnType<typeof parser.Encoder.prototype.encode> {
      if (packet.data?.[0] === "counted") counts.encoded++;
      return super.encode(packet);
    }
  }
  class Decoder extends parser.Decoder {
    override add(chunk: Uint8Array): void {
      if (Buffer.from(chunk).includes("counted")) counts.decoded++;
      super.add(chunk);
    }
  }
  return { counts, parser: { Encoder, Decoder } };
}

test("a broadcast is encoded once in the whole cluster, and read by no server", async (t) => {
  const { counts, parser: counted } = counting();
  const cluster = await createCluster(t, {
    clients: 3,
    server: { parser: counted },
    client: { parser },
  });
  cluster.io(0).emit("counted", "x".repeat(10_000));
  assert.equal((await cluster.receivers("counted")).length, 9);
  assert.deepEqual(counts, { encoded: 1, decoded: 0 });
  cluster.socket(8).onAnyOutgoing(() => {});
  cluster.io(0).emit("counted", 2);
  assert.equal((await cluster.receivers("counted")).length, 18);
  assert.deepEqual(counts, { encoded: 2, decoded: 1 });
}, { skip: HAS_RECOVERY && "each server adds the offset" });

test("a parser whose packets are texts that a database cannot hold", async (t) => {
  class Encoder {
    encode(packet: unknown): string[] {
      return [`\0\ud800${JSON.stringify(packet)}`];
    }
  }
  class Decoder extends parser.Decoder {
    override add(chunk: string): void {
      this.emit("decoded", JSON.parse(chunk.slice(2)));
    }
    override destroy(): void {}
  }
  const odd = { Encoder, Decoder };
  const cluster = await createCluster(t, { server: { parser: odd }, client: { parser: odd } });
  cluster.io(0).emit("odd", "ü🎉", "x".repeat(9_000));
  assert.deepEqual(await cluster.received("odd"), Array(3).fill([["ü🎉", "x".repeat(9_000)]]));
});
