import assert from "node:assert/strict";
import { createCluster } from "../support/cluster.ts";
import { test } from "../support/test.ts";

const BYTES = Uint8Array.from({ length: 256 }, (_, i) => i);

/** Clients get a Buffer or a Uint8Array, whatever was sent: what counts is the bytes. */
function bytes(value: unknown): number[] {
  assert.ok(value instanceof Uint8Array || value instanceof ArrayBuffer, `binary: ${value}`);
  return [...new Uint8Array(value instanceof ArrayBuffer ? value : value)];
}

test("binary of every kind arrives as binary", async (t) => {
  const cluster = await createCluster(t);
  const around = Uint8Array.from([9, ...BYTES, 9]);
  cluster.io(0).emit("kinds", Buffer.from(BYTES));
  cluster.io(0).emit("kinds", new Uint8Array(BYTES));
  cluster.io(0).emit("kinds", new Uint8Array(BYTES).buffer);
  cluster.io(0).emit("kinds", around.subarray(1, 257));
  cluster.io(0).emit("kinds", new DataView(around.buffer, 1, 256));
  for (const messages of await cluster.received("kinds")) {
    assert.equal(messages.length, 5);
    for (const [value] of messages) assert.deepEqual(bytes(value), [...BYTES]);
  }
});

test("binary arrives anywhere in the data, several times, and empty", async (t) => {
  const cluster = await createCluster(t);
  const one = Buffer.from("one");
  cluster.io(1).emit("deep", "text", one, { list: [1, { two: Buffer.from("two") }, one] }, [[
    new Uint8Array(0),
  ]], null);
  for (const [message] of await cluster.received("deep")) {
    const [text, first, { list }, [[empty]], nothing] = message as [
      string,
      unknown,
      { list: [number, { two: unknown }, unknown] },
      [[unknown]],
      null,
    ];
    assert.equal(text, "text");
    assert.deepEqual(bytes(first), [...one]);
    assert.equal(list[0], 1);
    assert.deepEqual(bytes(list[1].two), [...Buffer.from("two")]);
    assert.deepEqual(bytes(list[2]), [...one]);
    assert.deepEqual(bytes(empty), []);
    assert.equal(nothing, null);
  }
});

test("data that looks like binary on the wire stays what it is", async (t) => {
  const cluster = await createCluster(t);
  const lookalikes = [
    { _placeholder: false, num: 0 },
    { type: "Buffer", data: [1, 2, 3] },
    "data:;base64,AQID",
    '51-["x",{"_placeholder":true,"num":0}]',
  ];
  cluster.io(0).emit("lookalikes", ...lookalikes);
  assert.deepEqual(await cluster.received("lookalikes"), Array(3).fill([lookalikes]));
});

test("rooms, exceptions and namespaces hold for binary", async (t) => {
  const cluster = await createCluster(t, { clients: 2, namespace: "/binary" });
  for (const i of [0, 1, 2, 5]) await cluster.socket(i).join("news");
  await cluster.socket(1).join("muted");
  cluster.nsp(2).to("news").except("muted").emit("some", Buffer.from("x"));
  assert.deepEqual(await cluster.receivers("some"), [0, 2, 5]);
});

test("ten attachments, as many as clients accept, arrive each in its place", async (t) => {
  const cluster = await createCluster(t);
  const list = Array.from({ length: 10 }, (_, i) => Buffer.alloc(i * 1_000, i));
  cluster.io(0).emit("ten", { list });
  for (const [message] of await cluster.received("ten")) {
    const [received] = message as [{ list: unknown[] }];
    assert.deepEqual(received.list.map(bytes), list.map((item) => [...item]));
  }
});

test("binary in serverSideEmit() and its answers, in requests and their answers", async (t) => {
  const cluster = await createCluster(t);
  for (const i of [1, 2]) {
    cluster.io(i).on("echo", (given: Uint8Array, answer: (value: unknown) => void) => {
      answer({ reversed: Buffer.from(given).reverse() });
    });
    cluster.client(i).on("echo", (given: Uint8Array, answer: (value: unknown) => void) => {
      answer([Buffer.from(given).reverse()]);
    });
  }
  const servers = await cluster.io(0).serverSideEmitWithAck("echo", Buffer.from("abc"));
  assert.equal(servers.length, 2);
  for (const { reversed } of servers) assert.deepEqual(bytes(reversed), [...Buffer.from("cba")]);

  const except = cluster.socket(0).id;
  const clients = await cluster.io(0).except(except).timeout(10_000).emitWithAck(
    "echo",
    Buffer.from("abc"),
  );
  assert.equal(clients.length, 2);
  for (const [reversed] of clients) assert.deepEqual(bytes(reversed), [...Buffer.from("cba")]);
});
