import assert from "node:assert/strict";
import postgres, { type Sql } from "postgres";
import { Emitter } from "../../src/emitter.ts";
import type { Cluster } from "../support/cluster.ts";
import { both, receivedBy, twoSealedServers, twoServers } from "../support/emitting.ts";
import { type Scope, test } from "../support/test.ts";
import { within } from "../support/wait.ts";

/** A pool of the application's. */
function pool(t: Scope, uri: string, options: postgres.Options<Record<string, never>> = {}): Sql {
  const sql = postgres(uri, { max: 4, onnotice: () => {}, ...options });
  t.after(() => sql.end({ timeout: 5 }));
  return sql as Sql;
}

/** An emitter in a transaction. */
function inside({ prefix }: Cluster, tx: postgres.TransactionSql, options = {}): Emitter {
  return new Emitter(tx, { prefix, ...options });
}

test("what is emitted in a transaction arrives when it commits, in order, and not before", async (t) => {
  const cluster = await twoServers(t);
  const sql = pool(t, cluster.uri);
  await sql.begin(async (tx) => {
    const emitter = inside(cluster, tx);
    await emitter.emit("n", 1);
    await emitter.emit("n", 2, "x".repeat(100_000));
    await tx`select 1`;
    await emitter.emit("n", 3);
    await inside(cluster, tx).emit("n", 4);
    assert.deepEqual(await receivedBy(cluster, "n"), both([]));
  });
  const numbers = (await receivedBy(cluster, "n")).map((each) => each.map(([n]) => n));
  assert.deepEqual(numbers, both([1, 2, 3, 4]));
});

test("the promise of an emit can be what the transaction returns", async (t) => {
  const cluster = await twoServers(t);
  const sql = pool(t, cluster.uri);
  await sql.begin((tx) => inside(cluster, tx).emit("created", { id: 1 }));
  assert.deepEqual(await receivedBy(cluster, "created"), both([[{ id: 1 }]]));
});

test("what nobody awaits is part of the transaction all the same", async (t) => {
  const cluster = await twoServers(t);
  for (const options of [{}, { prepare: false }, { max: 1 }]) {
    const sql = pool(t, cluster.uri, options);
    for (let round = 0; round < 3; round++) {
      const sent: Promise<void>[] = [];
      await sql.begin((tx) => {
        const emitter = inside(cluster, tx);
        for (let n = 0; n < 150; n++) sent.push(emitter.emit("n", n));
        sent.push(emitter.batch((batch) => void batch.emit("n", 150)));
      });
      await Promise.all(sent);
    }
  }
  const numbers = (await receivedBy(cluster, "n")).map((each) => each.map(([n]) => n));
  const once = Array.from({ length: 151 }, (_, n) => n);
  assert.deepEqual(numbers, both(Array.from({ length: 9 }, () => once).flat()));
});

test("a transaction that is rolled back emits nothing", async (t) => {
  const cluster = await twoServers(t);
  const sql = pool(t, cluster.uri);
  await assert.rejects(
    sql.begin(async (tx) => {
      await inside(cluster, tx).emit("never");
      throw new Error("rolled back");
    }),
    /rolled back/,
  );
  await assert.rejects(
    sql.begin((tx) => {
      void inside(cluster, tx).emit("never");
      return tx`select no_such_column`;
    }),
    { code: "42703" },
  );
  // An emit in a transaction that has failed is refused as PostgreSQL says.
  await assert.rejects(sql.begin(async (tx) => {
    await tx`select no_such_column`.catch(() => {});
    await assert.rejects(inside(cluster, tx).emit("never"), {
      code: "PUBLISH_FAILED",
      message: /25P02/,
    });
  }));
  await sql.begin(async (tx) => {
    await inside(cluster, tx).emit("kept", 1);
    await assert.rejects(tx.savepoint(async (point) => {
      await inside(cluster, point).emit("never");
      throw new Error("back to the savepoint");
    }));
    await tx.savepoint((point) => inside(cluster, point).emit("kept", 2));
    await inside(cluster, tx).emit("kept", 3);
  });
  assert.deepEqual(await receivedBy(cluster, "kept"), both([[1], [2], [3]]));
  assert.deepEqual(await receivedBy(cluster, "never"), both([]));
});

test("after its transaction an emitter emits nothing, whoever uses the connection", async (t) => {
  const cluster = await twoServers(t);
  const sql = pool(t, cluster.uri, { max: 1 });
  const kept: Emitter[] = [];
  await sql.begin((tx) => kept.push(inside(cluster, tx)) > 0);
  const [emitter] = kept as [Emitter];
  const refusal = { code: "CLOSED", message: /transaction has ended/ };
  await assert.rejects(emitter.emit("late"), refusal);
  await sql.begin(async (tx) => {
    await tx`select 1`;
    await assert.rejects(emitter.emit("late", "x".repeat(2_000_000)), refusal);
    await inside(cluster, tx).emit("in time");
  });
  emitter.emit("late and unheard");
  await emitter.close();
  assert.deepEqual(await receivedBy(cluster, "in time"), both([[]]));
  assert.deepEqual(await receivedBy(cluster, "late"), both([]));
});

