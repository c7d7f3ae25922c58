/** A server in a process of its own does what it is told. */
import assert from "node:assert/strict";
import { startChild } from "../support/child.ts";
import { merge, verify } from "../support/history.ts";
import { test } from "../support/test.ts";
import { createTraffic, QUICK } from "../support/traffic.ts";
import { until } from "../support/wait.ts";

test("a child talks with servers here, is blocked, and leaves by itself", async (t) => {
  const traffic = await createTraffic(t, { size: 1, adapter: QUICK, maxSize: 10_000 });
  const { uri, prefix } = traffic;
  const child = await startChild(t, { uri, prefix, adapter: QUICK, maxSize: 10_000, rate: 50 });
  await traffic.acquainted(2);
  await child.tell("run");
  traffic.run();
  await traffic.more(100);
  await child.tell("pause");
  traffic.pause();
  await child.tell("emit", 3);
  const { sent } = await child.tell("history");
  await until(
    "both have all",
    async () => {
      const count = sent.length + traffic.sent;
      return traffic.at(0).received.length === count && await child.tell("received") === count;
    },
  );
  verify(merge([traffic.history(), await child.tell("history")]));
  const start = performance.now();
  await child.tell("block", 300);
  assert.ok(performance.now() - start >= 300);
  assert.equal((await child.tell("fetchSockets")).length, 2);
  assert.equal((await child.tell("stats")).nodes.length, 1);
  await child.tell("leave");
  await child.gone();
  assert.deepEqual(child.ended, { code: 0, signal: null });
  await assert.rejects(child.tell("stats"), /has ended/);
  await traffic.acquainted(1);
});

test("a child is stopped, goes on, and is killed", async (t) => {
  const traffic = await createTraffic(t, { size: 1, adapter: QUICK });
  const child = await startChild(t, { uri: traffic.uri, prefix: traffic.prefix, adapter: QUICK });
  child.kill("SIGSTOP");
  let isAnswered = false;
  const answer = child.tell("received").then(() => isAnswered = true);
  traffic.emit();
  await until("the message is here", () => traffic.at(0).received.length === 1);
  assert.equal(isAnswered, false);
  child.kill("SIGCONT");
  await answer;
  await until("the message is there", async () => await child.tell("received") === 1);
  child.kill("SIGKILL");
  await child.gone();
  assert.equal(child.ended?.signal, "SIGKILL");
});
