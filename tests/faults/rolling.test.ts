/** Servers that come and go, as deployments and crashes make them, while the others talk and ask. */
import assert from "node:assert/strict";
import { startChild } from "../support/child.ts";
import { databaseUri } from "../support/database.ts";
import { record } from "../support/figures.ts";
import { Fleet, type Member } from "../support/fleet.ts";
import { hears, judge } from "../support/outage.ts";
import { type Scope, test } from "../support/test.ts";
import { createTraffic, QUICK } from "../support/traffic.ts";
import { until } from "../support/wait.ts";

const LONG = { deadline: 120_000 };

/** Asks all the time, until it is told to stop; what came of it, and how long the slowest took. */
class Asker {
  readonly failures: unknown[] = [];
  readonly answers: { at: number; fetched: number; answered: number }[] = [];
  slowest = 0;
  #isStopped = false;
  readonly #done: Promise<unknown>;

  constructor(io: Member["io"], parallel = 1) {
    const ask = async () => {
      while (!this.#isStopped) {
        const at = performance.now();
        try {
          const [sockets, answers] = await Promise.all([
            io.fetchSockets(),
            io.serverSideEmitWithAck("ask"),
          ]);
          this.answers.push({ at, fetched: sockets.length, answered: answers.length });
        } catch (failure) {
          this.failures.push(failure);
        }
        this.slowest = Math.max(this.slowest, performance.now() - at);
        // Otherwise nothing else would get its turn.
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    };
    this.#done = Promise.all(Array.from({ length: parallel }, ask));
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#done;
  }
}

function answers(member: Pick<Member, "io">): void {
  member.io.on("ask", (answer: (text: string) => void) => answer("here"));
}

for (const subscriptionMode of ["static", "dynamic"] as const) {
  test(
    `eight servers are replaced one after another, and those that stay miss nothing (${subscriptionMode})`,
    async (t) => {
      const fleet = new Fleet(t, await databaseUri());
      const askers = new Map<Member, Asker>();
      t.after(() => Promise.all([...askers.values()].map((asker) => asker.stop())));
      const start = async () => {
        const member = await fleet.start({ subscriptionMode }, answers);
        askers.set(member, new Asker(member.io));
        return member;
      };
      for (let i = 0; i < 8; i++) await start();
      fleet.run(25);
      await fleet.more(200);
      const old = fleet.open;
      let longestClose = 0;
      for (const member of old) {
        const stays = fleet.open.filter((other) => other !== member);
        await askers.get(member)!.stop();
        const since = performance.now();
        // What is emitted right before is promised, too.
        fleet.emit();
        await fleet.close(member);
        longestClose = Math.max(longestClose, performance.now() - since);
        const fresh = await start();
        for (const { told } of stays) {
          await until(
            "all have noticed",
            () =>
              told.some(({ event, detail, at }) =>
                event === "node-down" && detail === member.uid && at >= since
              ) && told.some(({ event, detail }) => event === "node-up" && detail === fresh.uid),
          );
        }
        await fleet.more(100);
      }
      await Promise.all([...askers.values()].map((asker) => asker.stop()));
      const found = await fleet.stop();
      const all = [...askers.values()];
      record(28, {
        subscriptionMode,
        ...found,
        requests: all.reduce((sum, { answers }) => sum + answers.length, 0),
        rejected: all.reduce((sum, { failures }) => sum + failures.length, 0),
        "slowest request": Math.max(...all.map(({ slowest }) => slowest)),
        "longest close": longestClose,
      });
      const { lost, doubled, reordered, altered } = found;
      assert.deepEqual({ lost, doubled, reordered, altered }, {
        lost: 0,
        doubled: 0,
        reordered: 0,
        altered: 0,
      });
      assert.deepEqual(all.flatMap(({ failures }) => failures), []);
      for (const { told } of fleet.members) {
        const faults = told.filter(({ event }) => !event.startsWith("node-"));
        assert.deepEqual(faults, []);
        // Each came and went once at most.
        for (const event of ["node-up", "node-down"]) {
          const uids = told.filter((each) => each.event === event).map(({ detail }) => detail);
          assert.equal(new Set(uids).size, uids.length, `${event} twice`);
        }
      }
      // Those who asked in the end were answered by all.
      for (const member of fleet.open) {
        assert.equal((await member.io.fetchSockets()).length, 8);
        assert.equal((await member.io.serverSideEmitWithAck("ask")).length, 7);
      }
    },
    LONG,
  );
}

for (const requestsTimeout of [300, 5_000]) {
  test(
    `nobody waits longer for a killed server than for its heartbeat, and nothing fails (requestsTimeout ${requestsTimeout})`,
    async (t) => {
      const adapter = { ...QUICK, requestsTimeout };
      const traffic = await createTraffic(t, { size: 2, rate: 50, adapter });
      const { uri, prefix } = traffic;
      const child = await startChild(t, { uri, prefix, adapter });
      await traffic.acquainted(3);
      traffic.run();
      await traffic.more(50);
      const asked: { at: number; took: number; ids: string[] }[] = [];
      const failures: unknown[] = [];
      const pending = new Set<Promise<void>>();
      const { io } = traffic.at(0);
      const asking = setInterval(() => {
        const at = performance.now();
        const request = io.fetchSockets().then(
          (sockets) => {
            asked.push({ at, took: performance.now() - at, ids: sockets.map(({ id }) => id) });
          },
          (failure) => void failures.push(failure),
        ).finally(() => pending.delete(request));
        pending.add(request);
      }, 50);
      t.after(() => clearInterval(asking));
      await until("some are answered", () => asked.length > 10);
      const killed = performance.now();
      child.kill("SIGKILL");
      await child.gone();
      const { at: noticed } = await hears(traffic.at(0), "node-down", killed);
      await traffic.more(50);
      clearInterval(asking);
      await until("all are settled", () => pending.size === 0);
      const slowest = Math.max(...asked.map(({ took }) => took));
      record(27, {
        requestsTimeout,
        notice: noticed - killed,
        "slowest request": slowest,
        requests: asked.length,
        rejected: failures.length,
      });
      assert.deepEqual(failures, []);
      assert.ok(slowest <= QUICK.heartbeatTimeout! + 1_000, `${slowest} ms`);
      const own = traffic.talkers.map(({ client }) => client.id);
      for (const { at, ids } of asked) {
        assert.ok(own.every((id) => id !== undefined && ids.includes(id)));
        if (at > noticed) assert.equal(ids.length, 2);
        if (at < killed - 100) assert.equal(ids.length, 3);
      }
      judge(27, traffic, await traffic.stop(), { requestsTimeout });
    },
    LONG,
  );
}

/** One of three servers is cut off, in a way that nobody is told of, for longer than the others wait for it. */
async function partition(t: Scope, subscriptionMode: "static" | "dynamic"): Promise<void> {
  const traffic = await createTraffic(t, {
    adapter: { ...QUICK, subscriptionMode },
    rate: 67,
    proxied: true,
    maxSize: 20_000,
  });
  const away = traffic.at(0);
  const others = [traffic.at(1), traffic.at(2)] as const;
  traffic.run();
  await traffic.more(100);
  const since = performance.now();
  away.proxy.blackhole();
  const down = await Promise.all(others.map((other) => hears(other, "node-down", since)));
  // It goes on talking, alone, and so do they.
  await traffic.more(400);
  assert.equal((await others[0].io.fetchSockets()).length, 2);
  const passed = performance.now();
  away.proxy.pass();
  await Promise.all(others.map((other) => hears(other, "node-up", passed)));
  const { at: back } = await hears(away, "reconnect", passed);
  await traffic.more(100);
  await traffic.acquainted();
  judge(27, traffic, await traffic.stop(), {
    partition: subscriptionMode,
    away: passed - since,
    notice: Math.max(...down.map(({ at }) => at)) - since,
    recover: back - passed,
  });
  assert.deepEqual(traffic.told("gap"), []);
  assert.equal((await others[0].io.fetchSockets()).length, 3);
  for (const other of others) {
    const events = traffic.told("node-down", since, [other]).concat(
      traffic.told("node-up", since, [other]),
    );
    assert.deepEqual(events.map(({ event, detail }) => [event, detail]), [
      ["node-down", away.uid],
      ["node-up", away.uid],
    ]);
  }
}

for (const subscriptionMode of ["static", "dynamic"] as const) {
  test(
    `a server that is cut off is given up and taken back, and nobody has missed anything (${subscriptionMode})`,
    (t) => partition(t, subscriptionMode),
    LONG,
  );
}
