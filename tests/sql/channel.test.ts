/** The names of channels in SQL. */
import assert from "node:assert/strict";
import { namespaceChannel, roomChannel } from "../../src/wire/channel.ts";
import { createSqlDatabase } from "../support/sql_functions.ts";
import { connectSql } from "../support/sql.ts";
import { test } from "../support/test.ts";
import { readVectors } from "../wire/vectors.ts";

interface Vectors {
  namespaces: { prefix: string; nsp: string; channel: string }[];
  rooms: { prefix: string; nsp: string; room: string; channel: string }[];
}

test("channel() follows the golden vectors", async (t) => {
  const { sql } = await createSqlDatabase(t);
  const { namespaces, rooms } = readVectors<Vectors>("channels");
  for (const { prefix, nsp, room, channel } of [...namespaces, ...rooms] as Vectors["rooms"]) {
    await sql`select set_config('socketio.prefix', ${prefix}, false)`;
    const [row] = await sql`select socketio.channel(${nsp}, ${room ?? null}) as channel`;
    assert.equal(row?.["channel"], channel);
  }
});

test("channel() and the TypeScript of the same name agree on names of every length", async (t) => {
  const { sql } = await createSqlDatabase(t);
  for (const piece of ["x", "é", "漢", "🙂", '"', "\n"]) {
    for (let length = 1; length < 70; length++) {
      const nsp = `/${piece.repeat(length)}`;
      const [row] = await sql`
        select socketio.channel(${nsp}) as of_nsp, socketio.channel('/', ${nsp}) as of_room`;
      assert.equal(row?.["of_nsp"], namespaceChannel("socket.io", nsp));
      assert.equal(row?.["of_room"], roomChannel("socket.io", "/", nsp));
    }
  }
});

test("the prefix is that of the setting, else that of set_prefix(), else socket.io", async (t) => {
  const { uri, sql } = await createSqlDatabase(t);
  const channel = async (on = sql) => (await on`select socketio.channel()`)[0]?.["channel"];
  assert.equal(await channel(), "socket.io:/");
  await sql`select socketio.set_prefix('it''s')`;
  assert.equal(await channel(), "it's:/");
  await sql.unsafe(`alter database ${new URL(uri).pathname.slice(1)} set socketio.prefix = 'app'`);
  assert.equal(await channel(connectSql(t, uri)), "app:/");
  await sql`set socketio.prefix = 'session'`;
  assert.equal(await channel(), "session:/");
  await sql`reset socketio.prefix`;
  assert.equal(await channel(), "it's:/");
  for (const wrong of ["", null, "x".repeat(30)]) {
    await assert.rejects(sql`select socketio.set_prefix(${wrong})`.execute(), { code: "22023" });
  }
  await sql`select set_config('socketio.prefix', ${"é".repeat(15)}, false)`;
  await assert.rejects(channel(), { code: "22023", message: /30 bytes/ });
});
