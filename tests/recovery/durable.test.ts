/** Tables that survive a crash of the database: what was heard is there afterwards, and its number is not given again. */
import assert from "node:assert/strict";
import { type Loggable, loggedNumbers, logStatement } from "../../src/recovery/log_statement.ts";
import { recoverySqlText } from "../../src/recovery/schema.ts";
import { startPostgres } from "../support/postgres.ts";
import { connectSql } from "../support/sql.ts";
import { test } from "../support/test.ts";

const UID = "0123456789abcdef";
const CHANNEL = "socket.io:/";

test("what is in durable tables survives a crash, and numbers go on behind it", async (t) => {
  const server = await startPostgres();
  t.after(() => server.stop());
  await connectSql(t, server.uri).unsafe(recoverySqlText(true));
  const given: number[] = [];
  let sequence = 0;
  for (let crash = 0; crash < 3; crash++) {
    const sql = connectSql(t, server.uri);
    // As a publisher's connection has it.
    await sql`set synchronous_commit = off`;
    const send = async (count: number): Promise<void> => {
      const frames = Array.from({ length: count }, (): Loggable => {
        sequence++;
        return { channel: CHANNEL, payload: `${sequence}`, sequence, key: CHANNEL };
      });
      const { text, parameters } = logStatement(UID, frames);
      const [row = {}] = await sql.unsafe(text, parameters, { prepare: true });
      given.push(...loggedNumbers(row, count).map((number) => number ?? NaN));
    };
    for (let n = 0; n < 50; n++) await send(n % 2 === 0 ? 1 : 64);
    await server.restart("immediate");
  }
  const rows = await connectSql(t, server.uri)<{ number: number }[]>`
    select number::float8 from socketio.recovery_packets order by number`;
  assert.deepEqual(rows.map(({ number }) => number), given);
});
