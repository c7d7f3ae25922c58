/** `trigger`: what it prints, and that it works as it is. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createSqlCluster, createSqlDatabase } from "../support/sql_functions.ts";
import { test } from "../support/test.ts";
import { execute, runHere } from "./command_line.ts";

async function printed(...args: string[]): Promise<string> {
  const { code, out, err } = await runHere(["trigger", ...args]);
  assert.deepEqual([code, err], [0, ""]);
  return out;
}

test("the statement for each row, and the ones for each statement", async () => {
  assert.equal(
    await printed("orders", "--columns", "id,status", "--room", "customer:{customer_id}"),
    `create trigger "socketio_orders"
after insert or update or delete on "orders"
for each row execute function socketio.emit_changes(
  '{table}:{op}',
  'customer:{customer_id}',
  '{"columns":["id","status"]}'
);
`,
  );
  const many = ["shop.Order", "update", "insert", "--statement", "--columns", "*"];
  const more = [
    "--old",
    "all",
    "--on-large",
    "skip",
    "--max-bytes",
    "9000",
    "--nsp",
    "chat",
    "--recovery",
  ];
  assert.equal(
    await printed(...many, ...more, "--room", "a", "--room", "b", "--event", "x", "--name", "it's"),
    `create trigger "it's_insert"
after insert on "shop"."Order"
referencing new table as new_rows
for each statement execute function socketio.emit_changes(
  'x',
  '["a","b"]',
  '{"columns":"*","old":"all","on_large":"skip","max_bytes":9000,"nsp":"/chat","flags":{"recovery":true}}'
);

create trigger "it's_update"
after update on "shop"."Order"
referencing old table as old_rows new table as new_rows
for each statement execute function socketio.emit_changes(
  'x',
  '["a","b"]',
  '{"columns":"*","old":"all","on_large":"skip","max_bytes":9000,"nsp":"/chat","flags":{"recovery":true}}'
);
`,
  );
});

test("a row that is inserted reaches a client", async (scope) => {
  const { cluster, sql } = await createSqlCluster(scope);
  await cluster.socket(1).join("customer:7");
  await sql`create table orders (id int primary key, customer_id int, status text, note text)`;
  const args = ["orders", "--columns", "id,status", "--old", "changed"];
  const { code, out } = await execute(scope, [
    "trigger",
    ...args,
    "--room",
    "customer:{customer_id}",
  ]);
  assert.equal(code, 0);
  await sql.unsafe(out);
  await sql`insert into orders values (1, 7, 'open', 'secret'), (2, 8, 'open', 'other')`;
  await sql`update orders set status = 'paid'`;
  const common = { schema: "public", table: "orders" };
  assert.deepEqual(await cluster.inbox(1).count("orders:update", 1), [[
    { op: "update", ...common, row: { id: 1, status: "paid" }, old: { status: "open" } },
  ]]);
  assert.deepEqual(await cluster.inbox(1).count("orders:insert", 1), [[
    { op: "insert", ...common, row: { id: 1, status: "open" } },
  ]]);
});

test("all operations of statements, to everyone", async (scope) => {
  const { cluster, sql } = await createSqlCluster(scope);
  await sql`create table t (id int primary key)`;
  const operations = ["insert,update", "delete", "truncate"];
  await sql.unsafe(
    await printed("t", ...operations, "--statement", "--columns", "*", "--everyone"),
  );
  await sql`insert into t values (1), (2)`;
  await sql`update t set id = id + 10`;
  await sql`delete from t`;
  await sql`truncate t`;
  const common = { schema: "public", table: "t" };
  const rows = [{ id: 11 }, { id: 12 }];
  for (const i of [0, 1]) {
    const inbox = cluster.inbox(i);
    assert.deepEqual(await inbox.count("t:truncate", 1), [[{
      op: "truncate",
      ...common,
      rows: [],
    }]]);
    assert.deepEqual(inbox.of("t:insert"), [[{
      op: "insert",
      ...common,
      rows: [{ id: 1 }, { id: 2 }],
    }]]);
    assert.deepEqual(inbox.of("t:update"), [[{ op: "update", ...common, rows }]]);
    assert.deepEqual(inbox.of("t:delete"), [[{ op: "delete", ...common, rows }]]);
  }
});

test("names and texts of any kind are quoted, and stay what they are", async (scope) => {
  const { sql } = await createSqlDatabase(scope);
  const schema = `My "schema"; drop table t; --`;
  const long = "ü".repeat(40);
  const text = `it's \\ "{{" $$ -- é`;
  await sql`create schema ${sql(schema)}`;
  // A setting under which a backslash in plain quotes means something else.
  await sql`set standard_conforming_strings = off`;
  for (const table of ["order", "a.b", long]) {
    await sql.unsafe(
      `create table "${schema.replaceAll('"', '""')}"."${table}" (id int, "it's" int)`,
    );
    const typed = `"${schema.replaceAll('"', '""')}"."${table}"`;
    const call = ["--statement", "insert", "--columns", "id,it's", "--event", text];
    await sql.unsafe(await printed(typed, ...call, "--room", "[x]"));
    const both = await printed(typed, "--statement", "--columns", "*", "--everyone");
    await sql.unsafe(both);
    await sql.unsafe(`insert into ${typed} values (1, 2)`);
  }
  const triggers = await sql`
    select tgname as name from pg_trigger where not tgisinternal`;
  assert.deepEqual(
    triggers.filter(({ name }) => name.startsWith("socketio_ü")).map(({ name }) => name).sort(),
    ["_delete", "_insert", "_update", ""].map((end) =>
      `${long.slice(0, (54 - end.length) >> 1)}${end}`
    )
      .map((end) => `socketio_${end}`).sort(),
  );
  const [row] = await sql`select encode(tgargs, 'hex') as args from pg_trigger
    where tgname = 'socketio_order'`;
  assert.deepEqual(Buffer.from(row?.args, "hex").toString().split("\0"), [
    text,
    '["[x]"]',
    `{"columns":["id","it's"]}`,
    "",
  ]);
});
