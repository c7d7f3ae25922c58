import assert from "node:assert/strict";
import { createCluster, knowEachOther } from "../support/cluster.ts";
import { test } from "../support/test.ts";

/** A generator of the same numbers in every run, so that a failure can be repeated. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor(state / 2 ** 32 * below);
  };
}

test("a 100 KB message, a small one and a binary one arrive in this order", async (t) => {
  const cluster = await createCluster(t);
  const large = "x".repeat(100_000);
  for (let round = 0; round < 20; round++) {
    cluster.io(0).emit("large", large);
    cluster.io(0).emit("small", round);
    cluster.io(0).emit("binary", Buffer.from([round]));
  }
  await cluster.settled();
  const expected = Array(20).fill(["large", "small", "binary"]).flat();
  for (const i of [0, 1, 2]) assert.deepEqual(cluster.inbox(i).events, expected);
});

test("order holds over namespaces and rooms, in both subscription modes", async (t) => {
  for (const subscriptionMode of ["static", "dynamic"] as const) {
    const cluster = await createCluster(t, { adapter: { subscriptionMode } });
    // What is handed to a client, whatever the namespace, goes through one connection: its order shows.
    const order: unknown[][] = [[], [], []];
    for (const [i, seen] of order.entries()) {
      for (const nsp of ["/", "/one", "/two"]) cluster.io(i).of(nsp);
      const { io: manager } = cluster.client(i);
      for (const nsp of ["/one", "/two"]) {
        const client = manager.socket(nsp);
        await new Promise<void>((resolve) => client.on("connect", resolve));
        client.on("n", (n: number) => seen.push(n));
        const socket = cluster.io(i).of(nsp).sockets.get(client.id ?? "");
        await socket?.join(["a", "b"]);
      }
      cluster.client(i).on("n", (n: number) => seen.push(n));
      await cluster.socket(i).join(["a", "b"]);
    }
    for (const nsp of ["/one", "/two"]) await knowEachOther(cluster.servers, nsp);
    const random = numbers(7);
    const filler = "x".repeat(30_000);
    for (let n = 0; n < 600; n++) {
      const nsp = cluster.io(1).of(["/", "/one", "/two"][random(3)] ?? "/");
      const target = [nsp, nsp.to("a"), nsp.to("b"), nsp.to(["a", "b"])][random(4)] ?? nsp;
      target.emit(
        "n",
        n,
        random(10) === 0 ? filler : random(10) === 0 ? Buffer.alloc(9_000) : null,
      );
    }
    await cluster.settled();
    for (const seen of order) assert.deepEqual(seen, Array.from({ length: 600 }, (_, n) => n));
  }
});

test("requests and their effects keep their place among events", async (t) => {
  const cluster = await createCluster(t);
  for (let round = 0; round < 50; round++) {
    cluster.io(0).socketsJoin("on");
    cluster.io(0).to("on").emit("round", round, "x".repeat(round * 500));
    cluster.io(0).socketsLeave("on");
    cluster.io(0).to("on").emit("never", round);
  }
  await cluster.settled();
  for (const i of [0, 1, 2]) {
    assert.deepEqual(cluster.inbox(i).of("round").map(([n]) => n), Array.from(Array(50).keys()));
    assert.deepEqual(cluster.inbox(i).of("never"), []);
  }
});

test("three servers at once: the messages of each arrive in their order", async (t) => {
  const cluster = await createCluster(t);
  const random = numbers(3);
  for (let n = 0; n < 1_000; n++) {
    for (const i of [0, 1, 2]) {
      cluster.io(i).emit("n", i, n, random(20) === 0 ? "x".repeat(random(40_000)) : "");
    }
    if (n % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await cluster.settled();
  const expected = Array.from({ length: 1_000 }, (_, n) => n);
  for (const client of [0, 1, 2]) {
    const messages = cluster.inbox(client).of("n");
    for (const i of [0, 1, 2]) {
      const ofServer = messages.filter(([server]) => server === i).map(([, n]) => n);
      assert.deepEqual(ofServer, expected, `client ${client}, server ${i}`);
    }
  }
});

test("a burst of 20,000 emits of mixed sizes arrives complete and in order", async (t) => {
  const cluster = await createCluster(t);
  const random = numbers(1);
  const filler = "0123456789".repeat(10_000);
  const lengths: number[] = [];
  for (let n = 0; n < 20_000; n++) {
    const kind = random(1_000);
    const length = random(kind < 900 ? 100 : kind < 990 ? 1_500 : kind < 999 ? 20_000 : 100_000);
    lengths.push(length);
    const data = kind % 10 === 0 ? Buffer.from(filler.slice(0, length)) : filler.slice(0, length);
    cluster.io(0).emit("burst", n, data);
  }
  await cluster.settled(90_000);
  for (const i of [0, 1, 2]) {
    const messages = cluster.inbox(i).of("burst") as [number, string | Uint8Array][];
    assert.equal(messages.length, 20_000);
    const wrong = messages.findIndex(([n, data], at) => n !== at || data.length !== lengths[at]);
    assert.equal(wrong, -1, `client ${i}: ${JSON.stringify(messages[wrong])?.slice(0, 100)}`);
  }
}, { deadline: 120_000 });
