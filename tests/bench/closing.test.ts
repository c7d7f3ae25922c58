/** What a benchmark has started is ended once, and whoever waits for that waits for all of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { closeAll, isInterrupted, keep } from "../../scripts/bench/closing.ts";

test("processes end before their databases, and a second call waits for the first", async () => {
  const told: string[] = [];
  let stop = () => {};
  const stopped = new Promise<void>((resolve) => stop = resolve);
  keep({
    async stop() {
      told.push("database");
      await stopped;
      told.push("database is gone");
    },
  });
  keep({
    async end() {
      told.push("servers");
      await Promise.resolve();
      told.push("servers are gone");
    },
  });
  const first = closeAll();
  const second = closeAll().then(() => told.push("second"));
  stop();
  await Promise.all([first, second]);
  assert.deepEqual(told, [
    "servers",
    "servers are gone",
    "database",
    "database is gone",
    "second",
  ]);
});

test("one that fails to stop keeps no other from it", async () => {
  const told: string[] = [];
  keep({ stop: () => Promise.reject(new Error("it does not stop")) });
  keep({
    stop() {
      told.push("other");
      return Promise.resolve();
    },
  });
  await closeAll();
  assert.deepEqual(told, ["other"]);
});

test("what is started after an interruption is ended at once", async () => {
  await closeAll(true);
  assert.equal(isInterrupted(), true);
  let isEnded = false;
  keep({
    end() {
      isEnded = true;
      return Promise.resolve();
    },
  });
  assert.equal(isEnded, true);
});
