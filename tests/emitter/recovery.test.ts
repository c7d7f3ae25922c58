/** Emitters with the option recovery: what they emit reaches clients that were away. */
import { drizzle } from "drizzle-orm/node-postgres";
import { CompiledQuery, Kysely, PostgresDialect } from "kysely";
import assert from "node:assert/strict";
import pg from "pg";
import postgres, { type Sql } from "postgres";
import { Emitter, fromPg, fromRpc, fromTag, type KeptNotification } from "../../src/emitter.ts";
import { recoverySqlText } from "../../src/recovery/schema.ts";
import { oneAway } from "../support/away.ts";
import { databaseUri } from "../support/database.ts";
import type { Target } from "../support/emitting.ts";
import { notifyFunction, startPostgRest } from "../support/postgrest.ts";
import { connectSql, createDatabase } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";

const TOKEN = "the token of the role that may call it";
const LARGE = '漢"\\\n'.repeat(20_000);

function poolOf(t: Scope, uri: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: uri, max: 8 });
  // Those of an idle client whose database is dropped.
  pool.on("error", () => {});
  t.after(() => pool.end());
  return pool;
}

function poolOfPostgresJs(t: Scope, uri: string): Sql {
  const sql = postgres(uri, { max: 8, onnotice: () => {} });
  t.after(() => sql.end({ timeout: 5 }));
  return sql;
}

/** What sends, each by itself. */
const TARGETS: Record<string, (t: Scope, uri: string) => Target | Promise<Target>> = {
  "a uri": (_t, uri) => uri,
  "a pool of postgres.js": (t, uri) => poolOfPostgresJs(t, uri),
  "a Pool of node-postgres": (t, uri) => fromPg(poolOf(t, uri)),
  "a Client of node-postgres": async (t, uri) => {
    const client = new pg.Client({ connectionString: uri });
    t.after(() => client.end());
    await client.connect();
    return fromPg(client);
  },
  "Drizzle's client": (t, uri) => fromPg(drizzle({ client: poolOf(t, uri) }).$client),
  "Kysely": (t, uri) => {
    const kysely = new Kysely({ dialect: new PostgresDialect({ pool: poolOf(t, uri) }) });
    return fromTag((text, parameters) => kysely.executeQuery(CompiledQuery.raw(text, parameters)));
  },
  "an RPC over HTTP": async (t, uri) => {
    await connectSql(t, uri).unsafe(notifyFunction("socketio_keep"));
    const { url } = await startPostgRest(t, uri, TOKEN);
    return fromRpc({ url, headers: { authorization: `Bearer ${TOKEN}` } });
  },
  "an object with keep()": (t, uri) => {
    const sql = connectSql(t, uri);
    return {
      send: () => Promise.reject(new Error("not asked for")),
      keep: (items: readonly KeptNotification[]) =>
        sql`select socketio.recovery_send(${JSON.stringify(items)}::text::json)`,
    };
  },
};

for (const [name, targetOf] of Object.entries(TARGETS)) {
  test(`${name}: who was away gets all of it once, in the order of those who stayed`, async (t) => {
    const { cluster, prefix, stays, goes, id, comeBack } = await oneAway(t);
    const target = await targetOf(t, cluster.uri);
    const emitter = new Emitter(target, { prefix, recovery: true });
    t.after(() => emitter.close());
    const bytes = new Uint8Array([1, 2, 3]);
    // Alone, as it is dropped for clients that are busy.
    await emitter.volatile.emit("volatile", 7);
    await stays.has("volatile");
    const sent = [
      emitter.emit("all", 1),
      emitter.to("a").emit("room", 2),
      emitter.to(["a", "b"]).emit("rooms", 3),
      emitter.to("c").emit("other", 4),
      emitter.except("a").emit("except", 5),
      emitter.of("/other").emit("namespace", 6),
      emitter.to(id).emit("direct", 8),
      emitter.emit("large", LARGE),
      emitter.to("b").emit("large room", LARGE),
      emitter.to("a").to("a").emit("binary", { deep: [bytes] }),
    ];
    for (let n = 0; n < 300; n++) sent.push(emitter.to(n % 2 ? "a" : "b").emit("n", n));
    await Promise.all(sent);
    await emitter.batch((batch) => {
      batch.emit("batch", 1);
      batch.in("a").socketsJoin("joined");
      batch.to("joined").emit("batch", 2);
      batch.emit("last");
    });
    await comeBack("last");
    const kept = goes.received.filter(([event]) => event !== "direct");
    const heard = stays.received.filter(([event]) => event !== "volatile");
    // Who was away was not there to join the room, nor is that done again.
    assert.deepEqual(kept, heard.filter(([event, n]) => event !== "batch" || n === 1));
    assert.deepEqual(goes.of("direct"), [[8]]);
    assert.deepEqual(goes.of("n"), Array.from({ length: 300 }, (_, n) => [n]));
    assert.deepEqual(kept.slice(0, 6).map(([event]) => event), [
      "all",
      "room",
      "rooms",
      "large",
      "large room",
      "binary",
    ]);
    assert.ok(goes.of("large")[0]![0] === LARGE && goes.of("large room")[0]![0] === LARGE);
    const [[{ deep: [got] }]] = goes.of("binary") as [[{ deep: [Uint8Array] }]];
    assert.deepEqual(new Uint8Array(got), bytes);
    assert.deepEqual(stays.of("batch"), [[1], [2]]);
  });
}

