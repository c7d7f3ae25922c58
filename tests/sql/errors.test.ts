/** What SQL refuses: an error with a code and a sentence in SQL, and nothing at the servers. */
import assert from "node:assert/strict";
import postgres from "postgres";
import { createSqlCluster, createSqlDatabase } from "../support/sql_functions.ts";
import { test } from "../support/test.ts";

/** What is refused, with the code of PostgreSQL and words of the message. */
const REFUSED: readonly [call: string, code: string, message: RegExp][] = [
  ["emit(null)", "22004", /name is null/],
  ["emit('connect')", "22023", /"connect".*keeps/],
  ["emit('connect_error')", "22023", /connect_error/],
  ["emit('disconnect')", "22023", /disconnect/],
  ["emit('disconnecting')", "22023", /disconnecting/],
  ["emit('newListener')", "22023", /newListener/],
  ["emit('removeListener')", "22023", /removeListener/],
  ["server_side_emit('connection')", "22023", /"connection"/],
  ["server_side_emit('new_namespace')", "22023", /new_namespace/],
  ["server_side_emit(null)", "22004", /name is null/],
  ["emit('x', rooms => array['a', null])", "22004", /rooms.*without null/],
  ["emit('x', rooms => null)", "22004", /rooms.*without null/],
  ["emit('x', except_rooms => '{null}')", "22004", /except_rooms.*without null/],
  ["emit('x', rooms => '{{a,b}}')", "22023", /rooms/],
  ["emit('x', nsp => null)", "22004", /nsp.*null/],
  ["emit('x', nsp => 'chat')", "22023", /nsp.*'chat'/],
  ["emit('x', nsp => '')", "22023", /nsp/],
  ["emit('x', nsp => '/' || repeat('x', 16384))", "54000", /namespace.*16384/],
  ["emit('x', flags => null)", "22023", /flags.*null/],
  ["emit('x', flags => '[]')", "22023", /flags.*\[\]/],
  ["emit('x', flags => '\"volatile\"')", "22023", /flags/],
  [`emit('x', flags => '{"local": true}')`, "22023", /flags.*local/],
  [`emit('x', flags => '{"volatile": "yes"}')`, "22023", /flags.*yes/],
  ["emit('x', to_jsonb(repeat('x', 33554433)))", "54000", /33554435 bytes/],
  ["emit('x', to_jsonb(array(select generate_series(1, 10000))))", "54000", /10000 arguments/],
  ["emit('x', (repeat('[', 2000) || repeat(']', 2000))::jsonb)", "54000", /nested/],
  ["emit('x', rooms => array[repeat('x', 16385)])", "54000", /rooms.*16384/],
  ["emit('x', rooms => array[repeat('🙂', 8193)])", "54000", /rooms.*16384/],
  ["emit('x', rooms => array(select 'r' || generate_series(1, 100001)))", "54000", /100001 names/],
  ["sockets_join(null)", "22004", /rooms/],
  ["sockets_join('{a}', '{null}')", "22004", /rooms/],
  ["sockets_leave('{null}')", "22004", /rooms/],
  ["disconnect_sockets(null)", "22004", /rooms/],
  ["disconnect_sockets(close => null)", "22004", /close/],
];

test("bad input is an error that says what it was, and nothing is sent", async (t) => {
  const at = await createSqlCluster(t);
  for (const [call, code, message] of REFUSED) {
    await assert.rejects(
      at.sql.unsafe(`select socketio.emit('before'), socketio.${call}`).execute(),
      { code, message },
      call,
    );
  }
  assert.deepEqual(await at.receivers("before"), []);
  assert.deepEqual(await at.receivers("x"), []);
});

test("what is just within the limits arrives", async (t) => {
  const at = await createSqlCluster(t);
  for (
    const call of [
      "to_jsonb(array(select generate_series(1, 9999)))",
      "(repeat('[', 989) || '1' || repeat(']', 989))::jsonb",
      "'null', rooms => array[repeat('🙂', 8192), 'everyone']",
      "'null', rooms => array(select 'r' || generate_series(1, 99999)) || '{everyone}'::text[]",
    ]
  ) {
    for (const i of [0, 1]) await at.cluster.socket(i).join("everyone");
    await at.sql.unsafe(`select socketio.emit('x', ${call})`);
  }
  assert.deepEqual((await at.received("x")).map(({ length }) => length), [4, 4]);
});

test("try_emit() is a warning with the same words, takes nothing along, and says whether it was sent", async (t) => {
  const at = await createSqlCluster(t);
  const notices: { [field: string]: string | undefined }[] = [];
  const sql = postgres(at.cluster.uri, { max: 1, onnotice: (notice) => notices.push(notice) });
  t.after(() => sql.end());
  const [row] = await sql`
    select socketio.emit('before'), socketio.try_emit('connect') as no, socketio.try_emit('after', '[1]') as yes`;
  assert.deepEqual([row?.["no"], row?.["yes"]], [false, true]);
  await sql`select socketio.try_emit('x', rooms => '{null}')`;
  assert.deepEqual(notices.map(({ severity, code }) => [severity, code]), [
    ["WARNING", "22023"],
    ["WARNING", "22004"],
  ]);
  assert.match(notices[0]?.["message"] ?? "", /"connect"/);
  assert.match(notices[0]?.["hint"] ?? "", /another name/);
  assert.match(notices[0]?.["detail"] ?? "", /disconnecting/);
  assert.deepEqual(await at.receivers("before"), [0, 1]);
  assert.deepEqual(await at.received("after"), [[[1]], [[1]]]);
});

test("errors have a hint", async (t) => {
  const { sql } = await createSqlDatabase(t);
  for (const call of ["emit('connect')", "emit('x', rooms => null)", "emit('x', nsp => 'chat')"]) {
    await assert.rejects(
      sql.unsafe(`select socketio.${call}`).execute(),
      ({ hint }: { hint?: string }) => (hint ?? "").length > 10,
    );
  }
});
