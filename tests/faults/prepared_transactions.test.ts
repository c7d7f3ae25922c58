/** Two-phase commit, which takes no notifications. */
import assert from "node:assert/strict";
import { recoverySqlText } from "../../src/recovery/schema.ts";
import { installSql } from "../../src/sql.ts";
import { startPostgres } from "../support/postgres.ts";
import { connectSql } from "../support/sql.ts";
import { test } from "../support/test.ts";

test("PREPARE TRANSACTION is refused with what is kept, as with every notification", async (t) => {
  const server = await startPostgres({ settings: { max_prepared_transactions: "2" } });
  t.after(() => server.stop());
  const sql = connectSql(t, server.uri);
  await installSql(sql);
  await sql.unsafe(recoverySqlText());
  for (const flags of ["{}", '{"recovery":true}']) {
    await sql`begin`;
    await sql.unsafe(`select socketio.emit('n', flags => '${flags}')`);
    await assert.rejects(sql`prepare transaction 'two_phases'`.execute(), {
      code: "0A000",
      message: /PREPARE.*NOTIFY/,
    });
    await sql`rollback`;
  }
  const [row] = await sql`select
    (select count(*) from socketio.recovery_packets) +
    (select count(*) from socketio.recovery_pending) as count`;
  assert.equal(Number(row?.["count"]), 0);
});
