/**
 * Clients that are cut off once more before they are connected again. They have what was written to them before, and hand
 * it over when they are connected, however that comes about: nobody knows how much that is, so the session is spent.
 */
import assert from "node:assert/strict";
import { createRecoveryCluster } from "../support/recovery.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

for (const how of ["cut off", "refused"] as const) {
  test(`who is ${how} while a middleware runs has a fresh session next, and nothing twice`, async (t) => {
    const cluster = await createRecoveryCluster(t, {
      server: {
        connectionStateRecovery: { maxDisconnectionDuration: 60_000, skipMiddlewares: false },
      },
    });
    let go: ((error?: Error) => void) | undefined;
    cluster.io(1).use((_socket, next) => void (go = next));
    const wanderer = await cluster.client(0);
    const { client } = wanderer;
    const { id } = client;
    await cluster.io(0).sockets.sockets.get(id!)!.join("room");
    await wanderer.cut();
    cluster.io(2).to("room").emit("number", 1);
    wanderer.moveTo(cluster.port(1));
    client.connect();
    await until("the middleware runs", () => go !== undefined);
    cluster.io(2).to("room").emit("number", 2);
    if (how === "cut off") {
      wanderer.close();
      await until("it is closed", () => cluster.io(1).engine.clientsCount === 0);
    }
    go!(how === "refused" ? new Error("not now") : undefined);
    await until("it is gone", () => cluster.io(1).sockets.adapter.sids.size === 0);
    cluster.io(0).to("room").emit("number", 3);
    if (how === "refused") wanderer.close();
    await wanderer.comeTo(cluster.port(2));
    assert.ok(!client.recovered);
    assert.notEqual(client.id, id);
    cluster.io(0).emit("last");
    await wanderer.has("last");
    const numbers = wanderer.of("number").map(([number]) => number);
    assert.deepEqual(numbers, [...new Set(numbers)]);
    assert.equal(cluster.nodes[1]!.adapter.stats().recovery!.restored, 1);
  });
}
