/** What SQL emits for clients that are away: kept at the commit, in its order, and holding nobody up until then. */
import assert from "node:assert/strict";
import postgres, { type Sql } from "postgres";
import { type Away, oneAway } from "../support/away.ts";
import { createSqlDatabase } from "../support/sql_functions.ts";
import { type Scope, test } from "../support/test.ts";

const SECRET = "a secret of 31 random characters";
const KEPT = '{"recovery":true}';

/** The same with the functions of SQL in their database. */
async function sqlAway(t: Scope, adapter = {}): Promise<Away & { sql: Sql }> {
  const { uri, sql: owner } = await createSqlDatabase(t);
  const away = await oneAway(t, adapter, uri);
  await owner.unsafe(
    `alter database ${new URL(uri).pathname.slice(1)} set socketio.prefix = '${away.prefix}'`,
  );
  const sql = postgres(uri, { max: 4, onnotice: () => {} });
  t.after(() => sql.end({ timeout: 5 }));
  return { ...away, sql };
}

test("who was away gets what functions and triggers have emitted, as those who stayed", async (t) => {
  const { cluster, stays, goes, id, comeBack, sql } = await sqlAway(t);
  await sql.unsafe(`
    create table orders (id integer primary key, room text);
    create trigger each_row after insert on orders for each row
      execute function socketio.emit_changes('row', '{room}', '{"columns":["id"],"flags":${KEPT}}');
    create trigger all_rows after insert on orders referencing new table as added for each statement
      execute function socketio.emit_changes('rows', 'a', '{"columns":["id"],"flags":${KEPT}}')`);
  // The first one, as it is dropped for clients that are busy.
  await sql`select socketio.emit('volatile', flags => '{"volatile":true,"recovery":true}')`;
  await stays.has("volatile");
  await sql`select socketio.emit('unkept', '1')`;
  await sql.begin(async (tx) => {
    await tx`select socketio.emit('all', '[1, "é"]', flags => ${KEPT}::text::jsonb)`;
    await tx`select socketio.emit('room', '2', rooms => '{a}', flags => ${KEPT}::text::jsonb)`;
    await tx`select socketio.try_emit('rooms', '3', '{a,b,a}', flags => ${KEPT}::text::jsonb)`;
    await tx`select socketio.emit('other', '4', rooms => '{c}', flags => ${KEPT}::text::jsonb)`;
    await tx`select socketio.emit('except', '5', except_rooms => '{a}', flags => ${KEPT}::text::jsonb)`;
    await tx`select socketio.emit('namespace', '6', nsp => '/other', flags => ${KEPT}::text::jsonb)`;
    await tx`select socketio.emit('direct', '7', array[${id}], flags => ${KEPT}::text::jsonb)`;
    // What is not kept keeps its place.
    await tx`select socketio.sockets_join('{joined}', '{a}')`;
    await tx`select socketio.emit('joined', '8', '{joined}', flags => ${KEPT}::text::jsonb)`;
    await tx`select socketio.sockets_leave('{joined}', '{a}')`;
    await tx`select socketio.emit('large', to_jsonb(repeat('🙂', 100000)), flags => ${KEPT}::text::jsonb)`;
    await tx`select socketio.emit('large', to_jsonb(repeat('x', 100000)), '{b}', flags => ${KEPT}::text::jsonb)`;
    await tx`insert into orders values (1, 'a'), (2, 'c'), (3, 'b')`;
  });
  await sql`select socketio.emit('around', to_jsonb(repeat('x', n)), '{a}', flags => ${KEPT}::text::jsonb)
    from generate_series(7880, 7960) as n`;
  // A setting says it for all that say nothing else.
  await sql.begin(async (tx) => {
    await tx`set local socketio.recovery = on`;
    await tx`select socketio.emit('setting', '9')`;
    await tx`select socketio.emit('unkept', '10', flags => '{"recovery":false}')`;
  });
  await sql`select socketio.emit('unkept', '11')`;
  cluster.io(0).emit("last");
  await comeBack("last");
  const heard = (name: string, events: unknown[][]) =>
    events.filter(([event]) => event !== name).map(([event, ...args]) => [event, args]);
  const kept = stays.received.filter(([event]) =>
    !["unkept", "volatile", "joined"].includes(event as string)
  );
  assert.deepEqual(heard("direct", goes.received), heard("", kept));
  assert.deepEqual(goes.received.slice(0, 11).map(([event]) => event), [
    "all",
    "room",
    "rooms",
    "direct",
    "large",
    "large",
    "row",
    "row",
    "rows",
    "around",
    "around",
  ]);
  assert.deepEqual(goes.of("all"), [[1, "é"]]);
  assert.deepEqual(goes.of("large"), [["🙂".repeat(100_000)], ["x".repeat(100_000)]]);
  assert.deepEqual(goes.of("around").map(([text]) => (text as string).length), [
    ...Array.from({ length: 81 }, (_, i) => 7_880 + i),
  ]);
  assert.deepEqual(goes.of("setting"), [[9]]);
  assert.deepEqual(stays.of("joined"), [[8]]);
  assert.deepEqual(stays.of("unkept"), [[1], [10], [11]]);

  // What it has received while it was there it does not get again.
  await sql`select socketio.emit('there', '1', flags => ${KEPT}::text::jsonb)`;
  await goes.has("there");
  await goes.cut();
  await cluster.gone(1, id);
  await sql`select socketio.emit('there', '2', '{a}', flags => ${KEPT}::text::jsonb)`;
  await goes.comeTo(cluster.port(0));
  await goes.has("there", 2);
  cluster.io(0).emit("end");
  await goes.has("end");
  assert.deepEqual(goes.of("there"), [[1], [2]]);
});

