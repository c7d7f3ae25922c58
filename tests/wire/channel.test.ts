import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import {
  clusterChannel,
  hasFormOfSocketId,
  MAX_CHANNEL_BYTES,
  namespaceChannel,
  privateChannel,
  roomChannel,
} from "../../src/wire/channel.ts";
import { sha256Hex } from "../../src/wire/sha256.ts";
import postgres from "postgres";
import { databaseUri } from "../support/database.ts";
import { readVectors } from "./vectors.ts";

interface Vectors {
  namespaces: { prefix: string; nsp: string; channel: string }[];
  rooms: { prefix: string; nsp: string; room: string; channel: string }[];
  cluster: { prefix: string; channel: string }[];
  private: { prefix: string; uid: string; channel: string }[];
  socketIds: { room: string; is: boolean }[];
}

const vectors = readVectors<Vectors>("channels");

test("channels have the names of the golden vectors", () => {
  for (const { prefix, nsp, channel } of vectors.namespaces) {
    assert.equal(namespaceChannel(prefix, nsp), channel);
  }
  for (const { prefix, nsp, room, channel } of vectors.rooms) {
    assert.equal(roomChannel(prefix, nsp, room), channel);
  }
  for (const { prefix, channel } of vectors.cluster) assert.equal(clusterChannel(prefix), channel);
  for (const { prefix, uid, channel } of vectors.private) {
    assert.equal(privateChannel(prefix, uid), channel);
  }
});

test("a room has the form of a socket id or not, as the golden vectors say", () => {
  for (const { room, is } of vectors.socketIds) assert.equal(hasFormOfSocketId(room), is, room);
});

test("no name of a channel is longer than PostgreSQL takes, whatever the namespace and the room are", () => {
  const odd = [
    "",
    "/",
    "\0",
    "\ud800",
    "🙂".repeat(40),
    '"'.repeat(60),
    "x".repeat(10_000),
    "\n\t",
  ];
  for (const nsp of odd) {
    for (const room of odd) {
      const channel = roomChannel("p".repeat(29), `/${nsp}`, room);
      assert.ok(Buffer.byteLength(channel) <= MAX_CHANNEL_BYTES, channel);
      assert.ok(channel.isWellFormed() && !channel.includes("\0"), channel);
    }
  }
});

test("sha256Hex() is SHA-256, at every length around the size of a block", () => {
  for (let length = 0; length < 260; length++) {
    const text = "é".repeat(length % 3) + "a".repeat(length);
    assert.equal(sha256Hex(text), createHash("sha256").update(text).digest("hex"));
  }
});

test("PostgreSQL computes the names of long channels with its core functions", async (t) => {
  const sql = postgres(await databaseUri(), { max: 1 });
  t.after(() => sql.end());
  for (const { prefix, nsp, channel } of vectors.namespaces) {
    const name = `${prefix}:${nsp}`;
    const [row] = await sql<{ channel: string }[]>`
      select case when octet_length(${name}::text) <= 63 then ${name}::text
        else ${prefix}::text || ':#' || left(encode(sha256(convert_to(${name}::text, 'UTF8')), 'hex'), 32)
      end as channel`;
    assert.equal(row?.channel, channel);
  }
});
