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
    const proxies = [listen, publish];
    const before = proxies.map(({ accepted }) => accepted);
    for (const proxy of proxies) {
      proxy.turnAway();
      proxy.cut("rst");
    }
    // Who tries again has felt its loss.
    await until("both are lost", () => proxies.every(({ accepted }, i) => accepted > before[i]!));
    for (let n = 0; n < 50; n++) {
      cluster.io(0).emit("n", n);
      cluster.io(1).emit("m", n);
    }
    await publish.accept();
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

test(
  "who waits for the answer of a server that can only publish is told that none comes",
  async (t) => {
    const uri = await databaseUri();
    const listen = await FaultProxy.start(uri);
    t.after(() => listen.close());
    const limits = { requestsTimeout: 500, heartbeatInterval: 300, heartbeatTimeout: 1_500 };
    const cluster = await createCluster(t, {
      size: 2,
      adapter: (server) => ({ ...limits, ...server === 0 && { listen: listen.uri, publish: uri } }),
    });
    await listen.refuse();
    listen.cut("rst");
    await until("it is lost", () => cluster.adapter(0).stats().phase === "disconnected");
    const timer = setInterval(() => cluster.io(0).emit("here"), 100);
    t.after(() => clearInterval(timer));
    await cluster.inbox(1).count("here", 1);
    const count = cluster.inbox(1).of("here").length;
    await assert.rejects(cluster.io(1).fetchSockets(), { code: "REQUEST_TIMEOUT" });
    await cluster.inbox(1).count("here", count + 1);
    clearInterval(timer);
    await listen.accept();
    await until("it is back", () => cluster.adapter(0).stats().phase === "ready");
    assert.equal((await cluster.io(1).fetchSockets()).length, 2);
    cluster.errors.splice(0);
  },
  { deadline: 60_000 },
);

test(
  "a server whose listener comes and goes is heard before it stays",
  async (t) => {
    const uri = await databaseUri();
    const [listen, publish, other] = await Promise.all([1, 2, 3].map(() => FaultProxy.start(uri)));
    t.after(() => Promise.all([listen!.close(), publish!.close(), other!.close()]));
    const cluster = await createCluster(t, {
      size: 3,
      adapter: (server) =>
        [
          { listen: listen!.uri, publish: publish!.uri },
          { listen: other!.uri, publish: other!.uri },
          {},
        ][server]!,
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
    let isOver = false;
    const flap = async () => {
      while (!isOver) {
        await until("it is back", () => isOver || adapter.stats().phase === "ready");
        const since = performance.now();
        await until("it lasts a moment", () => isOver || performance.now() - since > 700);
        listen!.cut("rst");
        await until("it is lost", () => isOver || adapter.stats().phase !== "ready");
      }
    };
    const flapping = flap();
    const heard = await cluster.inbox(2).count("n", 50);
    isOver = true;
    await flapping;
    assert.deepEqual(heard.flat(), Array.from({ length: 50 }, (_, n) => n));
    await other!.accept();
    await cluster.inbox(1).count("n", 50);
    cluster.errors.splice(0);
  },
  { deadline: 60_000 },
);
