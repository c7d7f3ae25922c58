/** The functions of the protocol's page, as they stand there, on a real PostgreSQL. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Sealer } from "../../src/runtime/sealer.ts";
import { databaseUri } from "../support/database.ts";
import { connectSql, createDatabase, listenTo } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";
import { until } from "../support/wait.ts";
import { readVectors } from "./vectors.ts";

interface Vectors {
  keys: { secret: string | Uint8Array; signing: string }[];
  signed: { name: string; channel: string; payload: string; time: number; nonce: string }[];
}

const vectors = readVectors<Vectors & { signed: { sealed: string }[] }>("seals");
const { secret, signing } = vectors.keys[0]!;

/** A database that has the functions. */
async function withFunctions(t: Scope) {
  const page = readFileSync(new URL("../../docs/PROTOCOL.md", import.meta.url), "utf8");
  const text = /```sql\n(create function socketio_hmac[^`]+)```/.exec(page)?.[1];
  assert.ok(text, "the page has the functions");
  const { uri } = await createDatabase(t, await databaseUri());
  const sql = connectSql(t, uri);
  await sql.unsafe(text);
  return { uri, sql };
}

test("SQL derives the same key and signs as the golden vectors say", async (t) => {
  const { sql } = await withFunctions(t);
  const [row] = await sql`select encode(socketio_signing_key(${String(secret)}), 'hex') as key`;
  assert.equal(row?.["key"], signing);
  for (const { name, channel, payload, time, nonce, sealed } of vectors.signed) {
    const [row] = await sql`
      select socketio_seal(
        decode(${signing}, 'hex'), ${channel}, ${payload}, ${time}, decode(${nonce}, 'base64')
      ) as sealed`;
    assert.equal(row?.["sealed"], sealed, name);
  }
});

test("what SQL signs and notifies is opened, once, whether frames are encrypted or not", async (t) => {
  const { uri, sql } = await withFunctions(t);
  const channel = "socket.io:/é", payload = '{"emit":["hello","🙂"]}';
  const heard = await listenTo(t, uri, [channel]);
  // Two in one statement, which PostgreSQL would fold into one if they were equal.
  await sql`
    select pg_notify(${channel}, socketio_seal(decode(${signing}, 'hex'), ${channel}, ${payload}))
    from generate_series(1, 2)`;
  await until("both are there", () => heard.length === 2);
  for (const encrypt of [false, true]) {
    const sealer = new Sealer(secret, encrypt);
    for (const { payload: sealed } of heard) {
      assert.equal(sealer.open(channel, sealed), payload);
      assert.throws(() => sealer.open(channel, sealed), { fault: "replayed" });
      assert.throws(() => sealer.open("socket.io:/", sealed), { fault: "forged" });
    }
  }
});
