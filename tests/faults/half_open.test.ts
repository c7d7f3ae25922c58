/** Connections that are silent in one or both directions, and never say that they are dead. */
import assert from "node:assert/strict";
import type { Direction, Only } from "../support/fault_proxy.ts";
import { hears, judge } from "../support/outage.ts";
import { type Scope, test } from "../support/test.ts";
import { createTraffic, QUICK } from "../support/traffic.ts";
import { next } from "../support/wait.ts";

const LONG = { deadline: 90_000 };

/** One server of three falls into a black hole until it has noticed and more was said, then it can reach the database again. */
async function fall(t: Scope, row: number, direction: Direction | "both", only: Only) {
  const traffic = await createTraffic(t, { adapter: QUICK, rate: 67, proxied: true });
  const talker = traffic.at(0);
  traffic.run();
  await traffic.more(60);
  const since = performance.now();
  talker.proxy.blackhole(direction, only);
  const { at: noticed } = await hears(talker, "disconnect", since);
  await traffic.more(200);
  // Its own clients do not feel anything: the event is written to them before emit() returns.
  const local = next<[number]>(talker.client, "local");
  const emitted = performance.now();
  talker.io.local.emit("local", 0);
  talker.io.emit("local", 1);
  await local;
  const localMs = performance.now() - emitted;
  const passed = performance.now();
  talker.proxy.pass();
  const { at: back } = await hears(talker, "reconnect", passed);
  await traffic.more(60);
  judge(row, traffic, await traffic.stop(), {
    notice: noticed - since,
    recover: back - passed,
    local: localMs,
  });
  return { traffic, talker };
}

test("a server whose connections are silent notices, and misses nothing", async (t) => {
  await fall(t, 11, "both", {});
}, LONG);

test(
  "a listening connection on which nothing comes is noticed, and nothing is missed",
  async (t) => {
    await fall(t, 12, "down", { only: "listen" });
  },
  LONG,
);

test(
  "a publishing connection that takes everything and sends nothing on is noticed, and all is sent again",
  async (t) => {
    await fall(t, 13, "up", { only: "publish" });
  },
  LONG,
);

test(
  "a publishing connection whose answers are lost is noticed, and what was sent again comes once",
  async (t) => {
    const { traffic } = await fall(t, 13, "down", { only: "publish" });
    // What was committed without an answer was recognised by the others.
    const { duplicates } = traffic.at(1).adapter.stats().received;
    assert.ok(duplicates > 0);
  },
  LONG,
);

for (const only of ["listen", "publish", undefined] as const) {
  test(
    `a router that forgets ${
      only === undefined ? "both connections" : `the ${only}ing connection`
    } and lets new ones pass is noticed, and nothing is lost`,
    async (t) => {
      const traffic = await createTraffic(t, { adapter: QUICK, rate: 67, proxied: true });
      const talker = traffic.at(0);
      traffic.run();
      await traffic.more(60);
      const since = performance.now();
      talker.proxy.forget(only === undefined ? {} : { only });
      const { at: noticed } = await hears(talker, "disconnect", since);
      const { at: back } = await hears(talker, "reconnect", since);
      await traffic.more(60);
      judge(11, traffic, await traffic.stop(), {
        fault: `${only ?? "both"} forgotten`,
        notice: noticed - since,
        recover: back - noticed,
      });
    },
    LONG,
  );
}