test("what SQL signs is kept with its seal, and opened for who comes back", async (t) => {
  for (const encrypt of [false, true]) {
    const { stays, goes, comeBack, sql } = await sqlAway(t, { secret: SECRET, encrypt });
    await sql`select socketio.set_secret(${SECRET}, encrypt => ${encrypt})`;
    const largest = encrypt ? 7_850 : 20_000;
    for (const size of [1, 7_800, 7_830, largest]) {
      await sql`select socketio.emit('n', to_jsonb(repeat('x', ${size})), '{a}', flags => ${KEPT}::text::jsonb)`;
    }
    if (encrypt) {
      await assert.rejects(
        sql`select socketio.emit('n', to_jsonb(repeat('x', 7890)), flags => ${KEPT}::text::jsonb)`
          .execute(),
        { code: "54000", message: /servers encrypt/ },
      );
    }
    await sql`select socketio.emit('last', flags => ${KEPT}::text::jsonb)`;
    await comeBack("last");
    assert.deepEqual(goes.of("n").map(([text]) => (text as string).length), [
      1,
      7_800,
      7_830,
      largest,
    ]);
    assert.deepEqual(goes.received, stays.received);
  }
});

test("a transaction holds nobody up before its commit, and what is rolled back is nowhere", async (t) => {
  const { cluster, stays, goes, comeBack, sql } = await sqlAway(t);
  const emit = (tx: Sql, n: number) =>
    tx`select socketio.emit('n', ${String(n)}::text::jsonb, flags => ${KEPT}::text::jsonb)`;
  let n = 0;
  const beginnings = [
    "select 1",
    // The first one would have its number, and the lock, at once.
    "set constraints all immediate",
    "set transaction isolation level repeatable read",
    "set transaction isolation level serializable",
    "set session_replication_role = replica",
  ];
  for (const beginning of beginnings) {
    // The log moves on to its next part meanwhile, which a snapshot of before does not see.
    if (beginning.includes("isolation")) {
      await sql`update socketio.recovery_state set since = since - interval '1 hour'`;
    }
    await sql.begin(async (tx) => {
      await tx.unsafe(beginning);
      await emit(tx as unknown as Sql, n + 3);
      // Others go on meanwhile: a server, a transaction.
      cluster.io(0).emit("n", n + 1);
      await stays.has("n", n + 1);
      await emit(sql, n + 2);
      await stays.has("n", n + 2);
      await tx.unsafe("savepoint one");
      await emit(tx as unknown as Sql, -1);
      await tx.unsafe("rollback to savepoint one");
      await emit(tx as unknown as Sql, n + 4);
      assert.equal(stays.of("n").length, n + 2);
    });
    await stays.has("n", n += 4);
  }
  await assert.rejects(
    sql.begin(async (tx) => {
      await emit(tx as unknown as Sql, -2);
      throw new Error("rolled back");
    }),
    /rolled back/,
  );
  // Before the end it takes its place, and keeps it.
  await sql.begin(async (tx) => {
    await emit(tx as unknown as Sql, n + 1);
    await tx`set constraints all immediate`;
    await emit(tx as unknown as Sql, n + 2);
  });
  await stays.has("n", n += 2);
  cluster.io(0).emit("last");
  await comeBack("last");
  assert.deepEqual(goes.received, stays.received);
  assert.deepEqual(goes.of("n"), Array.from({ length: n }, (_, i) => [i + 1]));
  const frames = await sql`select number from socketio.recovery_packets
    where frame like '%"n",%' order by number`;
  assert.ok(frames.length >= n / 2);
  const [row] = await sql`select count(*)::integer as pending from socketio.recovery_pending`;
  assert.equal(row?.["pending"], 0);
});

test("many transactions at once: the order of the log is the order of arrival", async (t) => {
  const { stays, goes, comeBack, cluster, sql } = await sqlAway(t);
  const isolations = ["read committed", "repeatable read", "serializable"] as const;
  await Promise.all(
    Array.from({ length: 4 }, async (_, who) => {
      for (let i = 0; i < 25; i++) {
        await sql.begin(`isolation level ${isolations[i % 3]}`, async (tx) => {
          for (let j = 0; j < 3; j++) {
            await tx`select socketio.emit('n', ${
              JSON.stringify([who, i, j])
            }::text::jsonb, flags => ${KEPT}::text::jsonb)`;
            if (j === 1 && i % 5 === 0) await tx`set constraints all immediate`;
          }
        });
      }
    }),
  );
  await stays.has("n", 300);
  cluster.io(0).emit("last");
  await comeBack("last");
  assert.equal(goes.of("n").length, 300);
  assert.deepEqual(goes.received, stays.received);
});

test("without a log the error says what to run", async (t) => {
  const { sql } = await createSqlDatabase(t);
  const missing = {
    code: "55000",
    message: /has no log of connection state recovery/,
    hint: /socketio-pg install-sql --recovery/,
  };
  await assert.rejects(
    sql`select socketio.emit('n', flags => ${KEPT}::text::jsonb)`.execute(),
    missing,
  );
  await sql`set socketio.recovery = on`;
  await assert.rejects(sql`select socketio.emit('n')`.execute(), missing);
  const [tried] = await sql`select socketio.try_emit('n') as sent`;
  assert.equal(tried?.["sent"], false);
  await sql`select socketio.emit('n', flags => '{"volatile":true}'), socketio.server_side_emit('n')`;
  await assert.rejects(
    sql`select socketio.emit('n', flags => '{"recovery":"yes"}')`.execute(),
    { code: "22023", message: /flags.*yes/ },
  );
});
