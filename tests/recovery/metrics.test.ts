import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { Exposition } from "../support/exposition.ts";
import { createRecoveryCluster } from "../support/recovery.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

test("what recovery has done is among the metrics, and who came back too late is told", async (t) => {
  const told: unknown[] = [];
  const listener = (message: unknown) => void told.push(message);
  subscribe("socketio-pg:session-expired", listener);
  t.after(() => unsubscribe("socketio-pg:session-expired", listener));
  const cluster = await createRecoveryCluster(t, { size: 2 });
  const figures = (i: number) => {
    const read = new Exposition(cluster.nodes[i]!.adapter.metrics());
    return ["persisted", "restored", "expired", "failed"].map((what) =>
      read.value(`socketio_pg_recovery_${what}_sessions_total`)
    );
  };
  for (const i of [0, 1]) assert.deepEqual(figures(i), [0, 0, 0, 0]);
  const wanderer = await cluster.client(0);
  await wanderer.cut();
  await until("its session is kept", () => figures(0)[0] === 1);
  await wanderer.comeTo(cluster.port(1));
  assert.ok(wanderer.client.recovered);
  assert.deepEqual([figures(0), figures(1)], [[1, 0, 0, 0], [0, 1, 0, 0]]);
  await cluster.stranger(1, "0".repeat(20), wanderer.offset);
  assert.deepEqual(figures(1), [0, 1, 1, 0]);
  assert.deepEqual(told, [{ uid: cluster.nodes[1]!.adapter.stats().uid, nsp: "/" }]);
});
