import assert from "node:assert/strict";
import type { PgAdapterError } from "../../mod.ts";
import { uniquePrefix } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { createMixed, tableOf } from "../support/official.ts";
import { connectSql, createDatabase } from "../support/sql.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

/** Values of many sizes and kinds, around the limits of NOTIFY. */
const VALUES: readonly unknown[] = [
  Buffer.from("binary"),
  { deep: [{ bytes: Buffer.alloc(70_000, 1) }, "text"] },
  // Not an ArrayBuffer, of which theirs sends an empty object.
  new Uint8Array([1, 2, 3]),
  "x".repeat(7_700),
  "x".repeat(8_000),
  "ü".repeat(4_000),
  "x".repeat(100_000),
  { list: Array.from({ length: 3_000 }, (_, i) => i * 1_000_003 - 2 ** 20), n: -1.5 },
  Array.from({ length: 70_000 }, () => null),
];

/** Bytes of any kind as a list, so that they can be compared. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, function (key) {
    const given: unknown = (this as Record<string, unknown>)[key];
    if (given instanceof ArrayBuffer) return { bytes: [...new Uint8Array(given)] };
    if (ArrayBuffer.isView(given)) return { bytes: [...given as Uint8Array] };
    return given;
  }));
}

test("what is binary or large arrives, from and at each kind, once", async (t) => {
  const cluster = await createMixed(t, ["theirs", "both", "both", "theirs"]);
  for (const server of [0, 1, 2, 3]) {
    VALUES.forEach((value, at) => cluster.io(server).emit(`from ${server}`, at, value));
  }
  for (const server of [0, 1, 2, 3]) {
    for (const client of [0, 1, 2, 3]) {
      const received = await cluster.inbox(client).count(`from ${server}`, VALUES.length);
      const sorted = [...received].sort(([a], [b]) => Number(a) - Number(b));
      assert.deepEqual(plain(sorted), plain(VALUES.map((value, at) => [at, value])));
    }
  }
  await cluster.settled();
  for (const client of [0, 1, 2, 3]) assert.equal(cluster.inbox(client).of("from 0").length, 9);
});

test("servers of ours get what another of theirs sends in the order in which it arrives", async (t) => {
  const cluster = await createMixed(t, ["both"]);
  const sql = connectSql(t, cluster.uri);
  const table = tableOf(cluster.prefix);
  const channel = `${cluster.prefix}#/`;
  await sql.unsafe(`create table ${table} (id bigserial unique,
    created_at timestamptz default now(), payload bytea)`);
  // {"uid":"a","type":3,"nsp":"/","data":{"packet":{"type":2,"data":["n",1]},"opts":{"rooms":[],"except":[]}}}
  const attachment = Buffer.concat([
    Buffer.from([0x84, 0xa3]),
    Buffer.from("uid"),
    Buffer.from([0xa1, 0x61, 0xa4]),
    Buffer.from("type"),
    Buffer.from([0x03, 0xa3]),
    Buffer.from("nsp"),
    Buffer.from([0xa1, 0x2f, 0xa4]),
    Buffer.from("data"),
    Buffer.from([0x82, 0xa6]),
    Buffer.from("packet"),
    Buffer.from([0x82, 0xa4]),
    Buffer.from("type"),
    Buffer.from([0x02, 0xa4]),
    Buffer.from("data"),
    Buffer.from([0x92, 0xa1, 0x6e, 0x01, 0xa4]),
    Buffer.from("opts"),
    Buffer.from([0x82, 0xa5]),
    Buffer.from("rooms"),
    Buffer.from([0x90, 0xa6]),
    Buffer.from("except"),
    Buffer.from([0x90]),
  ]);
  const [row] = await sql.unsafe(
    `insert into ${table} (payload) values (decode($1, 'base64')) returning id`,
    [attachment.toString("base64")],
  );
  const small = (n: number) =>
    JSON.stringify({
      uid: "a",
      type: 3,
      nsp: "/",
      data: {
        packet: { type: 2, data: ["n", n], nsp: "/" },
        opts: { rooms: [], except: [], flags: {} },
      },
    });
  const header = JSON.stringify({ uid: "a", type: 3, attachmentId: String(row!.id) });
  const gone = JSON.stringify({ uid: "a", type: 3, attachmentId: "999999" });
  // One transaction each way: all of it is there before the first attachment is.
  await sql.begin(async (tx) => {
    for (const payload of [small(0), header, small(2), gone, "{", small(3)]) {
      await tx`select pg_notify(${channel}, ${payload})`;
    }
  });
  await cluster.inbox(0).count("n", 4);
  assert.deepEqual(cluster.inbox(0).of("n").flat(), [0, 1, 2, 3]);
  const codes = cluster.errors.splice(0).map((error) => (error as PgAdapterError).code);
  assert.deepEqual(codes, ["MALFORMED_MESSAGE", "MALFORMED_MESSAGE"]);
  assert.equal(cluster.adapter(0).stats().official?.malformed, 2);
});

test("the table is made when it is needed, and not before", async (t) => {
  const { uri } = await createDatabase(t, await databaseUri());
  const cluster = await createMixed(t, ["both", "both"], { uri });
  const sql = connectSql(t, uri);
  const table = tableOf(cluster.prefix);
  const isThere = async () => (await sql`select to_regclass(${table}) as name`)[0]?.name !== null;
  cluster.io(0).emit("small");
  await cluster.settled();
  assert.equal(await isThere(), false);
  for (const server of [0, 1]) cluster.io(server).emit("binary", Buffer.from([server]));
  await cluster.inbox(0).count("binary", 2);
  await until("the table is there", isThere);
  await until(
    "both lie in it",
    async () => Number((await sql.unsafe(`select count(*) as n from ${table}`))[0]?.n) === 2,
  );
});

test("the table is cleaned", async (t) => {
  const cluster = await createMixed(t, ["both", "theirs"], {
    adapter: { cleanupInterval: 200 },
  });
  const sql = connectSql(t, cluster.uri);
  const count = async () =>
    Number((await sql.unsafe(`select count(*) as n from ${tableOf(cluster.prefix)}`))[0]?.n);
  // More than are deleted at a time.
  await sql.unsafe(`insert into ${tableOf(cluster.prefix)} (created_at, payload)
    select now() - interval '1 minute', 'old' from generate_series(1, 1200)`);
  cluster.io(0).emit("binary", Buffer.from([1]));
  await cluster.inbox(1).count("binary", 1);
  await until("nothing lies in it", async () => await count() === 0);
});

test("without the right to make the table, what needs it is told, and the rest goes on", async (t) => {
  const { uri, name } = await createDatabase(t, await databaseUri());
  const sql = connectSql(t, uri);
  const role = `role_${uniquePrefix()}`;
  await sql.unsafe(`create role ${role} login password 'secret'`);
  t.after(() => sql.unsafe(`drop owned by ${role}; drop role ${role}`));
  await sql.unsafe(`revoke create on schema public from public`);
  await sql.unsafe(`grant connect on database ${name} to ${role}`);
  const limited = new URL(uri);
  [limited.username, limited.password] = [role, "secret"];
  const cluster = await createMixed(t, ["both", "both"], { uri: limited.href });
  cluster.io(0).emit("binary", Buffer.from([1]));
  cluster.io(0).emit("small");
  await until("it is told", () => cluster.errors.length > 0);
  const [error] = cluster.errors.splice(0) as PgAdapterError[];
  assert.equal(error?.code, "ATTACHMENTS_UNAVAILABLE");
  // Those who speak both wires have it on the other one.
  assert.deepEqual(await cluster.receivers("binary"), [0, 1]);
  assert.deepEqual(await cluster.receivers("small"), [0, 1]);
  await until("the rest was sent", () => cluster.adapter(0).stats().official!.sent >= 3);
  assert.equal(cluster.adapter(0).stats().official?.dropped, 1);
});

test("equal messages of one statement arrive at theirs, each", async (t) => {
  const cluster = await createMixed(t, ["both", "theirs"]);
  for (let i = 0; i < 300; i++) cluster.io(0).emit("equal", "same");
  await cluster.inbox(1).count("equal", 300);
  await cluster.settled();
  assert.equal(cluster.inbox(1).of("equal").length, 300);
});

test("whatever others notify on the channels of theirs changes nothing", async (t) => {
  const cluster = await createMixed(t, ["both", "both"]);
  const sql = connectSql(t, cluster.uri);
  const channel = `${cluster.prefix}#/`;
  const message = (type: unknown, data: unknown, more: object = {}) =>
    JSON.stringify({ uid: "stranger", type, nsp: "/", data, ...more });
  const opts = { rooms: [], except: [], flags: {} };
  const packet = (data: unknown) => ({ packet: { type: 2, data, nsp: "/" }, opts });
  const payloads = [
    "",
    "[]",
    "null",
    "{}",
    '"text"',
    "not json",
    `{"uid":"stranger","type":3,"data":${"[".repeat(2_000)}${"]".repeat(2_000)}}`,
    message(3, undefined),
    message(3, packet("hello")),
    message(3, packet([])),
    message(3, packet([{}])),
    message(3, packet(["disconnect"])),
    message(3, packet(["deep", JSON.parse("[".repeat(1_500) + "]".repeat(1_500))])),
    message(3, { ...packet(["hello"]), opts: { rooms: "all" } }),
    message(3, packet(["hello"]), { nsp: "/other" }),
    message(3, packet(["hello"]), { uid: 7 }),
    message(3, packet(["hello"]), { uid: "" }),
    message(3, { ...packet(["hello"]), requestId: 7 }),
    message(4, { opts, rooms: "room" }),
    message(9, { packet: ["connection"] }),
    message(9, { packet: {} }),
    message(9, { packet: ["error"] }),
    message(99, {}),
    message("__proto__", {}),
    message(3, packet(["hello"]), { attachmentId: "1; drop table x" }),
    message(3, packet(["hello"]), { attachmentId: {} }),
  ];
  let before = cluster.adapter(0).stats().official!.malformed;
  for (const payload of payloads) {
    await sql`select pg_notify(${channel}, ${payload})`;
    await until(
      `it counts ${payload.slice(0, 200)}`,
      () => cluster.adapter(0).stats().official!.malformed === before + 1,
    );
    before++;
  }
  cluster.io(1).emit("after");
  await cluster.inbox(0).count("after", 1);
  assert.deepEqual(cluster.inbox(0).events, ["after"]);
  for (const error of cluster.errors.splice(0)) {
    assert.equal((error as PgAdapterError).code, "MALFORMED_MESSAGE");
  }
});