test("what is sealed is kept sealed, and opened for who comes back", async (t) => {
  for (const encrypt of [false, true]) {
    const secret = "a secret of 31 random characters";
    const { cluster, prefix, stays, goes, comeBack } = await oneAway(t, { secret, encrypt });
    const options = { prefix, secret, encrypt, recovery: true };
    const emitter = new Emitter(cluster.uri, options);
    t.after(() => emitter.close());
    const around = Array.from(
      { length: 40 },
      (_, i) => "x".repeat((encrypt ? 5_760 : 7_760) + i * 5),
    );
    await Promise.all(around.map((text) => emitter.emit("around", text)));
    await emitter.to("a").emit("large", LARGE);
    const sql = connectSql(t, cluster.uri);
    await sql.begin((tx) => new Emitter(tx, options).emit("last"));
    await comeBack("last");
    assert.deepEqual(goes.received, stays.received);
    assert.deepEqual(goes.of("around"), around.map((text) => [text]));
    assert.ok(goes.of("large")[0]![0] === LARGE);
    const frames = await sql`select frame from socketio.recovery_packets`;
    assert.ok(
      frames.every(({ frame }) => encrypt ? !frame.includes("xxxxxxxxxxxx") : frame.includes("~1")),
    );
  }
});

test("a transaction keeps and sends at its commit, and holds nobody up until then", async (t) => {
  const { cluster, prefix, stays, goes, comeBack } = await oneAway(t);
  const sql = poolOfPostgresJs(t, cluster.uri);
  const options = { prefix, recovery: true };
  await sql.begin(async (tx) => {
    const emitter = new Emitter(tx, options);
    await emitter.emit("n", 3);
    void emitter.in("a").socketsJoin("joined");
    void emitter.to("joined").emit("n", 4);
    void emitter.in("joined").socketsLeave("joined");
    void emitter.emit("n", 5);
    await emitter.emit("large", LARGE);
    // Others go on meanwhile, servers and transactions.
    cluster.io(0).emit("n", 1);
    await stays.has("n", 1);
    await sql.begin((other) => new Emitter(other, options).emit("n", 2));
    await stays.has("n", 2);
    assert.deepEqual(stays.of("n"), [[1], [2]]);
  });
  await assert.rejects(
    sql.begin(async (tx) => {
      await new Emitter(tx, options).emit("never");
      throw new Error("rolled back");
    }),
    /rolled back/,
  );
  await sql.begin(async (tx) => {
    const emitter = new Emitter(tx, options);
    await emitter.emit("n", 6);
    await assert.rejects(
      tx.savepoint(async (point) => {
        await new Emitter(point, options).emit("never");
        throw new Error("rolled back");
      }),
      /rolled back/,
    );
    await emitter.emit("n", 7);
  });
  await stays.has("n", 7);
  cluster.io(1).emit("last");
  await comeBack("last");
  assert.deepEqual(goes.of("n"), [1, 2, 3, 5, 6, 7].map((n) => [n]));
  assert.deepEqual(
    stays.received.map(([event, n]) => event === "large" ? event : `${event} ${n ?? ""}`),
    ["n 1", "n 2", "n 3", "n 4", "n 5", "large", "n 6", "n 7", "last "],
  );
  // Who was away did not join that room.
  assert.deepEqual(goes.received, stays.received.filter(([, n]) => n !== 4));
  const [row] = await sql`
    select count(*)::integer as pending from socketio.recovery_pending`;
  assert.equal(row?.["pending"], 0);
});

test("a target that cannot keep is refused, and so is what is no boolean", () => {
  const target = { send: () => Promise.resolve() };
  const refused = (recovery: unknown, message: RegExp) =>
    assert.throws(() => new Emitter(target, { recovery: recovery as boolean }), {
      code: "INVALID_OPTION",
      message,
    });
  refused(true, /"recovery" must be false for a target that has send\(\) and no keep\(\)/);
  refused("yes", /"recovery" must be true or false: current value is "yes"/);
  new Emitter(target, { recovery: false });
});

test("without a log, and without the right to it, the remedy is said", async (t) => {
  const { uri } = await createDatabase(t, await databaseUri());
  const refused = (target: Target, message: RegExp) =>
    assert.rejects(new Emitter(target, { recovery: true }).emit("never"), {
      code: "RECOVERY_UNAVAILABLE",
      message,
    });
  const sql = connectSql(t, uri);
  await refused(sql, /\(3F000\); run "socketio-pg install-sql --recovery"$/);
  await sql`create schema socketio`;
  await refused(sql, /\(42883\); run "socketio-pg install-sql --recovery"$/);
  await sql.unsafe(recoverySqlText());
  const role = `emits_${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  await sql.unsafe(`create role ${role}; grant usage on schema socketio to ${role}`);
  t.after(() => sql.unsafe(`drop owned by ${role}; drop role ${role}`));
  await sql.unsafe(`set role ${role}`);
  await refused(sql, /\(42501\); grant this role USAGE .* EXECUTE on socketio\.recovery_send/);
  await sql.unsafe(`reset role; grant execute on function socketio.recovery_send to ${role}`);
  await sql.unsafe(`set role ${role}`);
  await new Emitter(sql, { recovery: true }).emit("kept");
  await sql.unsafe("reset role");
  const [row] = await sql`select count(*)::integer as kept from socketio.recovery_packets`;
  assert.equal(row?.["kept"], 1);
});
