import assert from "node:assert/strict";
import { MAX_BODY_BYTES, MAX_PAYLOAD_BYTES } from "../../src/wire/frame.ts";
import { splitNumber } from "../../src/wire/logged.ts";
import { type Cluster, createCluster } from "../support/cluster.ts";
import { listenTo } from "../support/sql.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

/** Emits all values in one go, and checks that every client has them, unchanged and in order. */
async function roundTrip(cluster: Cluster, event: string, values: readonly string[]) {
  for (const value of values) cluster.io(0).emit(event, value);
  await cluster.settled(60_000);
  for (const i of cluster.clients.keys()) {
    const received = cluster.inbox(i).of(event).map(([value]) => value as string);
    assert.equal(received.length, values.length, `client ${i}`);
    const wrong = values.findIndex((value, at) => received[at] !== value);
    assert.equal(wrong, -1, `client ${i}, number ${wrong} of ${values[wrong]?.length} characters`);
  }
}

test(
  "payloads of every size around the largest that PostgreSQL takes, in characters of one to four bytes",
  async (t) => {
    const cluster = await createCluster(t);
    const heard = await listenTo(t, cluster.uri, [`${cluster.prefix}:/`]);
    cluster.io(0).emit("e", "");
    const first = () => heard.find(({ payload }) => payload.includes('"e"'))?.payload;
    await until("the first one was heard", first);
    const overhead = Buffer.byteLength(first() ?? "");
    for (const character of ["x", "ß", "漢", "🎉"]) {
      const size = Buffer.byteLength(character);
      const values: string[] = [];
      // More digits in the head make it a little longer, so the edge is passed over slowly.
      for (let bytes = 7_960 - overhead; bytes <= 8_010 - overhead; bytes++) {
        values.push(character.repeat(bytes / size) + ".".repeat(bytes % size));
      }
      for (const [at, value] of values.entries()) {
        // One at a time, so that no two share a frame.
        await roundTrip(cluster, `${character}${at}`, [value]);
      }
    }
    await until(
      "chunks were heard",
      () => heard.some(({ payload }) => splitNumber(payload).frame.startsWith("1c")),
    );
    const sizes = heard.map(({ payload }) => Buffer.byteLength(payload));
    assert.ok(Math.max(...sizes) <= MAX_PAYLOAD_BYTES);
    assert.ok(Math.max(...sizes) > MAX_BODY_BYTES, `${Math.max(...sizes)} bytes at most`);
  },
  { deadline: 120_000 },
);

test("a character of four bytes at every place around the edge of a chunk", async (t) => {
  const cluster = await createCluster(t);
  const values = Array.from({ length: 160 }, (_, shift) => {
    const before = "x".repeat(MAX_BODY_BYTES - 120 + shift);
    return `${before}🎉${"y".repeat(MAX_BODY_BYTES - 10)}🎉🎉`;
  });
  await roundTrip(cluster, "emoji", values);
});

test("half a pair and NUL at every place around the edge of a chunk", async (t) => {
  const cluster = await createCluster(t);
  for (const odd of ["\0", "\ud83c", "\udf89", "\ufeff", "\uffff"]) {
    const values = Array.from({ length: 100 }, (_, shift) => {
      return `${"x".repeat(MAX_BODY_BYTES - 80 + shift)}${odd}🎉${"y".repeat(MAX_BODY_BYTES)}`;
    });
    await roundTrip(cluster, `odd ${odd.charCodeAt(0)}`, values);
  }
}, { deadline: 60_000 });

test("equal payloads of one moment arrive as many", async (t) => {
  const cluster = await createCluster(t);
  for (const size of [0, 5, 4_000, 7_900, 20_000]) {
    await roundTrip(cluster, `equal ${size}`, Array(30).fill("x".repeat(size)));
  }
  for (let times = 0; times < 50; times++) {
    cluster.io(0).emit("both", 1);
    // What lies between is another channel, so that each is a payload of its own.
    cluster.io(0).of("/other").emit("both", 1);
  }
  assert.deepEqual(
    (await cluster.received("both")).map((messages) => messages.length),
    [50, 50, 50],
  );
});

test("a time limit that is no whole number of milliseconds travels, too", async (t) => {
  const cluster = await createCluster(t);
  for (const client of cluster.clients) client.on("ask", (answer) => answer("fine"));
  for (const ms of [5_000.5, 2 ** 31 - 1.5]) {
    const answers = await cluster.io(0).timeout(ms).emitWithAck("ask");
    assert.deepEqual(answers, ["fine", "fine", "fine"]);
  }
});
