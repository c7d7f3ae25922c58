import assert from "node:assert/strict";
import type { Notification } from "../../src/emitter.ts";
import { Emitter } from "../../src/emitter.ts";
import { both, emitterTo, receivedBy, twoServers } from "../support/emitting.ts";
import { connectSql } from "../support/sql.ts";
import { test } from "../support/test.ts";

/** Notes what it is asked to send, and sends nothing. */
function noted(fails?: () => boolean) {
  const calls: (readonly Notification[])[] = [];
  return {
    calls,
    send(items: readonly Notification[]) {
      calls.push(items);
      return fails?.() ? Promise.reject(new Error("refused")) : Promise.resolve();
    },
  };
}

test("a batch goes in one statement, in order, whatever its size, and gives what its callback returns", async (t) => {
  const cluster = await twoServers(t);
  const statements: string[] = [];
  const sql = connectSql(t, cluster.uri);
  const emitter = emitterTo(t, cluster, {
    unsafe: (text: string, parameters: string[]) => {
      statements.push(text);
      return sql.unsafe(text, parameters);
    },
  });
  const result = await emitter.batch(async (batch) => {
    for (let n = 0; n < 2_000; n++) {
      await batch.emit("n", n, "x".repeat(n % 500));
      if (n % 100 === 0) batch.of("/other").emit("n", -1);
    }
    await batch.to(cluster.client(0).id ?? "").emit("one");
    return "what it returns";
  });
  assert.equal(result, "what it returns");
  assert.equal(statements.length, 1);
  const numbers = (await receivedBy(cluster, "n")).map((each) => each.map(([n]) => n));
  assert.deepEqual(numbers, both(Array.from({ length: 2_000 }, (_, n) => n)));
  assert.deepEqual(await receivedBy(cluster, "one"), [[[]], []]);
});

test("nothing of a batch is sent when its callback throws, or when one message is refused", async (t) => {
  const cluster = await twoServers(t);
  const emitter = emitterTo(t, cluster);
  const failures: [fill: Parameters<Emitter["batch"]>[0], RegExp][] = [
    [(batch) => {
      batch.emit("never");
      throw new Error("thrown");
    }, /thrown/],
    [async (batch) => {
      await batch.emit("never");
      await Promise.reject(new Error("rejected"));
    }, /rejected/],
    [(batch) => {
      batch.emit("never");
      batch.emit("odd", 1n);
      batch.emit("never");
    }, /"odd"/],
    [(batch) => void batch.of("/").to("a").emit("connect"), /"connect"/],
  ];
  for (const [fill, message] of failures) await assert.rejects(emitter.batch(fill), { message });
  const [[unheard]] = failures as [(typeof failures)[0]];
  emitter.batch(unheard);
  await emitter.batch((batch) => void batch.emit("next"));
  assert.deepEqual(await receivedBy(cluster, "next"), both([[]]));
  assert.deepEqual(await receivedBy(cluster, "never"), both([]));
});

test("a batch is rejected when its statement is, and is over when its callback is", async () => {
  let fails = true;
  const transport = noted(() => fails);
  const emitter = new Emitter(transport);
  await assert.rejects(emitter.batch((batch) => void batch.emit("a")), {
    code: "PUBLISH_FAILED",
    message: /refused/,
  });
  fails = false;
  const kept = await emitter.batch((batch) => {
    batch.emit("a");
    return [batch];
  });
  await assert.rejects(kept[0]!.emit("late"), { code: "CLOSED", message: /batch/ });
  await emitter.batch(() => {});
  assert.equal(transport.calls.length, 2);
  await emitter.close();
  await assert.rejects(emitter.batch((batch) => void batch.emit("a")), { code: "CLOSED" });
  assert.equal(transport.calls.length, 2);
});

test("a batch keeps its place among what is emitted before and after it", async (t) => {
  const cluster = await twoServers(t);
  const emitter = emitterTo(t, cluster);
  emitter.emit("n", 0);
  emitter.batch((batch) => {
    for (const n of [1, 2, 3]) batch.emit("n", n);
  });
  await emitter.flush();
  let go!: () => void;
  const waits = new Promise<void>((resolve) => go = resolve);
  const slow = emitter.batch(async (batch) => {
    batch.emit("n", 5);
    await waits;
    batch.emit("n", 6);
  });
  await emitter.emit("n", 4);
  go();
  await slow;
  await emitter.emit("n", 7);
  const numbers = (await receivedBy(cluster, "n")).map((each) => each.map(([n]) => n));
  assert.deepEqual(numbers, both([0, 1, 2, 3, 4, 5, 6, 7]));
});

test("a batch of more than maxBuffer is refused", async () => {
  const transport = noted();
  const emitter = new Emitter(transport, { maxBuffer: 10_000 });
  const refusal = { code: "BUFFER_FULL", message: /"maxBuffer" is 10000/ };
  await assert.rejects(
    emitter.batch((batch) => {
      for (let n = 0; n < 3; n++) batch.emit("n", "x".repeat(5_000));
    }),
    refusal,
  );
  assert.equal(transport.calls.length, 0);
  // As outside of a batch, one message is always taken.
  await emitter.batch((batch) => void batch.emit("n", "x".repeat(20_000)));
  assert.equal(transport.calls.length, 1);
});
