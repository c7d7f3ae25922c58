/** What SQL signs, and what it cannot do where servers encrypt. */
import assert from "node:assert/strict";
import { createSqlCluster, createSqlDatabase } from "../support/sql_functions.ts";
import { connectSql } from "../support/sql.ts";
import { test } from "../support/test.ts";
import { readVectors } from "../wire/vectors.ts";

const SECRET = "a secret of 31 random characters";

interface Vectors {
  keys: { secret: string | Uint8Array; signing: string; id: string }[];
  signed: {
    name: string;
    channel: string;
    payload: string;
    time: number;
    nonce: string;
    sealed: string;
  }[];
}

test("SQL derives the key and seals as the golden vectors say", async (t) => {
  const { sql } = await createSqlDatabase(t);
  const { keys, signed } = readVectors<Vectors>("seals");
  const stored =
    async () => [...await sql`select key_id, inner_pad, outer_pad from socketio.secret`];
  for (const { secret, signing, id } of keys) {
    await sql`select socketio.set_signing_key(decode(${signing}, 'hex'))`;
    const [key] = await stored();
    assert.equal(key?.["key_id"], id);
    if (typeof secret !== "string") continue;
    await sql`select socketio.set_secret(${secret})`;
    assert.deepEqual(await stored(), [key]);
    for (const { name, channel, payload, time, nonce, sealed } of signed) {
      const [row] = await sql`
        select socketio._seal(${channel}, ${payload}, key_id, inner_pad, outer_pad, ${time}, decode(${nonce}, 'base64'))
          as sealed from socketio.secret`;
      assert.equal(row?.["sealed"], sealed, name);
    }
  }
});

test("servers with a secret take what SQL signs, small and large, and nothing else of it", async (t) => {
  const at = await createSqlCluster(t, { adapter: { secret: SECRET } });
  const { cluster, sql } = at;
  await sql`select socketio.emit('unsigned')`;
  await sql`select socketio.set_secret(${SECRET})`;
  await sql`select socketio.emit('small', '["é"]') from generate_series(1, 2)`;
  await sql`select socketio.emit('large', to_jsonb(repeat('🙂', 100000)))`;
  await sql`select socketio.emit('around', to_jsonb(repeat('x', n))) from generate_series(7800, 8000) as n`;
  await sql`select socketio.server_side_emit('server')`;
  assert.deepEqual(await at.received("small"), [[["é"], ["é"]], [["é"], ["é"]]]);
  assert.deepEqual(await at.received("large"), [[["🙂".repeat(100_000)]], [[
    "🙂".repeat(100_000),
  ]]]);
  assert.deepEqual((await at.received("around")).map(({ length }) => length), [201, 201]);
  assert.deepEqual(await at.receivers("unsigned"), []);
  const errors = cluster.errors.splice(0) as (Error & { code?: string })[];
  assert.deepEqual(errors.map(({ code }) => code), ["UNSIGNED", "UNSIGNED"]);

  // Without the secret again: the servers take nothing.
  await sql`select socketio.set_secret(null)`;
  assert.deepEqual([...await sql`select to_regclass('socketio.secret') as secret`], [{
    secret: null,
  }]);
  await sql`select socketio.emit('unsigned')`;
  await sql`select socketio.set_secret(${SECRET})`;
  assert.deepEqual(await at.receivers("unsigned"), []);
  cluster.errors.splice(0);
});

test("where servers encrypt, SQL emits what fits into a payload and refuses the rest", async (t) => {
  const at = await createSqlCluster(t, { adapter: { secret: SECRET, encrypt: true } });
  const { sql } = at;
  await sql`select socketio.set_secret(${SECRET})`;
  await sql`select socketio.set_secret(${SECRET}, encrypt => true)`;
  await sql`select socketio.emit('small', to_jsonb(repeat('x', 7000)))`;
  await assert.rejects(
    sql`select socketio.emit('large', to_jsonb(repeat('x', 8000)))`.execute(),
    { code: "54000", message: /servers encrypt/ },
  );
  assert.deepEqual(await at.receivers("small"), [0, 1]);
  assert.deepEqual(await at.receivers("large"), []);

  await sql.unsafe(`
    create table notes (id integer primary key, note text);
    create trigger notes after insert on notes for each row
    execute function socketio.emit_changes('note', '', '{"columns":["note"]}')`);
  await sql`insert into notes values (1, repeat('x', 5000)), (2, repeat('x', 10000))`;
  const [changes] = await at.received("note") as { row: unknown; large?: boolean }[][][];
  assert.deepEqual(changes?.map(([change]) => [change?.row, change?.large]), [
    [{ note: "x".repeat(5_000) }, undefined],
    [{ id: 2 }, true],
  ]);
});

