import assert from "node:assert/strict";
import { Emitter, type Notification } from "../../src/emitter.ts";
import { decodeFrame } from "../../src/wire/frame.ts";
import { both, emitterTo, receivedBy, twoServers } from "../support/emitting.ts";
import { connectSql } from "../support/sql.ts";
import { test } from "../support/test.ts";

const MANY = 100_000;

test(
  "100,000 emits that nobody awaits share few statements and arrive complete and in order",
  async (t) => {
    const cluster = await twoServers(t);
    const sql = connectSql(t, cluster.uri);
    let statements = 0;
    const emitter = emitterTo(t, cluster, {
      unsafe: (text: string, parameters: string[], options?: { prepare?: boolean }) => {
        statements++;
        return sql.unsafe(text, parameters, options);
      },
    });
    for (let n = 0; n < MANY; n++) emitter.emit("n", n);
    await emitter.flush();
    assert.ok(statements < 100, `${statements} statements`);
    // A hundred thousand for two clients take a slow machine longer than a mark does otherwise.
    const numbers = (await receivedBy(cluster, "n", 80_000)).map((each) => each.map(([n]) => n));
    assert.deepEqual(numbers, both(Array.from({ length: MANY }, (_, n) => n)));
  },
  { deadline: 120_000 },
);

test("emits to namespaces in turn share statements that are prepared", async () => {
  const sizes: number[] = [];
  const emitter = new Emitter({
    send: (items: readonly Notification[]) => {
      sizes.push(items.length);
      return Promise.resolve();
    },
  });
  for (let n = 0; n < 3_000; n++) emitter.of(`/${n % 3}`).emit("n", n);
  await emitter.flush();
  assert.equal(sizes.reduce((sum, size) => sum + size), 3_000);
  assert.ok(Math.max(...sizes) <= 128 && sizes.length <= 3_000 / 100, String(sizes));
});

test("what waits is bounded by maxBuffer: the newest is refused, and the rest is sent in order", async () => {
  let release!: () => void;
  const held = new Promise<void>((resolve) => release = resolve);
  const sent: readonly Notification[][] = [];
  const emitter = new Emitter({
    async send(items: readonly Notification[]) {
      (sent as Notification[][]).push([...items]);
      await held;
    },
  }, { maxBuffer: 100_000 });
  const results = Array.from({ length: 1_000 }, (_, n) => emitter.emit("n", n, "x".repeat(1_000)));
  const settled = Promise.allSettled(results);
  emitter.emit("unheard", "x".repeat(1_000));
  await assert.rejects(emitter.emit("n", "x".repeat(1_000)), {
    code: "BUFFER_FULL",
    message: /"maxBuffer" is 100000/,
  });
  release();
  const states = (await settled).map(({ status }) => status);
  const taken = states.indexOf("rejected");
  assert.ok(taken > 80 && taken < 100, `${taken} taken`);
  assert.ok(states.slice(taken).every((status) => status === "rejected"));
  const sequences = sent.flat().map(({ payload }) => decodeFrame(payload).sequence);
  assert.deepEqual(sequences, sequences.map((_, i) => i + 1));
  const all = sent.flat().map(({ payload }) => payload).join("");
  assert.equal(all.match(/"n",\d+/g)?.length, taken);
  // There is room again, and a message that is larger than the bound is taken when nothing waits.
  await emitter.emit("n", "x".repeat(200_000));
});

test("flush() waits for what was emitted before it, and not for what comes later", async () => {
  const release: (() => void)[] = [];
  const emitter = new Emitter({
    send: () => new Promise<void>((resolve) => release.push(resolve)),
  });
  const events: string[] = [];
  await emitter.flush();
  const first = emitter.emit("a").then(() => events.push("first"));
  const flushed = emitter.flush().then(() => events.push("flushed"));
  await Promise.resolve();
  const second = emitter.emit("b").then(() => events.push("second"));
  while (release.length === 0) await Promise.resolve();
  release[0]!();
  await Promise.all([first, flushed]);
  assert.deepEqual(events, ["first", "flushed"]);
  while (release.length === 1) await Promise.resolve();
  release[1]!();
  await second;
});
