/** What `metrics()` and the channels of `node:diagnostics_channel` tell of faults. */
import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { PgAdapterError } from "../../mod.ts";
import { frame, notifyAll, record } from "../hostile/stranger.ts";
import { type Adapter, type Cluster, createCluster } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { Exposition } from "../support/exposition.ts";
import { FaultProxy } from "../support/fault_proxy.ts";
import { terminate } from "../support/outage.ts";
import { connectSql } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";
import { until } from "../support/wait.ts";

const LONG = { deadline: 60_000 };
const CHANNELS = ["disconnect", "reconnect", "gap", "error", "node-up", "node-down", "ready"];

function figure(adapter: Adapter, name: string, labels?: Record<string, string>): number {
  return new Exposition(adapter.metrics()).value(`socketio_pg_${name}`, labels);
}

/** How often each connection came back. */
function reconnects(adapter: Adapter): [listen: number, publish: number] {
  const [listen, publish] = ["listen", "publish"].map((connection) =>
    figure(adapter, "reconnects_total", { connection })
  );
  return [listen!, publish!];
}

/** What the diagnostics channels tell of an adapter, by the name of the channel. */
function trace(t: Scope): { of(adapter: Adapter): [name: string, details: unknown][] } {
  const told: { name: string; uid: string; details: Record<string, unknown> }[] = [];
  const listener = (message: unknown, name: string | symbol) => {
    const { uid, ...details } = message as { uid: string } & Record<string, unknown>;
    told.push({ name: String(name).replace("socketio-pg:", ""), uid, details });
  };
  for (const name of CHANNELS) {
    subscribe(`socketio-pg:${name}`, listener);
    t.after(() => unsubscribe(`socketio-pg:${name}`, listener));
  }
  return {
    of: (adapter) =>
      told.filter(({ uid }) => uid === adapter.stats().uid)
        .map(({ name, details }) => [name, details]),
  };
}

/** Two servers, the second of which listens through a proxy. */
async function createPair(
  t: Scope,
  options: object = {},
): Promise<{ cluster: Cluster; proxy: FaultProxy }> {
  const uri = await databaseUri();
  const proxy = await FaultProxy.start(uri);
  t.after(() => proxy.close());
  const cluster = await createCluster(t, {
    size: 2,
    adapter: (server) => ({
      subscriptionMode: "static",
      ...options,
      ...server === 1 && { listen: proxy.uri, publish: uri },
    }),
  });
  return { cluster, proxy };
}

/** The second server does not hear what the first one does; then it is back. */
async function whileAway(
  { cluster, proxy }: { cluster: Cluster; proxy: FaultProxy },
  body: () => Promise<void>,
): Promise<void> {
  const away = cluster.adapter(1);
  await proxy.refuse();
  proxy.cut();
  await until("it is away", () => figure(away, "phase", { phase: "disconnected" }) === 1);
  assert.equal(figure(away, "connection_up", { connection: "listen" }), 0);
  assert.equal(figure(away, "connection_up", { connection: "publish" }), 1);
  await body();
  await proxy.accept();
  await until("it is back", () => figure(away, "phase", { phase: "ready" }) === 1);
  // It may have tried meanwhile.
  const { errors } = cluster;
  const others = errors.filter((error) => (error as PgAdapterError).code !== "CONNECT_FAILED");
  errors.splice(0, errors.length, ...others);
}

/** The first server sends so many events of more than a frame each, and PostgreSQL has taken all of them. */
async function send(cluster: Cluster, count: number): Promise<void> {
  const frames = figure(cluster.adapter(0), "published_frames_total");
  for (let n = 0; n < count; n++) cluster.io(0).emit("n", n, "x".repeat(10_000));
  await until(
    "all is sent",
    () => figure(cluster.adapter(0), "published_frames_total") >= frames + 2 * count,
  );
}

