/** Processes that stand still, die, or leave, while others go on. */
import assert from "node:assert/strict";
import { type Child, startChild } from "../support/child.ts";
import type { ChildOptions } from "../support/child_server.ts";
import { FaultProxy } from "../support/fault_proxy.ts";
import { record } from "../support/figures.ts";
import { examine, merge, verify } from "../support/history.ts";
import { hears } from "../support/outage.ts";
import { type Scope, test } from "../support/test.ts";
import { createTraffic, noSessionsLeft, QUICK, type Traffic } from "../support/traffic.ts";
import { until, within } from "../support/wait.ts";

const LONG = { deadline: 90_000 };

/** Two servers here and one in a process of its own. */
async function withChild(
  t: Scope,
  options: Partial<ChildOptions> = {},
): Promise<{ traffic: Traffic; child: Child }> {
  const adapter = { ...QUICK, ...options.adapter };
  const traffic = await createTraffic(t, { size: 2, rate: 50, adapter });
  const { uri, prefix } = traffic;
  const child = await startChild(t, { uri, prefix, rate: 50, ...options, adapter });
  await traffic.acquainted(3);
  return { traffic, child };
}

/** Stops all talk and gives the history of both processes once everything has arrived, or does not any more. */
async function settled(traffic: Traffic, child: Child) {
  await child.tell("pause");
  traffic.pause();
  traffic.emit();
  await child.tell("emit", 1);
  const count = traffic.sent + (await child.tell("history")).sent.length;
  // What is missing is for the history to tell.
  await until(
    "everyone has all",
    async () =>
      traffic.talkers.every(({ received }) => received.length >= count) &&
      await child.tell("received") >= count,
    10_000,
  ).catch(() => {});
  return merge([traffic.history(), await child.tell("history")]);
}

for (const { ms, isAlarm } of [{ ms: 1_500, isAlarm: false }, { ms: 4_000, isAlarm: true }]) {
  test(
    `a process that stands still for ${ms} ms ${
      isAlarm ? "is missed and comes back" : "alarms nobody"
    }, and misses nothing`,
    async (t) => {
      const { traffic, child } = await withChild(t, { adapter: { heartbeatTimeout: 2_500 } });
      traffic.run();
      await child.tell("run");
      await traffic.more(50);
      const since = performance.now();
      await child.tell("block", ms);
      await traffic.more(50);
      if (isAlarm) {
        await hears(traffic.at(0), "node-down", since);
        await hears(traffic.at(0), "node-up", since);
      }
      await traffic.acquainted(3);
      const history = await settled(traffic, child);
      const { sent, lost, doubled, reordered } = examine(history);
      const disconnects = child.heard.filter(({ event }) => event === "disconnect").length;
      const down = traffic.told("node-down").length;
      record(15, { blocked: ms, sent, lost, doubled, reordered, disconnects, "node-down": down });
      if (!isAlarm) assert.deepEqual({ disconnects, down }, { disconnects: 0, down: 0 });
      verify(history);
    },
    LONG,
  );
}

test(
  "a process that is killed is missed in time, and nobody waits for it any longer",
  async (t) => {
    const { traffic, child } = await withChild(t, { adapter: { requestsTimeout: 20_000 } });
    const { io, client } = traffic.at(0);
    const ids = [client.id, traffic.at(1).client.id].sort();
    assert.equal((await io.fetchSockets()).length, 3);
    traffic.run();
    await traffic.more(20);
    child.kill("SIGSTOP");
    const pending = io.serverSideEmitWithAck("nobody answers").then(() => "complete", (error) => {
      return (error as { code?: string }).code ?? "ERR";
    });
    const since = performance.now();
    child.kill("SIGKILL");
    await child.gone();
    const { at } = await hears(traffic.at(0), "node-down", since);
    await hears(traffic.at(1), "node-down", since);
    assert.deepEqual((await io.fetchSockets()).map(({ id }) => id).sort(), ids);
    // The other server here does not answer that event either.
    traffic.pause();
    record(27, { notice: at - since });
    const { told } = traffic.at(0);
    assert.deepEqual(
      told.filter(({ event }) => event === "node-down").map(({ detail }) => detail),
      [
        child.uid,
      ],
    );
    await traffic.at(1).node.close();
    const outcome = await within(10_000, "the pending request", pending);
    assert.equal(outcome, "complete");
  },
  LONG,
);

test("a process that closes is gone at once, and for good", async (t) => {
  // So long that it is not missed for its silence.
  const { traffic, child } = await withChild(t, { adapter: { heartbeatTimeout: 20_000 } });
  await child.tell("run");
  traffic.run();
  await traffic.more(50);
  const since = performance.now();
  await child.tell("close");
  const closed = performance.now();
  const gone = await Promise.all(
    traffic.talkers.map(async (talker) => (await hears(talker, "node-down", since, 10_000)).at),
  );
  assert.equal((await traffic.at(0).io.fetchSockets()).length, 2);
  // For as long as several heartbeats of the others take nothing is heard of it.
  const { received } = traffic.at(0).adapter.stats();
  await traffic.stop();
  const { sent } = await child.tell("history");
  await until(
    "everything that it sent before has come",
    () => traffic.talkers.every(({ counts }) => counts.get(child.uid) === sent.length),
  );
  await until(
    "heartbeats have come",
    () => traffic.at(0).adapter.stats().received.messages >= received.messages + 10,
  );
  assert.deepEqual(
    traffic.told("node-up", since).filter(({ detail }) => detail === child.uid),
    [],
  );
  assert.equal(await traffic.at(0).io.of("/").adapter.serverCount(), 2);
  record(28, { close: closed - since, notice: Math.max(...gone) - since });
  // What it sent is not in the history of those here.
  verify(merge([traffic.history(), { sent, received: {}, gaps: [] }]));
  await child.tell("leave");
  await child.gone();
  assert.deepEqual(child.ended, { code: 0, signal: null });
}, LONG);

test("a process whose connections are dead closes in time and ends", async (t) => {
  const { traffic } = await withChild(t);
  const { uri, prefix } = traffic;
  const situations = {
    "connected": () => {},
    "half-open": (proxy: FaultProxy) => proxy.blackhole(),
    "in backoff": async (proxy: FaultProxy, child: Child) => {
      await proxy.refuse();
      proxy.cut("rst");
      await child.hears("disconnect");
    },
    "connecting": async (proxy: FaultProxy, child: Child) => {
      proxy.blackhole();
      proxy.cut("rst");
      await child.hears("disconnect");
      const { accepted } = proxy;
      await until("it connects", () => proxy.accepted > accepted);
    },
  };
  for (const [situation, bring] of Object.entries(situations)) {
    const proxy = await FaultProxy.start(uri);
    t.after(() => proxy.close());
    const adapter = { ...QUICK, closeTimeout: 1_000 };
    const child = await startChild(t, { uri: proxy.uri, prefix, adapter });
    await bring(proxy, child);
    await child.tell("emit", 3);
    const since = performance.now();
    await child.tell("leave");
    const close = performance.now() - since;
    await child.gone(5_000);
    const exit = performance.now() - since - close;
    record(14, { situation, close, exit });
    assert.equal(child.ended?.code, 0);
    // closeTimeout, and what the machine takes.
    assert.ok(close < 3_000, `closing took ${close} ms ${situation}`);
    await proxy.accept();
    proxy.pass();
    await noSessionsLeft(uri, [child.uid]);
    await proxy.close();
  }
}, LONG);
