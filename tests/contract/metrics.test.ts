/** What `metrics()` tells moves when it should. */
import assert from "node:assert/strict";
import { pgAdapter, type PgAdapterError } from "../../mod.ts";
import {
  type Adapter,
  type Cluster,
  type ClusterOptions,
  createCluster,
  createNode,
  uniquePrefix,
} from "../support/cluster.ts";
import { Exposition } from "../support/exposition.ts";
import { connectSql, listenTo } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";
import { until } from "../support/wait.ts";

type Labels = Readonly<Record<string, string>>;

/** A figure of an adapter as Prometheus reads it now. */
function figure(adapter: Adapter, name: string, labels?: Labels): number {
  return new Exposition(adapter.metrics()).value(`socketio_pg_${name}`, labels);
}

/** Waits until a figure has a value, or more. */
async function reaches(adapter: Adapter, name: string, value: number, labels?: Labels) {
  await until(
    `${name} reaches ${value}`,
    () => figure(adapter, name, labels) >= value,
  );
}

function createPair(t: Scope, options: ClusterOptions = {}): Promise<Cluster> {
  return createCluster(t, { size: 2, ...options });
}

/** The codes of the errors so far, which are those of the test: it takes them. */
function codes(cluster: Cluster): string[] {
  return cluster.errors.splice(0).map((error) => (error as PgAdapterError).code);
}

test("what is sent and received is counted, on either side", async (t) => {
  const cluster = await createPair(t);
  const [sender, receiver] = [cluster.adapter(0), cluster.adapter(1)];
  const sent = ["messages", "frames", "bytes", "statements"].map((what) =>
    `published_${what}_total`
  );
  const received = ["messages", "frames", "characters"].map((what) => `received_${what}_total`);
  const before = {
    sent: sent.map((name) => figure(sender, name)),
    received: received.map((name) => figure(receiver, name)),
  };
  const text = "x".repeat(20_000);
  for (let n = 0; n < 10; n++) cluster.io(0).emit("n", n, text);
  assert.ok(figure(sender, "queued_messages") >= 10);
  assert.ok(figure(sender, "queued_bytes") >= 200_000);
  await cluster.settled();
  // Ten messages of three frames each.
  const least: Record<string, number> = {
    published_messages_total: 10,
    published_frames_total: 30,
    published_bytes_total: 200_000,
    published_statements_total: 1,
    received_messages_total: 10,
    received_frames_total: 30,
    received_characters_total: 200_000,
  };
  // What was heard may be counted by its sender a moment later, when PostgreSQL has answered.
  for (const [i, name] of sent.entries()) {
    await reaches(sender, name, before.sent[i]! + least[name]!);
  }
  for (const [i, name] of received.entries()) {
    await reaches(receiver, name, before.received[i]! + least[name]!);
  }
  assert.equal(figure(sender, "queued_messages"), 0);
  assert.equal(figure(sender, "queued_bytes"), 0);
  for (const each of [sender, receiver]) {
    for (const name of ["dropped_messages", "gaps", "missed_messages", "malformed_messages"]) {
      assert.equal(figure(each, `${name}_total`), 0, name);
    }
  }
});

test("heartbeats that come back are a histogram of seconds", async (t) => {
  const cluster = await createPair(t, { adapter: { heartbeatInterval: 100 } });
  const adapter = cluster.adapter(0);
  await reaches(adapter, "latency_seconds_count", 3);
  const { latency } = adapter.stats();
  assert.ok(latency.sum > 0 && latency.last! > 0 && latency.last! <= latency.sum);
  const read = new Exposition(adapter.metrics());
  const count = read.value("socketio_pg_latency_seconds_count");
  const sum = read.value("socketio_pg_latency_seconds_sum");
  // It is no heartbeat that took ten seconds, nor one of less than a microsecond.
  assert.equal(read.value("socketio_pg_latency_seconds_bucket", { le: "10" }), count);
  assert.ok(sum > count * 1e-6 && sum < count * 10, `${count} took ${sum} s`);
});

