/** What waits to be sent has a bound: while the database takes less than is sent, and while it takes nothing. */
import assert from "node:assert/strict";
import type { PgAdapterError } from "../../mod.ts";
import { type Cluster, createCluster } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { FaultProxy } from "../support/fault_proxy.ts";
import { HAS_RECOVERY } from "../support/offset.ts";
import { record } from "../support/figures.ts";
import { heldMegabytes } from "../support/memory.ts";
import { type Scope, test } from "../support/test.ts";
import { until } from "../support/wait.ts";

const LONG = { deadline: 90_000 };

/** Two servers, the first of which publishes through a proxy; its errors by code. */
async function createPair(
  t: Scope,
  options: { maxBuffer: number; replayBuffer?: number },
): Promise<{ cluster: Cluster; proxy: FaultProxy; codes: () => string[] }> {
  const uri = await databaseUri();
  const proxy = await FaultProxy.start(uri);
  t.after(() => proxy.close());
  const cluster = await createCluster(t, {
    size: 2,
    // What processes say of themselves waits, too, and is none of the messages that are counted.
    adapter: (server) => ({
      heartbeatInterval: 300,
      ...server === 0 && { publish: proxy.uri, ...options },
    }),
  });
  // The errors of the cluster are those of the test: it takes them.
  const codes = () =>
    cluster.errors.splice(0).map((error) => (error as PgAdapterError).code ?? error.message);
  return { cluster, proxy, codes };
}

