import assert from "node:assert/strict";
import type { Cluster } from "../support/cluster.ts";
import { createMixed, type Kind } from "../support/official.ts";
import { test } from "../support/test.ts";
import { signal, until, within } from "../support/wait.ts";

type Answer = (...values: unknown[]) => void;

const MIXES: readonly (readonly Kind[])[] = [
  ["theirs", "both", "both"],
  ["theirs", "theirs", "both"],
  ["both", "both", "both"],
];

/** What a promise of a broadcast with acknowledgements failed with. */
async function failure(promise: Promise<unknown>): Promise<Error & { responses?: unknown[] }> {
  const { promise: failed, resolve } = signal<Error | undefined>();
  promise.then(() => resolve(undefined), resolve);
  const error = await failed;
  assert.ok(error instanceof Error, "it should have failed");
  return error;
}

/** Calls `serverSideEmit()` with an acknowledgement. */
function asked(
  cluster: Cluster,
  server: number,
  ...args: unknown[]
): Promise<{ error: Error | null; answers: unknown[] }> {
  return within(
    15_000,
    "the answers of servers",
    new Promise((resolve) => {
      const [event, ...others] = args as [string, ...unknown[]];
      cluster.io(server).serverSideEmit(
        event,
        ...others,
        (error: Error | null, answers: unknown[]) => resolve({ error, answers }),
      );
    }),
  );
}

for (const kinds of MIXES) {
  const it = (name: string, body: Parameters<typeof test>[1]) =>
    test(`${kinds.join(", ")}: ${name}`, body);

  it("acknowledgements of all clients, in time and too late", async (t) => {
    const cluster = await createMixed(t, kinds);
    for (const [i, client] of cluster.clients.entries()) {
      client.on("ask", (question: unknown, reply: Answer) => reply([question, i]));
      client.on(
        "binary",
        (bytes: Uint8Array, reply: Answer) => reply({ bytes: Buffer.from(bytes) }),
      );
      client.on("mute", (reply: Answer) => i !== 1 && reply(i));
    }
    await cluster.socket(1).join("news");
    await cluster.socket(2).join("news");
    const large = "x".repeat(30_000);
    const bytes = Buffer.alloc(20_000, 7);
    for (const server of [0, 1, 2]) {
      const io = cluster.io(server);
      const all = await io.timeout(5_000).emitWithAck("ask", "who?");
      assert.deepEqual(all.sort(), [["who?", 0], ["who?", 1], ["who?", 2]]);
      const some = await io.to("news").timeout(5_000).emitWithAck("ask", large);
      assert.deepEqual(some.sort(), [[large, 1], [large, 2]]);
      const copies = await io.timeout(5_000).emitWithAck("binary", bytes);
      assert.equal(copies.length, 3);
      for (const copy of copies) assert.ok(bytes.equals(Buffer.from(copy.bytes)));
      assert.deepEqual(await io.to("nobody").timeout(5_000).emitWithAck("ask", ""), []);
      const error = await failure(io.timeout(1_000).emitWithAck("mute"));
      assert.equal(error.message, "operation has timed out");
      assert.deepEqual(error.responses?.sort(), [0, 2]);
    }
  });

  it("fetchSockets() gives each socket once", async (t) => {
    const cluster = await createMixed(t, kinds, { clients: 2 });
    await cluster.socket(1).join("news");
    await cluster.socket(4).join("news");
    cluster.socket(1).data = { name: "ü".repeat(10_000), n: 1 };
    cluster.socket(4).data = { name: "four" };
    const ids = cluster.clients.map(({ id }) => id!).sort();
    for (const server of [0, 1, 2]) {
      const io = cluster.io(server);
      const all = await io.fetchSockets();
      assert.deepEqual(all.map(({ id }) => id).sort(), ids);
      const news = await io.in("news").fetchSockets();
      assert.equal(news.length, 2);
      for (const i of [1, 4]) {
        const found = news.find(({ id }) => id === cluster.client(i).id);
        assert.deepEqual(found?.data, cluster.socket(i).data);
        assert.deepEqual([...found!.rooms].sort(), [...cluster.socket(i).rooms].sort());
        assert.equal(typeof found!.handshake.url, "string");
      }
      assert.equal((await io.local.fetchSockets()).length, 2);
    }
  });

  it("serverSideEmit() reaches the others once, with and without acknowledgements", async (t) => {
    const cluster = await createMixed(t, kinds);
    const heard: unknown[][] = [[], [], []];
    for (const i of [0, 1, 2]) {
      cluster.io(i).on("tell" as "connection", (...args: unknown[]) => void heard[i]!.push(args));
      cluster.io(i).on("ask" as "connection", (...args: unknown[]) => {
        const reply = args.pop() as Answer;
        reply({ from: i, given: (args[0] as string).length });
      });
      cluster.io(i).on("mute" as "connection", (...args: unknown[]) => {
        if (i !== 1) (args.pop() as Answer)(i);
      });
    }
    for (const server of [0, 1, 2]) {
      const others = [0, 1, 2].filter((i) => i !== server);
      for (const list of heard) list.length = 0;
      cluster.io(server).serverSideEmit("tell", server, { large: "y".repeat(9_000) });
      const { error, answers } = await asked(cluster, server, "ask", "z".repeat(9_000));
      assert.equal(error, null);
      assert.deepEqual(
        (answers as { from: number }[]).sort((a, b) => a.from - b.from),
        others.map((from) => ({ from, given: 9_000 })),
      );
      await until("the others have heard it", () => others.every((i) => heard[i]!.length > 0));
      for (const i of others) {
        assert.deepEqual(heard[i], [[server, { large: "y".repeat(9_000) }]]);
      }
      assert.deepEqual(heard[server], []);
    }
    const late = await asked(cluster, 2, "mute");
    assert.ok(late.error, "it should have timed out");
    assert.deepEqual(late.answers, [0]);
  });

  it("socketsJoin(), socketsLeave() and disconnectSockets() reach all", async (t) => {
    const cluster = await createMixed(t, kinds, { clients: 2 });
    const isIn = (room: string) =>
      cluster.clients.flatMap((_, i) => cluster.socket(i).rooms.has(room) ? [i] : []);
    for (const server of [0, 1, 2]) {
      const [room, other] = [`room ${server}`, `other ${server}`];
      cluster.io(server).socketsJoin([room, other]);
      await until("all are in the room", () => isIn(room).length === 6);
      cluster.io(server).in(cluster.client(3).id!).socketsLeave(room);
      await until("one has left", () => isIn(room).length === 5);
      cluster.io(server).in(room).except(cluster.client(0).id!).socketsLeave([room, other]);
      await until("all but two have left", () => isIn(room).length === 1);
      assert.deepEqual(isIn(room), [0]);
      assert.deepEqual(isIn(other), [0, 3]);
    }
    cluster.io(0).in(cluster.client(5).id!).disconnectSockets();
    cluster.io(2).in(cluster.client(1).id!).disconnectSockets(true);
    await until(
      "two are gone",
      () => cluster.clients.filter(({ connected }) => !connected).length === 2,
    );
    assert.ok(!cluster.client(5).connected && !cluster.client(1).connected);
  });

  it("a room that is joined and then sent to", async (t) => {
    const cluster = await createMixed(t, kinds);
    // What is to join and what is sent are two statements of theirs, on one connection here.
    cluster.io(2).in(cluster.client(0).id!).socketsJoin("fresh");
    cluster.io(2).to("fresh").emit("welcome");
    await cluster.inbox(0).count("welcome", 1);
    assert.deepEqual(await cluster.receivers("welcome"), [0]);
  });
}

