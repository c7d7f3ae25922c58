import assert from "node:assert/strict";
import { type Cluster, createCluster } from "../support/cluster.ts";
import { test } from "../support/test.ts";
import { next, within } from "../support/wait.ts";

const cycle: Record<string, unknown> = { name: "cycle" };
cycle["self"] = { deep: [cycle] };

/** What JSON cannot express. */
const NOT_ENCODABLE: Record<string, () => unknown> = {
  "a cycle": () => cycle,
  "a BigInt": () => 1n,
  "a BigInt deep inside": () => ({ a: [{ b: 2n }] }),
  "a toJSON() that throws": () => ({
    toJSON() {
      throw new Error("no");
    },
  }),
  "a getter that throws": () => ({
    get value() {
      throw new Error("no");
    },
  }),
  "nesting without end": () => {
    let value: unknown[] = [];
    for (let i = 0; i < 200_000; i++) value = [value];
    return value;
  },
};

/** The verbs that carry data. */
const VERBS: Record<string, (cluster: Cluster, value: unknown) => unknown> = {
  "io.emit()": (cluster, value) => cluster.io(0).emit("odd", value),
  "to(room).emit()": (cluster, value) => cluster.io(0).to("room").emit("odd", value),
  "socket.broadcast.emit()": (cluster, value) => cluster.socket(0).broadcast.emit("odd", value),
  "serverSideEmit()": (cluster, value) => cluster.io(0).serverSideEmit("odd", value),
  "timeout().emit()": (cluster, value) => cluster.io(0).timeout(50).emit("odd", value, () => {}),
  "serverSideEmit() with a callback": (cluster, value) =>
    cluster.io(0).serverSideEmit("odd", value, () => {}),
};

for (const [what, make] of Object.entries(NOT_ENCODABLE)) {
  test(`${what} is refused at the call, and the next emit works`, async (t) => {
    const cluster = await createCluster(t, { size: 2 });
    for (const [verb, call] of Object.entries(VERBS)) {
      assert.throws(() => call(cluster, make()), (error: Error & { code?: string }) => {
        assert.equal(error.code, "NOT_ENCODABLE", `${verb}: ${error}`);
        assert.ok(error.message.includes('"odd"'), error.message);
        return true;
      }, verb);
      cluster.io(0).emit("next", verb);
    }
    await assert.rejects(cluster.io(0).timeout(50).emitWithAck("odd", make()), {
      code: "NOT_ENCODABLE",
    });
    await assert.rejects(cluster.io(0).serverSideEmitWithAck("odd", make()), {
      code: "NOT_ENCODABLE",
    });
    const verbs = Object.keys(VERBS).map((verb) => [verb]);
    assert.deepEqual(await cluster.received("next"), [verbs, verbs]);
    assert.deepEqual(await cluster.received("odd"), [[], []]);
  });
}

test("a parser that cannot encode is an error of the call, too", async (t) => {
  const { default: parser } = await import("socket.io-msgpack-parser");
  const cluster = await createCluster(t, { size: 2, server: { parser }, client: { parser } });
  assert.throws(() => cluster.io(0).emit("odd", cycle), { code: "NOT_ENCODABLE" });
  cluster.io(0).emit("next");
  assert.deepEqual(await cluster.receivers("next"), [0, 1]);
});

const LIMIT = 100_000;

/** Packets well over the limit; all of them count in bytes. */
const TOO_LARGE: Record<string, unknown> = {
  "text": "x".repeat(LIMIT + 1),
  "text of four bytes a character": "🎉".repeat(LIMIT / 4 + 1),
  "text of two bytes a character": "ü".repeat(LIMIT / 2 + 1),
  "binary": Buffer.alloc(LIMIT + 1),
  "several binaries": [Buffer.alloc(LIMIT / 2), { more: Buffer.alloc(LIMIT / 2 + 1) }],
  "an ArrayBuffer": new ArrayBuffer(LIMIT + 1),
};

