/** The option `recovery: { durable: true }`: tables that survive a crash, also where others were before. */
import assert from "node:assert/strict";
import { pgAdapter, type PgAdapterError } from "../../mod.ts";
import { createNode, uniquePrefix } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { RecoveryCluster } from "../support/recovery.ts";
import { connectSql, createDatabase } from "../support/sql.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

test("a server that wants it durable makes it so, and one that says nothing leaves it", async (t) => {
  const { uri } = await createDatabase(t, await databaseUri());
  const sql = connectSql(t, uri);
  const persistence = async () => {
    const rows = await sql`select distinct relpersistence as each from pg_class
      where relnamespace = 'socketio'::regnamespace and relname ~ '^recovery_(state|.*_[0-9])$'`;
    return rows.map(({ each }) => each).join();
  };
  const start = async (adapter = {}) => {
    const cluster = new RecoveryCluster(t, uri, { adapter });
    await cluster.start();
    return cluster;
  };
  const first = await start();
  assert.equal(await persistence(), "u");
  const wanderer = await first.client(0);
  const id = wanderer.client.id!;
  await wanderer.cut();
  await first.gone(0, id);
  first.io(0).emit("kept");
  const durable = await start({ recovery: { durable: true } });
  assert.equal(await persistence(), "p");
  await start({ recovery: {} });
  await start({ recovery: { durable: false } });
  assert.equal(await persistence(), "p");
  assert.equal(durable.errors.length, 0);
  // What was kept before is still there.
  await wanderer.comeTo(first.port(0));
  await wanderer.has("kept");
  assert.ok(wanderer.client.recovered);
});

test("a log that would take long to write once more is emptied", async (t) => {
  const { uri } = await createDatabase(t, await databaseUri());
  const sql = connectSql(t, uri);
  const first = new RecoveryCluster(t, uri, {});
  await first.start();
  await sql`insert into socketio.recovery_packets
    select 0, number, 'key', 'channel', 'origin', repeat(md5(number::text), 125)
    from generate_series(1, 12000) as number`;
  const wanderer = await first.client(0);
  await wanderer.cut();
  await first.gone(0, wanderer.client.id!);
  await new RecoveryCluster(t, uri, { adapter: { recovery: { durable: true } } }).start();
  assert.equal((await sql`select from socketio.recovery_packets`).length, 0);
  await wanderer.comeTo(first.port(0));
  assert.ok(!wanderer.client.recovered);
  // From then on it is as any other.
  first.io(0).emit("first");
  await wanderer.has("first");
  await wanderer.cut();
  await wanderer.comeTo(first.port(0));
  assert.ok(wanderer.client.recovered);
});

test("who may not make it durable is told what to run", async (t) => {
  const { uri, name } = await createDatabase(t, await databaseUri());
  await new RecoveryCluster(t, uri, {}).start();
  const sql = connectSql(t, uri);
  const role = `recovers_${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  await sql.unsafe(
    `create role ${role} login password 'hush-hush'; grant usage on schema socketio to ${role};
    grant execute on all functions in schema socketio to ${role}; grant connect on database ${name} to ${role}`,
  );
  t.after(() => sql.unsafe(`drop owned by ${role}; drop role ${role}`));
  const own = new URL(uri);
  [own.username, own.password] = [role, "hush-hush"];
  const adapter = pgAdapter(own.href, { prefix: uniquePrefix(), recovery: { durable: true } });
  const errors: PgAdapterError[] = [];
  adapter.on("error", (error) => errors.push(error));
  const node = await createNode(adapter, { server: { connectionStateRecovery: {} } });
  t.after(() => node.close());
  await until("it is told", () => errors.some(({ code }) => code === "RECOVERY_UNAVAILABLE"));
  const { message } = errors.find(({ code }) => code === "RECOVERY_UNAVAILABLE")!;
  assert.match(message, /"socketio-pg install-sql --recovery --durable --print"/);
});
