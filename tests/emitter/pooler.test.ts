import assert from "node:assert/strict";
import postgres from "postgres";
import { Emitter } from "../../src/emitter.ts";
import { both, emitterTo, receivedBy, twoServers } from "../support/emitting.ts";
import { noPgBouncer, startPgBouncer } from "../support/pgbouncer.ts";
import { test } from "../support/test.ts";

const skip = noPgBouncer;

test(
  "an emitter sends through a pooler in transaction mode, which forgets what was prepared",
  async (t) => {
    const cluster = await twoServers(t);
    const uri = await startPgBouncer(t, cluster.uri, "transaction");
    const emitter = emitterTo(t, cluster, uri);
    const other = postgres(uri, { max: 1, prepare: false, fetch_types: false, onnotice: () => {} });
    t.after(() => other.end({ timeout: 5 }));
    await emitter.emit("n", 1);
    await other.begin(async (tx) => {
      // The transaction has the connection that knows the statement.
      await tx`select 1`;
      await emitter.emit("n", 2);
      for (let n = 3; n < 200; n++) emitter.emit("n", n, "x".repeat(n * 50));
      await emitter.flush();
    });
    await emitter.emit("n", 200);
    const numbers = (await receivedBy(cluster, "n")).map((each) => each.map(([n]) => n));
    assert.deepEqual(numbers, both(Array.from({ length: 200 }, (_, i) => i + 1)));
  },
  { skip },
);

test(
  "a transaction through a pooler in transaction mode is one, and none once it has ended",
  async (t) => {
    const cluster = await twoServers(t);
    const uri = await startPgBouncer(t, cluster.uri, "transaction");
    const sql = postgres(uri, { max: 1, prepare: false, fetch_types: false, onnotice: () => {} });
    t.after(() => sql.end({ timeout: 5 }));
    const kept: Emitter[] = [];
    await sql.begin(async (tx) => {
      kept.push(new Emitter(tx, { prefix: cluster.prefix }));
      await kept[0]!.emit("n", 1);
      kept[0]!.emit("n", 2, "x".repeat(20_000));
    });
    await assert.rejects(kept[0]!.emit("n", 3), { code: "CLOSED" });
    const numbers = (await receivedBy(cluster, "n")).map((each) => each.map(([n]) => n));
    assert.deepEqual(numbers, both([1, 2]));
  },
  { skip },
);
