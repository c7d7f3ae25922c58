import assert from "node:assert/strict";
import { type Cluster, createCluster } from "../support/cluster.ts";
import { test } from "../support/test.ts";

/** One character each of one to four bytes of UTF-8. */
const CHARACTERS = ["x", "ß", "漢", "🎉"];

/** A text of exactly so many bytes of UTF-8, made of as many of this character as fit. */
function textOf(bytes: number, character: string): string {
  const size = Buffer.byteLength(character);
  return character.repeat(Math.floor(bytes / size)) + ".".repeat(bytes % size);
}

/** Bytes that differ all along, so that a piece in the wrong place shows. */
function binaryOf(bytes: number): Buffer {
  const buffer = Buffer.alloc(bytes);
  for (let i = 0; i < bytes; i++) buffer[i] = (i ^ (i >>> 8) ^ (i >>> 16)) & 0xff;
  return buffer;
}

/** Emits each value, and checks that every client gets all of them, in order and unchanged. */
async function roundTrip(cluster: Cluster, event: string, values: (string | Buffer)[]) {
  for (const value of values) cluster.io(0).emit(event, value);
  await cluster.settled(60_000);
  for (const i of cluster.clients.keys()) {
    const received = cluster.inbox(i).of(event);
    assert.equal(received.length, values.length, `client ${i}, "${event}"`);
    for (const [at, value] of values.entries()) {
      const [got] = received[at] as [string | Uint8Array];
      const isSame = typeof value === "string"
        ? got === value
        : got instanceof Uint8Array && value.equals(got);
      // Not assert.equal(): a difference of megabytes is no help.
      assert.ok(
        isSame,
        `client ${i}, "${event}" number ${at} of ${Buffer.byteLength(value)} bytes`,
      );
    }
  }
}

test("payloads of 0 to 300 bytes", async (t) => {
  const cluster = await createCluster(t);
  for (const character of CHARACTERS) {
    const sizes = Array.from({ length: 301 }, (_, i) => i);
    await roundTrip(cluster, `text of ${character}`, sizes.map((size) => textOf(size, character)));
  }
  await roundTrip(cluster, "binary", Array.from({ length: 301 }, (_, i) => binaryOf(i)));
});

for (const character of CHARACTERS) {
  const bytes = Buffer.byteLength(character);
  test(`payloads around PostgreSQL's limit, characters of ${bytes} bytes`, async (t) => {
    const cluster = await createCluster(t, { size: 2 });
    for (let from = 7_000; from <= 9_000; from += 500) {
      const values = Array.from({ length: 500 }, (_, i) => textOf(from + i, character));
      await roundTrip(cluster, `from ${from}`, values);
    }
  });
}

test("binary payloads around PostgreSQL's limit", async (t) => {
  const cluster = await createCluster(t, { size: 2 });
  // Three bytes become four characters of base64: 7,999 of them are 5,999 bytes.
  const values = Array.from({ length: 400 }, (_, i) => binaryOf(5_700 + i));
  await roundTrip(cluster, "binary", values);
});

test("payloads of several chunks, to the byte", async (t) => {
  const cluster = await createCluster(t);
  for (const chunks of [2, 3, 10]) {
    for (const character of CHARACTERS) {
      const values = Array.from(
        { length: 50 },
        (_, i) => textOf(7_999 * chunks - i * 4, character),
      );
      await roundTrip(cluster, `${chunks} chunks of ${character}`, values);
    }
  }
});

test("payloads of 100 KB and 1 MB", async (t) => {
  const cluster = await createCluster(t);
  for (const size of [100_000, 1_000_000]) {
    const texts = CHARACTERS.map((character) => textOf(size, character));
    await roundTrip(cluster, `${size} bytes`, [...texts, binaryOf(size)]);
  }
});

test("text of 16 MB", async (t) => {
  const cluster = await createCluster(t, { size: 2 });
  await roundTrip(cluster, "text", [textOf(16_000_000, "x"), "after"]);
}, { deadline: 90_000 });

test("binary of 16 MB", async (t) => {
  const cluster = await createCluster(t, { size: 2 });
  await roundTrip(cluster, "binary", [binaryOf(16_000_000), "after"]);
}, { deadline: 90_000 });

test("text that a database cannot hold arrives unchanged", async (t) => {
  const cluster = await createCluster(t);
  const odd = [
    "\0",
    "a\0b",
    "\ud800",
    "\udfff x",
    "x".repeat(9_000) + "\ud83d",
    "🎉".repeat(3_000),
  ];
  await roundTrip(cluster, "odd", odd);
  await roundTrip(cluster, "odd\0 event", odd);
});

test("thousands of rooms and exceptions in one broadcast", async (t) => {
  const cluster = await createCluster(t, { clients: 2 });
  const rooms = Array.from({ length: 5_000 }, (_, i) => `room number ${i} 🎉`);
  const [first, last] = [rooms[0] ?? "", rooms.at(-1) ?? ""];
  for (const i of [0, 2, 4]) await cluster.socket(i).join(i === 2 ? last : first);
  await cluster.socket(5).join(rooms);
  cluster.io(1).to(rooms).emit("to many", "text");
  cluster.io(1).except(rooms).emit("except many", Buffer.from("binary"));
  cluster.io(1).in(rooms).except(last).socketsJoin("joined");
  cluster.io(1).to("joined").emit("joined");
  assert.deepEqual(await cluster.receivers("to many"), [0, 2, 4, 5]);
  assert.deepEqual(await cluster.receivers("except many"), [1, 3]);
  assert.deepEqual(await cluster.receivers("joined"), [0, 4]);
  assert.equal((await cluster.io(0).in(rooms).fetchSockets()).length, 4);
});
