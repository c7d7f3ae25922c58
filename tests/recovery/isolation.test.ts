/** A database whose transactions are serializable unless they say something else. */
import assert from "node:assert/strict";
import { databaseUri } from "../support/database.ts";
import { oneAway } from "../support/away.ts";
import { connectSql, createDatabase } from "../support/sql.ts";
import { test } from "../support/test.ts";

test("servers see where the log stands, whatever the isolation of the database is", async (t) => {
  const { uri, name } = await createDatabase(t, await databaseUri());
  const sql = connectSql(t, uri);
  await sql.unsafe(`alter database ${name} set default_transaction_isolation = 'serializable'`);
  const { cluster, stays, goes, comeBack } = await oneAway(t, {}, uri);
  // The log moves on, once and once more, while both servers write to it.
  for (const turn of [1, 2]) {
    await sql`update socketio.recovery_state set since = since - interval '1 hour'`;
    for (let n = 0; n < 100; n++) cluster.io(n % 2).emit("n", turn, n);
    await stays.has("n", turn * 100);
  }
  cluster.io(0).emit("last");
  await comeBack("last");
  assert.equal(goes.of("n").length, 200);
  assert.deepEqual(goes.received, stays.received);
  const [row] = await sql`select part, (
    select count(*)::integer from socketio.recovery_packets_3
  ) as strange from socketio.recovery_state`;
  assert.deepEqual({ ...row }, { part: 2, strange: 0 });
});
