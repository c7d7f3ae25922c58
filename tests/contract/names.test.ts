import assert from "node:assert/strict";
import { connected, createCluster, knowEachOther } from "../support/cluster.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

/** Names that a query, a channel or UTF-8 could stumble over. */
const NAMES = [
  "o'quote",
  'o"quote',
  "back\\slash",
  "'; notify \"x\", 'y'; --",
  "dollar $1 $$ percent %s",
  "with space",
  "tab\tline\nreturn\r",
  "äöü 漢字 🎉",
  "e\u0301 is not \u00e9",
  "UPPER",
  "upper",
  "*",
  "#",
  "a:b#",
  "~",
  "~~",
  "__proto__",
  "constructor",
  "x".repeat(58),
  "x".repeat(59),
  "ü".repeat(40),
  "y".repeat(10_000),
  "y".repeat(9_999) + "z",
  "nul \0 inside",
  "lone \ud800 surrogate",
  "lone \udc00 surrogate",
];

for (const subscriptionMode of ["static", "dynamic"] as const) {
  test(`rooms may have any name (${subscriptionMode})`, async (t) => {
    const cluster = await createCluster(t, { adapter: { subscriptionMode } });
    const rooms = ["", ...NAMES];
    for (const [i, room] of rooms.entries()) await cluster.socket(i % 3).join(room);
    for (const [i, room] of rooms.entries()) cluster.io((i + 1) % 3).to(room).emit("room", i);
    const received = await cluster.received("room");
    for (const client of [0, 1, 2]) {
      const expected = [...rooms.keys()].filter((i) => i % 3 === client);
      assert.deepEqual(received[client]?.flat().sort(byNumber), expected);
    }
    for (const [i, room] of rooms.entries()) {
      const [socket, ...more] = await cluster.io((i + 2) % 3).in(room).fetchSockets();
      assert.equal(socket?.id, cluster.client(i % 3).id);
      assert.equal(more.length, 0);
      assert.ok(socket?.rooms.has(room));
    }
  });

  test(`namespaces may have any name (${subscriptionMode})`, async (t) => {
    const cluster = await createCluster(t, { size: 2, adapter: { subscriptionMode } });
    const namespaces = NAMES.map((name) => `/${name}`);
    const heard: unknown[] = [];
    for (const name of namespaces) {
      cluster.io(0).of(name);
      cluster.io(1).of(name).on("hello", (given: number) => heard.push([name, given]));
    }
    for (const name of namespaces) {
      await until(`both have ${JSON.stringify(name)}`, async () => {
        return await cluster.io(0).of(name).adapter.serverCount() === 2;
      });
    }
    for (const [i, name] of namespaces.entries()) cluster.io(0).of(name).serverSideEmit("hello", i);
    await cluster.settled();
    assert.deepEqual(heard, namespaces.map((name, i) => [name, i]));
  });
}

for (const name of ["/o'quote\"", "/äöü 漢字 🎉", `/${"z".repeat(10_000)}`, "/a:b#"]) {
  test(`clients in a namespace named ${JSON.stringify(name.slice(0, 20))}`, async (t) => {
    const cluster = await createCluster(t, { namespace: name });
    await cluster.socket(2).join(name);
    cluster.nsp(0).emit("all", 1);
    cluster.nsp(0).to(name).emit("room", Buffer.from("2"));
    assert.deepEqual(await cluster.receivers("all"), [0, 1, 2]);
    assert.deepEqual(await cluster.receivers("room"), [2]);
    assert.equal((await cluster.nsp(1).in(name).fetchSockets()).length, 1);
  });
}

test("rooms that are numbers stay numbers", async (t) => {
  const cluster = await createCluster(t);
  // JavaScript's users pass numbers, which Socket.IO keeps apart from texts.
  const seven = 7 as unknown as string;
  await cluster.socket(1).join(seven);
  await cluster.socket(2).join("7");
  cluster.io(0).to(seven).emit("number");
  cluster.io(0).to("7").emit("text");
  cluster.io(0).except(seven).emit("others");
  assert.deepEqual(await cluster.receivers("number"), [1]);
  assert.deepEqual(await cluster.receivers("text"), [2]);
  assert.deepEqual(await cluster.receivers("others"), [0, 2]);
});

test("namespace /a:b# and room b of /a do not mix, though their channel is the same", async (t) => {
  for (const subscriptionMode of ["static", "dynamic"] as const) {
    const colon = await createCluster(t, { adapter: { subscriptionMode }, namespace: "/a:b#" });
    for (const i of [0, 1, 2]) colon.io(i).of("/a");
    await knowEachOther(colon.servers, "/a");
    const joined = await Promise.all([0, 1, 2].map((i) => {
      const client = colon.client(i).io.socket("/a");
      return connected(client).then(() => client);
    }));
    const inRoom: string[] = [];
    for (const [i, client] of joined.entries()) {
      client.on("room", () => inRoom.push(`${i}`));
      client.on("namespace", () => inRoom.push(`wrong ${i}`));
      await colon.io(i).of("/a").sockets.get(client.id ?? "")?.join("b");
    }
    colon.io(0).of("/a").to("b").emit("room");
    colon.nsp(0).emit("namespace");
    assert.deepEqual(await colon.receivers("namespace"), [0, 1, 2]);
    assert.deepEqual(await colon.receivers("room"), []);
    assert.deepEqual(inRoom.sort(), ["0", "1", "2"]);
  }
});

function byNumber(a: unknown, b: unknown): number {
  return Number(a) - Number(b);
}
