/** A process that can publish and not listen is heard all the same. */
import assert from "node:assert/strict";
import { createCluster } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { FaultProxy } from "../support/fault_proxy.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

test(
  "a server that was cut off and can only publish again is heard, and hears the rest later",
  async (t) => {
    const uri = await databaseUri();
    const [listen, publish] = [await FaultProxy.start(uri), await FaultProxy.start(uri)];
    t.after(() => Promise.all([listen.close(), publish.close()]));
    const cluster = await createCluster(t, {
      size: 2,
      adapter: (server) => server === 0 ? { listen: listen.uri, publish: publish.uri } : {},
    });
    const { adapter } = cluster.servers[0]!;
    await listen.refuse();
    listen.cut("rst");
    publish.cut("rst");
    await until("both are lost", () => adapter.stats().phase === "disconnected");
    for (let n = 0; n < 50; n++) {
      cluster.io(0).emit("n", n);
      cluster.io(1).emit("m", n);
    }
    const heard = await cluster.inbox(1).count("n", 50);
    assert.equal(adapter.stats().phase, "disconnected");
    assert.deepEqual(heard.flat(), Array.from({ length: 50 }, (_, n) => n));
    await listen.accept();
    const late = await cluster.inbox(0).count("m", 50);
    assert.deepEqual(late.flat(), Array.from({ length: 50 }, (_, n) => n));
    cluster.errors.splice(0);
  },
  { deadline: 60_000 },
);

test(
  "a server that loses its listener while it still waits for another one is heard",
  async (t) => {
    const uri = await databaseUri();
    const [listen, publish, other] = await Promise.all([1, 2, 3].map(() => FaultProxy.start(uri)));
    t.after(() => Promise.all([listen!.close(), publish!.close(), other!.close()]));
    const cluster = await createCluster(t, {
      size: 3,
      adapter: (server) =>
        [{ listen: listen!.uri, publish: publish!.uri }, {
          listen: other!.uri,
          publish: other!.uri,
        }, {}][server]!,
    });
    const { adapter } = cluster.servers[0]!;
    const gone = [listen!, publish!, other!];
    await Promise.all(gone.map((proxy) => proxy.refuse()));
    for (const proxy of gone) proxy.cut("rst");
    await until("it is lost", () => adapter.stats().phase === "disconnected");
    await until("it keeps what it has to say", () => {
      if (adapter.stats().queued.messages > 0) return true;
      cluster.io(0).emit("anything");
      return false;
    });
    for (let n = 0; n < 50; n++) cluster.io(0).emit("n", n);
    await Promise.all([listen!.accept(), publish!.accept()]);
    await until("it is back", () => adapter.stats().phase === "ready");
    assert.equal(cluster.inbox(2).of("n").length, 0, "it does not wait for the other one");
    await listen!.refuse();
    listen!.cut("rst");
    await until("it is lost again", () => adapter.stats().phase === "disconnected");
    const heard = await cluster.inbox(2).count("n", 50);
    assert.deepEqual(heard.flat(), Array.from({ length: 50 }, (_, n) => n));
    await Promise.all([listen!.accept(), other!.accept()]);
    await cluster.inbox(1).count("n", 50);
    cluster.errors.splice(0);
  },
  { deadline: 60_000 },
);