test("it tells where the process stands, and who is there", async (t) => {
  const prefix = uniquePrefix();
  const cluster = await createPair(t, { prefix });
  const adapter = cluster.adapter(0);
  const phases = (each: Adapter) =>
    ["idle", "connecting", "ready", "disconnected", "closed"].filter((phase) =>
      figure(each, "phase", { phase }) === 1
    );
  assert.deepEqual(phases(adapter), ["ready"]);
  assert.equal(figure(adapter, "info", { uid: adapter.stats().uid, prefix }), 1);
  for (const connection of ["listen", "publish"]) {
    assert.equal(figure(adapter, "connection_up", { connection }), 1);
    assert.equal(figure(adapter, "reconnects_total", { connection }), 0);
  }
  assert.equal(figure(adapter, "nodes"), 2);
  assert.equal(figure(adapter, "namespaces"), 1);
  const channels = figure(adapter, "channels");
  cluster.io(0).of("/second");
  await reaches(adapter, "namespaces", 2);
  await reaches(adapter, "channels", channels + 1);
  await until("it is known how full the queue is", () => {
    return new Exposition(adapter.metrics()).has("socketio_pg_notify_queue_usage_ratio");
  });
  const usage = figure(adapter, "notify_queue_usage_ratio");
  assert.ok(usage >= 0 && usage <= 1, `${usage}`);
  await cluster.closeServer(1);
  await until("one is left", () => figure(adapter, "nodes") === 1);
  await cluster.closeServer(0);
  assert.deepEqual(phases(adapter), ["closed"]);
  assert.equal(figure(adapter, "connection_up", { connection: "listen" }), 0);
  assert.deepEqual(phases(pgAdapter(cluster.uri, { prefix })), ["idle"]);
});

test("what comes twice and what cannot be read is counted, and errors by their code", async (t) => {
  const cluster = await createPair(t, { adapter: { maxPayload: 10_000 } });
  const [sender, receiver] = [cluster.adapter(0), cluster.adapter(1)];
  const channel = `${cluster.prefix}:/`;
  const sql = connectSql(t, cluster.uri);
  const heard = await listenTo(t, cluster.uri, [channel]);
  cluster.io(0).emit("once");
  await cluster.settled();
  await until("it is heard", () => heard.some(({ payload }) => payload.includes("once")));
  const { payload } = heard.find(({ payload }) => payload.includes("once"))!;
  const duplicates = figure(receiver, "duplicate_frames_total");
  await sql.notify(channel, payload);
  await reaches(receiver, "duplicate_frames_total", duplicates + 1);
  await sql.notify(channel, "no message of ours");
  await reaches(receiver, "malformed_messages_total", 1);
  await reaches(sender, "malformed_messages_total", 1);
  assert.equal(figure(receiver, "errors_total", { code: "MALFORMED_MESSAGE" }), 1);
  cluster.io(0).emit("large", "x".repeat(20_000));
  assert.equal(figure(sender, "errors_total", { code: "PAYLOAD_TOO_LARGE" }), 1);
  assert.deepEqual(sender.stats().errors, { MALFORMED_MESSAGE: 1, PAYLOAD_TOO_LARGE: 1 });
  await cluster.settled();
  assert.deepEqual(codes(cluster).sort(), [
    "MALFORMED_MESSAGE",
    "MALFORMED_MESSAGE",
    "PAYLOAD_TOO_LARGE",
  ]);
});

test("what has no seal is counted where there is a secret", async (t) => {
  const cluster = await createPair(t, { adapter: { secret: "known to the servers alone" } });
  const sql = connectSql(t, cluster.uri);
  assert.equal(figure(cluster.adapter(0), "unsigned_messages_total"), 0);
  for (const n of [1, 2]) await sql.notify(`${cluster.prefix}:/`, `{"emit":["bad",${n}]}`);
  for (const i of [0, 1]) await reaches(cluster.adapter(i), "unsigned_messages_total", 2);
  assert.deepEqual(codes(cluster), ["UNSIGNED", "UNSIGNED"]);
});

test("what waits for a database that is away is told, and what is dropped", async (t) => {
  const adapter = pgAdapter("postgresql://u@127.0.0.1:1/d", {
    prefix: uniquePrefix(),
    maxBuffer: 10_000,
  });
  const errors: string[] = [];
  adapter.on("error", ({ code }) => errors.push(code));
  const { io, close } = await createNode(adapter);
  t.after(close);
  for (let n = 0; n < 100; n++) io.emit("n", "x".repeat(1_000));
  const waiting = figure(adapter, "queued_messages");
  assert.ok(waiting > 0 && waiting < 10, `${waiting} wait`);
  assert.ok(figure(adapter, "queued_bytes") <= 10_000);
  assert.equal(figure(adapter, "dropped_messages_total"), 100 - waiting);
  assert.equal(figure(adapter, "phase", { phase: "connecting" }), 1);
  await until("it has failed to connect", () => errors.includes("CONNECT_FAILED"));
  for (const code of ["BUFFER_FULL", "CONNECT_FAILED"]) {
    assert.equal(figure(adapter, "errors_total", { code }), 1, code);
  }
  assert.equal(errors.length, 2, `${errors}`);
});