test("what is emitted while its transaction commits is refused, and settles", async (t) => {
  const cluster = await twoServers(t);
  const sql = pool(t, cluster.uri, { max: 1 });
  const table = `slow_${crypto.randomUUID().replaceAll("-", "")}`;
  t.after(() => sql.unsafe(`drop table ${table}; drop function ${table}()`));
  // Its COMMIT takes a second.
  await sql.unsafe(`
    create table ${table} (id int);
    create function ${table}() returns trigger language plpgsql as
      'begin perform pg_sleep(1); return null; end';
    create constraint trigger slow after insert on ${table} deferrable initially deferred
      for each row execute function ${table}()`);
  const late: Promise<void>[] = [];
  let emitter: Emitter | undefined;
  const committed = sql.begin(async (tx) => {
    emitter = inside(cluster, tx);
    await tx.unsafe(`insert into ${table} values (1)`);
    setTimeout(() => late.push(emitter!.emit("late"), emitter!.emit("late")), 200);
  });
  await committed;
  assert.equal(late.length, 2);
  for (const each of late) {
    const settled = within(5_000, "a late emit", each);
    await assert.rejects(settled, { code: "CLOSED", message: /transaction has ended/ });
  }
  await within(5_000, "flush()", emitter!.flush());
  assert.deepEqual(await receivedBy(cluster, "late"), both([]));
}, { deadline: 20_000 });

test("with a secret what is awaited is part of the transaction, and the rest is refused", async (t) => {
  const secret = "known to all servers of the cluster";
  for (const encrypt of [false, true]) {
    const cluster = await twoSealedServers(t, { secret, encrypt });
    const sql = pool(t, cluster.uri);
    await sql.begin(async (tx) => {
      const emitter = inside(cluster, tx, { secret, encrypt });
      await Promise.all([1, 2, 3].map((n) => emitter.emit("n", n)));
      await emitter.batch((batch) => {
        batch.emit("n", 4);
        batch.emit("n", 5);
      });
    });
    // With and without a statement that the driver has to ask about first, behind which others queue.
    for (const asks of [false, true]) {
      let late: Promise<void> | undefined;
      await sql.begin((tx) => {
        if (asks) {
          void tx.unsafe(`select $1::text as ${crypto.randomUUID().replace(/^.*-/, "a")}`, ["b"])
            .then();
        }
        late = inside(cluster, tx, { secret, encrypt }).emit("late");
      });
      await assert.rejects(late!, { code: "CLOSED", message: /transaction has ended/ });
    }
    await assert.rejects(sql.begin(async (tx) => {
      await inside(cluster, tx, { secret, encrypt }).emit("never");
      throw new Error("rolled back");
    }));
    const numbers = (await receivedBy(cluster, "n")).map((each) => each.map(([n]) => n));
    assert.deepEqual(numbers, both([1, 2, 3, 4, 5]));
    assert.deepEqual(await receivedBy(cluster, "late"), both([]));
    assert.deepEqual(await receivedBy(cluster, "never"), both([]));
  }
});

test("an emit that waits for a slow statement of its transaction is no late one", async (t) => {
  const cluster = await twoServers(t);
  const sql = pool(t, cluster.uri, { max: 1 });
  const rounds = 20;
  for (let n = 0; n < rounds; n++) {
    await sql.begin(async (tx) => {
      const slow = tx`select pg_sleep(0.12)`.execute();
      await inside(cluster, tx).emit("n", n);
      await slow;
    });
  }
  const numbers = (await receivedBy(cluster, "n")).map((each) => each.map(([n]) => n));
  assert.deepEqual(numbers, both(Array.from({ length: rounds }, (_, n) => n)));
});

test("a transaction whose connection is lost rejects what was emitted in it, and ends no process", async (t) => {
  const cluster = await twoServers(t);
  const sql = pool(t, cluster.uri, { max: 1 });
  const other = pool(t, cluster.uri, { max: 1 });
  let emitted: Promise<void> | undefined;
  await assert.rejects(sql.begin(async (tx) => {
    const emitter = inside(cluster, tx);
    await emitter.emit("never");
    const [row] = await tx`select pg_backend_pid() as pid`;
    tx`select pg_sleep(20)`.catch(() => {});
    emitted = emitter.emit("never");
    // Long enough for the emitter to ask whether the transaction has ended.
    await other`select pg_sleep(0.3)`;
    await other`select pg_terminate_backend(${row?.["pid"]})`;
    // The driver would send its rollback over a connection that is gone, which ends the process.
    await new Promise(() => {});
  }));
  await assert.rejects(emitted!, { code: "PUBLISH_FAILED" });
  assert.deepEqual(await receivedBy(cluster, "never"), both([]));
});