for (const [what, value] of Object.entries(TOO_LARGE)) {
  test(`${what} over maxPayload is an error that names both, and goes to local clients`, async (t) => {
    const cluster = await createCluster(t, { adapter: { maxPayload: LIMIT } });
    await cluster.socket(1).join("room");
    for (const target of [cluster.io(1), cluster.io(1).to("room"), cluster.io(1).except("none")]) {
      target.emit("large", value);
      const [error] = cluster.errors.splice(0) as (Error & { code: string })[];
      assert.equal(error?.code, "PAYLOAD_TOO_LARGE");
      assert.ok(error?.message.includes(String(LIMIT)), error?.message);
      assert.match(String(error?.message), /maxPayload/);
    }
    cluster.io(1).emit("next");
    assert.deepEqual(await cluster.receivers("next"), [0, 1, 2]);
    assert.deepEqual(await cluster.receivers("large"), [1, 1, 1]);
  });
}

test("just below maxPayload everything passes", async (t) => {
  const cluster = await createCluster(t, { adapter: { maxPayload: LIMIT } });
  const below = LIMIT - 100;
  cluster.io(0).emit("fits", "x".repeat(below));
  cluster.io(0).emit("fits", "🎉".repeat(below / 4));
  cluster.io(0).emit("fits", Buffer.alloc(below));
  for (const messages of await cluster.received("fits")) assert.equal(messages.length, 3);
});

test("servers' events and questions over maxPayload are errors, too", async (t) => {
  const cluster = await createCluster(t, { size: 2, adapter: { maxPayload: LIMIT } });
  const large = "x".repeat(LIMIT + 1);
  const codes = () => cluster.errors.splice(0).map((error) => (error as { code?: string }).code);
  let heard = 0;
  cluster.io(1).on("large", () => heard++);
  cluster.io(0).serverSideEmit("large", large);
  assert.deepEqual(codes(), ["PAYLOAD_TOO_LARGE"]);
  await assert.rejects(cluster.io(0).timeout(200).emitWithAck("large", large));
  assert.deepEqual(codes(), ["PAYLOAD_TOO_LARGE"]);
  assert.deepEqual(await cluster.receivers("large"), [0]);
  assert.equal(heard, 0);
});

test("a question that cannot be sent is answered at once", async (t) => {
  const adapter = { maxPayload: LIMIT, requestsTimeout: 60_000 };
  const cluster = await createCluster(t, { size: 2, adapter });
  const rooms = Array.from({ length: 3_000 }, (_, i) => `${i}`.repeat(150));
  await assert.rejects(cluster.io(0).in(rooms).fetchSockets(), {
    code: "REQUEST_FAILED",
    message: /fetchSockets\(\).*could not be sent/,
  });
  const [error] = cluster.errors.splice(0) as (Error & { code: string })[];
  assert.equal(error?.code, "PAYLOAD_TOO_LARGE");
  assert.equal((await cluster.io(0).fetchSockets()).length, 2);
});

test("an answer of many times maxPayload comes whole, or is an error, and soon", async (t) => {
  const cluster = await createCluster(t, {
    size: 2,
    adapter: { maxPayload: LIMIT, requestsTimeout: 60_000 },
  });
  const large = "x".repeat(LIMIT * 50);
  const settles = async (request: Promise<unknown>, isWhole: (answer: unknown) => boolean) => {
    try {
      assert.ok(isWhole(await within(10_000, "the answer", request)), "a part of the answer");
    } catch (error) {
      assert.equal((error as { code?: string }).code, "REQUEST_FAILED", String(error));
    }
  };
  cluster.socket(1).data = { large };
  const whole = (sockets: unknown) =>
    (sockets as { data: { large?: string } }[]).some(({ data }) => data.large === large);
  await settles(cluster.io(0).fetchSockets(), whole);
  cluster.io(1).on("ask", (answer: (value: string) => void) => answer(large));
  const answer = cluster.io(0).serverSideEmitWithAck("ask");
  await settles(answer, (answers) => (answers as unknown[])[0] === large);
  cluster.errors.splice(0);
});

test("a client that is sent something odd by a client's handler is not harmed", async (t) => {
  const cluster = await createCluster(t, { size: 2 });
  cluster.socket(0).on("relay", (value: unknown) => cluster.io(0).emit("relayed", value));
  const relayed = next(cluster.client(1), "relayed");
  cluster.client(0).emit("relay", { __proto__: null, constructor: 1, toJSON: 2, then: 3 });
  assert.deepEqual(await relayed, [{ constructor: 1, toJSON: 2, then: 3 }]);
});
