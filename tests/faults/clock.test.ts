/** Row 29: clocks that jump, processes that were suspended, and ones that start again. */
import assert from "node:assert/strict";
import { startChild } from "../support/child.ts";
import { record } from "../support/figures.ts";
import { examine, merge, verify } from "../support/history.ts";
import { test } from "../support/test.ts";
import { createTraffic, QUICK } from "../support/traffic.ts";
import { until } from "../support/wait.ts";

const HOUR_MS = 3_600_000;

test("a clock that jumps by an hour, forth and back, changes nothing", async (t) => {
  const traffic = await createTraffic(t, { rate: 50, adapter: QUICK });
  const { now } = Date;
  t.after(() => Date.now = now);
  traffic.run();
  for (const jump of [HOUR_MS, -HOUR_MS, 0]) {
    Date.now = () => now() + jump;
    await traffic.more(150);
  }
  const history = await traffic.stop();
  const { sent, lost, doubled, reordered } = examine(history);
  record(29, { situation: "clock", sent, lost, doubled, reordered });
  verify(history);
  for (const event of ["node-down", "disconnect", "error"] as const) {
    assert.deepEqual(traffic.told(event), [], event);
  }
}, { deadline: 60_000 });

test(
  "a process that was suspended is missed, and misses nothing; one that starts in its place is another",
  async (t) => {
    const adapter = { ...QUICK, heartbeatTimeout: 1_000 };
    const traffic = await createTraffic(t, { size: 2, rate: 50, adapter });
    const child = await startChild(t, { uri: traffic.uri, prefix: traffic.prefix, adapter });
    await traffic.acquainted(3);
    traffic.run();
    await traffic.more(50);
    child.kill("SIGSTOP");
    await until("it is missed", () => traffic.told("node-down").length === 2, 20_000);
    const suspended = performance.now();
    await until("it stays suspended", () => performance.now() - suspended > 3_000);
    const goesOn = performance.now();
    child.kill("SIGCONT");
    await until("it is taken back", () => traffic.told("node-up", goesOn).length === 2, 20_000);
    const recover = performance.now() - goesOn;
    await traffic.acquainted(3);
    await traffic.more(50);
    const here = await traffic.stop();
    await until(
      "it has all",
      async () => await child.tell("received") >= traffic.sent,
      20_000,
    );
    const history = merge([here, await child.tell("history")]);
    const { sent, lost, doubled, reordered } = examine(history);
    record(29, { situation: "suspended", recover, sent, lost, doubled, reordered });
    verify(history);

    child.kill("SIGKILL");
    await child.gone();
    const next = await startChild(t, { uri: traffic.uri, prefix: traffic.prefix, adapter });
    assert.notEqual(next.uid, child.uid);
    await traffic.acquainted(3);
    const since = traffic.sent;
    traffic.emit();
    await until(
      "it hears the others",
      async () => await next.tell("received") === traffic.sent - since,
    );
  },
  { deadline: 90_000 },
);