/** The numbers that the second server sent to its client. */
function sentOn(cluster: Cluster): { normal: number[]; volatile: number[] } {
  const sent = { normal: [] as number[], volatile: [] as number[] };
  // A client that is busy is not sent what is volatile: this is before that.
  cluster.socket(1).onAnyOutgoing((event: string, n: number) => {
    if (event === "normal" || event === "volatile") sent[event].push(n);
  });
  return sent;
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

async function isDown(cluster: Cluster): Promise<void> {
  await until(
    "the first server has noticed",
    () => cluster.adapter(0).stats().phase === "disconnected",
  );
}

async function isReady(cluster: Cluster): Promise<void> {
  await until("the first server works again", () => cluster.adapter(0).stats().phase === "ready");
}

test(
  "a publisher that is faster than its line drops what does not fit, and tells it once",
  async (t) => {
    const maxBuffer = 1_000_000;
    const { cluster, proxy, codes } = await createPair(t, { maxBuffer, replayBuffer: 1_000_000 });
    const { normal } = sentOn(cluster);
    const padding = "x".repeat(2_000);
    const bandwidth = 1_000_000;
    proxy.slow({ bandwidth });
    // Not to the clients of its own server, who would hold all of it.
    await cluster.socket(1).join("there");
    const before = heldMegabytes();
    const start = performance.now();
    let [emitted, most, longest] = [0, 0, 0];
    // Five times what the line takes, for six seconds.
    const talking = setInterval(() => {
      const due = (performance.now() - start) * 2.5;
      for (; emitted < due; emitted++) {
        cluster.nsp(0).to("there").emit("normal", emitted, padding);
      }
      longest = Math.max(longest, cluster.adapter(0).stats().queued.bytes);
    }, 10);
    t.after(() => clearInterval(talking));
    for (let second = 1; second <= 6; second++) {
      await until("a second has passed", () => performance.now() - start > second * 1_000);
      most = Math.max(most, heldMegabytes() - before);
    }
    clearInterval(talking);
    await until("all is sent", () => cluster.adapter(0).stats().queued.messages === 0, 30_000);
    proxy.slow({});
    cluster.nsp(0).emit("normal", emitted++, padding);
    await cluster.settled();
    const { dropped } = cluster.adapter(0).stats().published;
    record(25, {
      emitted,
      dropped,
      arrived: normal.length,
      "MB held at most": most,
      "MB queued at most": longest / 1e6,
    });
    assert.deepEqual(codes(), ["BUFFER_FULL"]);
    assert.ok(dropped > emitted / 3, `${dropped} of ${emitted} dropped`);
    assert.equal(normal.length, emitted - dropped);
    assert.deepEqual(normal, [...new Set(normal)].sort((a, b) => a - b));
    assert.equal(normal.at(-1), emitted - 1);
    // The bound, what came in the second of patience before it holds, the statement under way, what is remembered.
    // With recovery the clients of this server wait for it, too: for what waits, what is under way, and what was dropped
    // in the two seconds that this takes on its line, as it has its place behind that.
    const own = HAS_RECOVERY ? 14 : 0;
    assert.ok(most < maxBuffer / 1e6 + 20 + own, `${most} MB`);
  },
  LONG,
);

test(
  "what waits in an outage is bounded: volatile messages go first, then the oldest",
  async (t) => {
    const { cluster, proxy, codes } = await createPair(t, { maxBuffer: 100_000 });
    const sent = sentOn(cluster);
    const padding = "x".repeat(1_000);
    const emit = (kind: "normal" | "volatile", n: number) => {
      const nsp = cluster.nsp(0);
      if (kind === "normal") nsp.emit(kind, n, padding);
      else nsp.volatile.emit(kind, n, padding);
    };
    const breakOff = async () => {
      await proxy.refuse();
      proxy.cut("rst", { only: "publish" });
      await isDown(cluster);
    };
    const outcome = async () => {
      await proxy.accept();
      await isReady(cluster);
      await cluster.settled();
      const { normal, volatile } = sent;
      return { normal: normal.splice(0), volatile: volatile.splice(0) };
    };
    // Whether an attempt to connect has failed meanwhile is left to chance.
    const overflows = () => codes().filter((code) => code !== "CONNECT_FAILED");
    const dropped = () => cluster.adapter(0).stats().published.dropped;

    // Where it suffices only the oldest volatile ones go.
    await breakOff();
    for (let n = 0; n < 60; n++) {
      emit("volatile", n);
      emit("normal", n);
    }
    const some = await outcome();
    assert.deepEqual(some.normal, range(0, 60));
    assert.ok(some.volatile.length > 20 && some.volatile.length < 40);
    assert.deepEqual(some.volatile, range(60 - some.volatile.length, 60));
    assert.equal(dropped(), 60 - some.volatile.length);
    assert.deepEqual(overflows(), ["BUFFER_FULL"]);

    // Where it does not the oldest of all go, too.
    const before = dropped();
    await breakOff();
    for (let n = 0; n < 200; n++) {
      emit("volatile", n);
      emit("normal", n);
    }
    const all = await outcome();
    assert.deepEqual(all.volatile, []);
    assert.ok(all.normal.length > 80 && all.normal.length < 100);
    assert.deepEqual(all.normal, range(200 - all.normal.length, 200));
    assert.equal(dropped() - before, 400 - all.normal.length);
    assert.deepEqual(overflows(), ["BUFFER_FULL"]);
    record(25, {
      "dropped in outages": dropped(),
      "survived": some.normal.length + some.volatile.length + all.normal.length,
      errors: 2,
    });
  },
  LONG,
);

test("requests fail soon in an outage, and wait for the end of a blip", async (t) => {
  const { cluster, proxy, codes } = await createPair(t, { maxBuffer: 1_000_000 });
  for (const server of [0, 1]) {
    cluster.io(server).on("ask", (answer: (n: number) => void) => answer(server));
  }
  const requests = (): Promise<unknown>[] => [
    cluster.nsp(0).fetchSockets().then((sockets) => sockets.length),
    cluster.io(0).serverSideEmitWithAck("ask"),
  ];
  for (let blip = 0; blip < 5; blip++) {
    proxy.cut(blip % 2 === 0 ? "rst" : "fin", { only: "publish" });
    await isDown(cluster);
    assert.deepEqual(await Promise.all(requests()), [2, [1]]);
    await isReady(cluster);
  }
  assert.deepEqual(codes(), []);
  await proxy.refuse();
  proxy.cut("rst", { only: "publish" });
  await isDown(cluster);
  const since = performance.now();
  const outcomes = await Promise.allSettled(requests());
  const fail = performance.now() - since;
  record(25, { "request fails after": fail });
  for (const outcome of outcomes) {
    assert.equal(outcome.status, "rejected");
    assert.equal((outcome.reason as PgAdapterError).code, "DISCONNECTED");
  }
  assert.ok(fail < 1_000, `${fail} ms`);
  await proxy.accept();
  await isReady(cluster);
  assert.deepEqual(await Promise.all(requests()), [2, [1]]);
  assert.deepEqual(codes().filter((code) => code !== "CONNECT_FAILED"), []);
}, LONG);