test("a namespace that only some servers have: the others are not asked", async (t) => {
  const cluster = await createMixed(t, ["both", "theirs", "both"]);
  const [admin, other] = [cluster.io(0).of("/admin"), cluster.io(1).of("/admin")];
  await until(
    "both know each other there",
    async () => await admin.adapter.serverCount() === 2 && await other.adapter.serverCount() === 2,
  );
  assert.deepEqual(await admin.fetchSockets(), []);
  assert.deepEqual(await other.fetchSockets(), []);
  other.on("tell" as "connection", (...args: unknown[]) => (args.pop() as Answer)("heard"));
  const answers = await admin.serverSideEmitWithAck("tell");
  assert.deepEqual(answers, ["heard"]);
});

test("theirs, both and ours: ours and theirs hear all but each other", async (t) => {
  const cluster = await createMixed(t, ["theirs", "both", "ours"], { wait: false });
  const counts = async () =>
    await Promise.all([0, 1, 2].map((i) => cluster.io(i).of("/").adapter.serverCount()));
  await until("they know those whom they hear", async () => `${await counts()}` === "2,3,2");
  for (const i of [0, 1, 2]) cluster.io(i).emit("from", i);
  await cluster.inbox(0).count("from", 2);
  await cluster.inbox(1).count("from", 3);
  await cluster.inbox(2).count("from", 2);
  const from = (i: number) => cluster.inbox(i).of("from").flat().sort();
  assert.deepEqual([from(0), from(1), from(2)], [[0, 1], [0, 1, 2], [1, 2]]);
  assert.equal((await cluster.io(1).fetchSockets()).length, 3);
});