test("only the owner reads the key, default privileges or not, and a secret has 16 bytes", async (t) => {
  const { uri, sql } = await createSqlDatabase(t);
  const role = `reader_${crypto.getRandomValues(new Uint32Array(2)).join("_")}`;
  await sql.unsafe(
    `create role ${role}; alter default privileges grant all on tables to ${role}, public`,
  );
  t.after(() => connectSql(t, uri).unsafe(`drop owned by ${role}; drop role ${role}`));
  await sql`select socketio.set_secret(${SECRET})`;
  const [row] = await sql`select has_table_privilege(${role}, 'socketio.secret', 'select') as may`;
  assert.equal(row?.["may"], false);
  await sql.unsafe(
    `grant usage on schema socketio to ${role}; grant execute on function socketio.emit to ${role}`,
  );
  await sql.unsafe(`set role ${role}`);
  await sql`select socketio.emit('signed for others')`;
  await assert.rejects(sql`select * from socketio.secret`.execute(), { code: "42501" });
  await sql.unsafe("reset role");
  await assert.rejects(sql`select socketio.set_secret('short')`.execute(), {
    code: "22023",
    message: /5 bytes/,
  });
  await assert.rejects(sql`select socketio.set_signing_key('short')`.execute(), { code: "22023" });
});

test("where servers encrypt, no change is so large that the statement that writes fails of it", async (t) => {
  const at = await createSqlCluster(t, { adapter: { secret: SECRET, encrypt: true } });
  const { sql } = at;
  await sql`select socketio.set_secret(${SECRET}, encrypt => true)`;
  await sql.unsafe(`create table notes (id text primary key, room text, note text)`);
  for (const choice of ["key", "skip"]) {
    const options = `{"columns":["note"],"on_large":"${choice}"}`;
    await sql.unsafe(`
      create trigger ${choice}_row after insert on notes for each row execute function
        socketio.emit_changes('row ${choice}', '["{room}","everyone"]', '${options}');
      create trigger ${choice}_rows after insert on notes referencing new table as added
        for each statement execute function
        socketio.emit_changes('rows ${choice}', '["everyone"]', '${options}');
      create trigger ${choice}_event after insert on notes for each row execute function
        socketio.emit_changes('{room}', 'everyone', '${options}')`);
  }
  for (const i of [0, 1]) await at.cluster.socket(i).join("everyone");
  // The row alone would fit, its rooms or the name of its event do not; nor does the key.
  await sql`insert into notes values ('rooms', repeat('r', 3000), repeat('x', 5500))`;
  await sql`insert into notes values ('all rooms', repeat('r', 9000), '')`;
  await sql`insert into notes values (repeat('k', 9000), '', repeat('x', 9000))`;
  await sql`insert into notes select n || repeat('k', 50), '', repeat('x', 50) from generate_series(1, 200) as n`;
  await sql`insert into notes values ('small', '', 'small')`;
  const common = { op: "insert", schema: "public", table: "notes" };
  const large = { ...common, large: true };
  const small = { ...common, row: { note: "small" } };
  const note = { note: "x".repeat(50) };
  const row = (await at.received("row key")).map((events) => events.map(([change]) => change));
  for (const changes of row) {
    assert.deepEqual(changes[0], { ...large, row: { id: "rooms" } });
    assert.deepEqual(changes[1], large);
    assert.deepEqual(
      changes.slice(2, -1),
      Array.from({ length: 200 }, () => ({
        ...common,
        row: note,
      })),
    );
    assert.deepEqual(changes.at(-1), small);
  }
  const smallRows = [{ ...common, rows: [{ note: "small" }] }];
  for (const changes of await at.received("rows key")) {
    assert.deepEqual(changes, [
      [{ ...common, rows: [{ note: "x".repeat(5_500) }] }],
      [{ ...common, rows: [{ note: "" }] }],
      [large],
      [large],
      smallRows,
    ]);
  }
  for (const changes of await at.received("rows skip")) {
    assert.deepEqual(changes.map(([change]) => change), [
      { ...common, rows: [{ note: "x".repeat(5_500) }] },
      { ...common, rows: [{ note: "" }] },
      ...smallRows,
    ]);
  }
  for (const changes of await at.received("row skip")) {
    assert.equal(changes.length, 201);
    assert.deepEqual(changes.at(-1), [small]);
  }
});