test("each connection that is lost and comes back is counted, and told", async (t) => {
  const traced = trace(t);
  const cluster = await createCluster(t, { size: 2 });
  const sql = connectSql(t, cluster.uri);
  const adapter = cluster.adapter(0);
  const other = cluster.adapter(1).stats().uid;
  assert.deepEqual(reconnects(adapter), [0, 0]);
  for (
    const [kind, after] of [["listen", [1, 0]], ["publish", [1, 1]], ["listen", [2, 1]]] as const
  ) {
    await terminate(sql, kind, adapter.stats().uid);
    await until(`the ${kind}ing one is back`, () => {
      const { phase, connections } = adapter.stats();
      return phase === "ready" && connections[kind].reconnects === after[kind === "listen" ? 0 : 1];
    });
    assert.deepEqual(reconnects(adapter), after);
  }
  assert.deepEqual(reconnects(cluster.adapter(1)), [0, 0]);
  const told = traced.of(adapter);
  assert.deepEqual(
    told.map(([name]) => name).filter((name) => name !== "node-up"),
    ["ready", ...Array.from({ length: 3 }, () => ["disconnect", "reconnect"]).flat()],
  );
  assert.deepEqual(told.find(([name]) => name === "node-up"), ["node-up", { node: other }]);
  const [, { error }] = told.find(([name]) => name === "disconnect") as [
    string,
    { error: PgAdapterError },
  ];
  assert.equal(error.code, "CONNECTION_LOST");
  await cluster.closeServer(1);
  await until("it is told that the other one left", () => {
    return traced.of(adapter).some(([name]) => name === "node-down");
  });
  assert.deepEqual(traced.of(adapter).at(-1), ["node-down", { node: other }]);
}, LONG);

test(
  "what was missed and said again is counted, by who missed it and by who said it",
  async (t) => {
    const pair = await createPair(t);
    const [sender, away] = [pair.cluster.adapter(0), pair.cluster.adapter(1)];
    await whileAway(pair, () => send(pair.cluster, 5));
    await pair.cluster.settled();
    assert.equal(pair.cluster.inbox(1).of("n").length, 5);
    assert.ok(figure(sender, "repeated_frames_total") >= 10);
    assert.ok(figure(away, "repaired_frames_total") >= 10);
    assert.equal(figure(away, "gaps_total"), 0);
    assert.equal(figure(away, "missed_messages_total"), 0);
  },
  LONG,
);

test("what was missed for good is counted, and told", async (t) => {
  const traced = trace(t);
  const pair = await createPair(t, { replayBuffer: 0 });
  const { cluster } = pair;
  const [sender, away] = [cluster.adapter(0), cluster.adapter(1)];
  await whileAway(pair, () => send(cluster, 7));
  await until("it is known", () => figure(away, "gaps_total") > 0);
  await cluster.settled();
  assert.equal(figure(away, "gaps_total"), 1);
  assert.equal(figure(away, "missed_messages_total"), 7);
  assert.equal(figure(sender, "gaps_total"), 0);
  assert.deepEqual(traced.of(away).filter(([name]) => name === "gap"), [
    ["gap", { from: sender.stats().uid, missed: 7 }],
  ]);
  assert.deepEqual(cluster.errors.splice(0).map(({ message }) => message.slice(0, 5)), ["a gap"]);
}, LONG);

test("what is sent in the name of a server is counted, and told", async (t) => {
  const traced = trace(t);
  const cluster = await createCluster(t, { size: 2, adapter: { subscriptionMode: "static" } });
  const [sender, receiver] = [cluster.adapter(0), cluster.adapter(1)];
  cluster.io(0).emit("genuine");
  await cluster.settled();
  assert.equal(figure(receiver, "forged_frames_total"), 0);
  // It did send so many, and none with this number in this place.
  const head = { uid: sender.stats().uid, sequence: 1_000_000, previous: 0 };
  const bad = (sequence: number) =>
    frame(record({ t: 3, n: "/" }, '2["bad"]'), { ...head, sequence });
  const channel = `${cluster.prefix}:/`;
  await notifyAll(connectSql(t, cluster.uri), [{ channel, payload: bad(1_000_000) }]);
  cluster.io(0).emit("genuine");
  await until("it is noticed", () => figure(receiver, "forged_frames_total") > 0);
  await cluster.settled();
  assert.equal(cluster.inbox(1).of("genuine").length, 2);
  const codes = cluster.errors.splice(0).map((error) => (error as PgAdapterError).code);
  assert.deepEqual([...new Set(codes)], ["MALFORMED_MESSAGE"]);
  const errors = traced.of(receiver).filter(([name]) => name === "error")
    .map(([, details]) => (details as { error: PgAdapterError }).error.code);
  assert.deepEqual([...new Set(errors)], ["MALFORMED_MESSAGE"]);
}, LONG);
