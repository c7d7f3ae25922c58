/** What clients may say of a session, what applications may put into one, and a database that goes away. */
import assert from "node:assert/strict";
import { pgAdapter } from "../../mod.ts";
import { frame, record as item } from "../hostile/stranger.ts";
import { createNode, type Node } from "../support/cluster.ts";
import { FaultProxy } from "../support/fault_proxy.ts";
import { createRecoveryCluster, type RecoveryCluster, type Wanderer } from "../support/recovery.ts";
import { connectSql } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";
import { until } from "../support/wait.ts";

const SQL = "'; drop schema socketio cascade; --";

/** Takes out the codes of what the adapters reported. */
function codes(cluster: RecoveryCluster): string[] {
  return cluster.errors.splice(0).map(({ code }) => code);
}

function describe(thing: unknown): string {
  return String(JSON.stringify(thing)).slice(0, 50);
}

async function leave(cluster: RecoveryCluster, i: number, wanderer: Wanderer): Promise<void> {
  const { persisted } = cluster.nodes[i]!.adapter.stats().recovery!;
  await wanderer.cut();
  await until(
    "its session is kept",
    () => cluster.nodes[i]!.adapter.stats().recovery!.persisted > persisted,
  );
}

test("a pid or an offset that is none gives a fresh session", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 2 });
  const wanderer = await cluster.client(0);
  const pid = wanderer.pid!;
  const offset = wanderer.offset!;
  const [number, mark] = offset.split(".") as [string, string];
  await leave(cluster, 0, wanderer);
  const nested = JSON.parse("[".repeat(1_000) + "]".repeat(1_000));
  const things = [
    null,
    7,
    -1,
    true,
    [],
    [pid],
    {},
    { toString: 1 },
    nested,
    "",
    " ",
    "\0",
    "\ud800",
  ];
  const long = "x".repeat(10_240);
  const pids = [
    ...things,
    "A".repeat(20),
    `${pid} `,
    pid.slice(1),
    pid + pid,
    pid.toLowerCase() === pid ? pid.toUpperCase() : pid.toLowerCase(),
    long,
    SQL,
    `${pid}${SQL}`,
    "__proto__",
    "constructor",
  ];
  for (const each of pids) {
    const stranger = await cluster.stranger(1, each, offset);
    assert.ok(!stranger.client.recovered, `pid ${describe(each)}`);
    stranger.client.disconnect();
  }
  const offsets = [
    ...things,
    "0",
    number,
    mark,
    `.${mark}`,
    `-1.${mark}`,
    `-${offset}`,
    `${number}.000000`,
    `${offset} `,
    `${offset}\n`,
    offset.toUpperCase(),
    `zzzzzzzzzzz.${mark}`,
    `zzzzzzzzzzzzzzz.${mark}`,
    `NaN.${mark}`,
    `${"0".repeat(10_000)}${offset}`,
    long,
    SQL,
    `${number}.${SQL}`,
    "1700000000000-0",
  ];
  for (const each of offsets) {
    const stranger = await cluster.stranger(1, pid, each);
    assert.ok(!stranger.client.recovered, `offset ${describe(each)}`);
    stranger.client.disconnect();
  }
  // None of them has taken it, not even with an offset that could be one.
  await wanderer.comeTo(cluster.port(1));
  assert.ok(wanderer.client.recovered);
  assert.deepEqual(codes(cluster), []);
}, { deadline: 90_000 });

test("an offset of the future takes the session, and gives nothing for it", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 2 });
  const wanderer = await cluster.client(0);
  const { pid, offset = "" } = wanderer;
  const [number, mark] = offset.split(".") as [string, string];
  await leave(cluster, 0, wanderer);
  const future = (Number.parseInt(number, 36) + 1_000).toString(36);
  const stranger = await cluster.stranger(1, pid, `${future}.${mark}`);
  assert.ok(!stranger.client.recovered);
  assert.deepEqual(stranger.received, []);
});

test("an offset of long ago is one as long as the log goes back, and gives all since then", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 2 });
  const wanderer = await cluster.client(0);
  const { offset } = wanderer;
  for (let i = 0; i < 5; i++) cluster.io(1).emit("number", i);
  await wanderer.has("number", 5);
  await leave(cluster, 0, wanderer);
  const stranger = await cluster.stranger(1, wanderer.pid, offset);
  assert.ok(stranger.client.recovered);
  assert.deepEqual(stranger.of("number"), [[0], [1], [2], [3], [4]]);
});

test("data that cannot be serialized loses its session, and is told of", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 2 });
  const circle: { self?: unknown } = {};
  circle.self = circle;
  let deep: unknown = {};
  for (let i = 0; i < 100_000; i++) deep = { deep };
  const data: unknown[] = [
    circle,
    { big: 1n },
    {
      get trap() {
        throw new Error("a trap");
      },
    },
    {
      toJSON() {
        throw new Error("no json");
      },
    },
    deep,
  ];
  for (const each of data) {
    const wanderer = await cluster.client(0);
    cluster.io(0).sockets.sockets.get(wanderer.client.id!)!.data = each;
    const { id } = wanderer.client;
    await wanderer.cut();
    await cluster.gone(0, id!);
    assert.deepEqual(codes(cluster), ["NOT_ENCODABLE"]);
    await wanderer.comeTo(cluster.port(1));
    assert.ok(!wanderer.client.recovered);
    wanderer.client.disconnect();
  }
  assert.equal(cluster.nodes[0]!.adapter.stats().recovery!.failed, data.length);
});

test("a session that is too large to keep is told of, and clients are served", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 1 });
  for (const size of [11_000_000, 9_000_000]) {
    const wanderer = await cluster.client(0);
    const { id } = wanderer.client;
    cluster.io(0).sockets.sockets.get(id!)!.data = "x".repeat(size);
    await wanderer.cut();
    await cluster.gone(0, id!);
    await wanderer.comeTo(cluster.port(0));
    assert.equal(wanderer.client.recovered, size < 10_000_000);
  }
  const [error, ...more] = cluster.errors.splice(0);
  assert.equal(error!.code, "PAYLOAD_TOO_LARGE");
  assert.match(error!.message, /take 11000\d\d\d characters, and may take 10000000$/);
  assert.equal(more.length, 0);
});

test("data that can be serialized in part comes back as JSON has it", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 2 });
  const given: [data: unknown, back: unknown][] = [
    [undefined, undefined],
    [null, null],
    ["text \0 \ud800 \u2028 😀 ' \" \\", "text \0 \ud800 \u2028 😀 ' \" \\"],
    [0, 0],
    [[undefined, () => {}, NaN], [null, null, null]],
    [{ f() {}, s: Symbol("s"), d: new Date(0), u: undefined }, { d: "1970-01-01T00:00:00.000Z" }],
    [JSON.parse('{"__proto__":{"polluted":1}}'), undefined],
    [{ _placeholder: true, num: 0 }, undefined],
    [{ bytes: new Uint8Array(100_000).fill(7) }, undefined],
  ];
  for (const [data, back] of given) {
    const wanderer = await cluster.client(0);
    const { id } = wanderer.client;
    cluster.io(0).sockets.sockets.get(id!)!.data = data;
    await leave(cluster, 0, wanderer);
    await wanderer.comeTo(cluster.port(1));
    assert.ok(wanderer.client.recovered, JSON.stringify(data)?.slice(0, 80));
    const got = cluster.io(1).sockets.sockets.get(id!)!.data;
    if (back !== undefined) assert.deepEqual(got, back);
    assert.equal((got as { polluted?: unknown } | undefined)?.polluted, undefined);
    wanderer.client.disconnect();
  }
  assert.equal(({} as { polluted?: unknown }).polluted, undefined);
});

test("rooms of all kinds come back", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 2 });
  const wanderer = await cluster.client(0);
  const { id } = wanderer.client;
  const names = [
    "",
    "\0",
    "a\0b",
    "\ud800",
    "'\";--",
    "{a,b}",
    "é😀",
    "x".repeat(10_000),
    SQL,
    "#",
    ":",
  ];
  const rooms = [...names, ...Array.from({ length: 1_000 }, (_, i) => `room ${i}`)];
  // Applications do this, whatever the types say.
  const number = 7 as unknown as string;
  await cluster.io(0).sockets.sockets.get(id!)!.join([...rooms, number]);
  await leave(cluster, 0, wanderer);
  for (const [i, room] of [...names, number].entries()) cluster.io(1).to(room).emit("number", i);
  await wanderer.comeTo(cluster.port(1));
  assert.ok(wanderer.client.recovered);
  assert.deepEqual(
    cluster.io(1).sockets.sockets.get(id!)!.rooms,
    new Set([id!, ...rooms, number]),
  );
  await wanderer.has("number", names.length + 1);
  assert.deepEqual(wanderer.of("number"), [...names, number].map((_, i) => [i]));
});

/** A server whose connections to PostgreSQL go through a proxy. */
async function proxied(
  t: Scope,
  cluster: RecoveryCluster,
): Promise<{ proxy: FaultProxy; node: Node }> {
  const proxy = await FaultProxy.start(cluster.uri);
  t.after(() => proxy.close());
  const adapter = pgAdapter(proxy.uri, {
    prefix: cluster.prefix,
    heartbeatInterval: 300,
    heartbeatTimeout: 1_500,
    statementTimeout: 500,
    connectTimeout: 500,
  });
  adapter.on("error", (error) => cluster.errors.push(error));
  adapter.on("session-expired", (session) => cluster.expired.push(session));
  const node = await createNode(adapter, { server: { connectionStateRecovery: {} } });
  // Before its proxy, which it needs to say goodbye.
  t.after(async () => {
    proxy.pass();
    await proxy.accept();
    await node.close();
  });
  cluster.nodes.push(node);
  await adapter.ready();
  return { proxy, node };
}

for (const how of ["refused", "silent"] as const) {
  const goesAway = async (proxy: FaultProxy) => {
    if (how === "silent") return proxy.blackhole();
    await proxy.refuse();
    proxy.cut("rst");
  };
  const comesBack = async (proxy: FaultProxy) => {
    proxy.pass();
    await proxy.accept();
  };

  for (const isBusy of [true, false]) {
    // With nothing to send before it, keeping is tried at once, and again.
    const what = isBusy ? "busy" : "idle";
    test(
      `a client that leaves while the database is away is kept when it is back (${how}, ${what})`,
      async (t) => {
        const cluster = await createRecoveryCluster(t, { size: 1 });
        const { proxy, node } = await proxied(t, cluster);
        const wanderer = await cluster.client(1);
        const { id } = wanderer.client;
        await goesAway(proxy);
        if (isBusy) node.io.emit("before it left");
        await wanderer.cut();
        await cluster.gone(1, id!);
        cluster.io(0).emit("meanwhile");
        await comesBack(proxy);
        await until("it is kept", () => node.adapter.stats().recovery!.persisted === 1, 25_000);
        await wanderer.comeTo(cluster.port(0));
        assert.ok(wanderer.client.recovered);
        cluster.io(0).emit("last");
        await wanderer.has("last");
        assert.deepEqual(
          wanderer.received.map(([name]) => String(name)).toSorted(),
          [...isBusy ? ["before it left"] : [], "last", "meanwhile"],
        );
        assert.deepEqual(codes(cluster).filter((code) => code.startsWith("RECOVERY")), []);
      },
      { deadline: 60_000 },
    );
  }

  test(
    `a client that comes back while the database is away is connected, soon (${how})`,
    async (t) => {
      const cluster = await createRecoveryCluster(t, { size: 1 });
      const { proxy, node } = await proxied(t, cluster);
      const wanderer = await cluster.client(0);
      await leave(cluster, 0, wanderer);
      await goesAway(proxy);
      const start = performance.now();
      await wanderer.comeTo(node.port);
      const took = performance.now() - start;
      assert.ok(!wanderer.client.recovered);
      assert.ok(took < 4_000, `it took ${took} ms`);
      assert.deepEqual(cluster.expired, [{ nsp: "/" }]);
      assert.equal(codes(cluster).filter((code) => code === "RECOVERY_FAILED").length, 1);
      assert.equal(node.adapter.stats().recovery!.failed, 1);
      await comesBack(proxy);
      await until("it is there again", () => node.adapter.stats().phase === "ready", 25_000);
      codes(cluster);
    },
    { deadline: 60_000 },
  );

  test(`a client that comes back while the database blinks is recovered (${how})`, async (t) => {
    const cluster = await createRecoveryCluster(t, { size: 1 });
    const { proxy, node } = await proxied(t, cluster);
    const wanderer = await cluster.client(0);
    const { id } = wanderer.client;
    await leave(cluster, 0, wanderer);
    cluster.io(0).emit("meanwhile");
    await goesAway(proxy);
    const back = wanderer.comeTo(node.port);
    const since = performance.now();
    await until("a blink", () => performance.now() - since > 300);
    assert.equal(node.io.sockets.sockets.size, 0);
    await comesBack(proxy);
    await back;
    assert.ok(wanderer.client.recovered);
    assert.equal(wanderer.client.id, id);
    await wanderer.has("meanwhile");
    codes(cluster);
  }, { deadline: 60_000 });
}

test("a log that is emptied while it is read gives a fresh session, and no fault", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 2 });
  const sql = connectSql(t, cluster.uri);
  const wanderer = await cluster.client(0);
  await leave(cluster, 0, wanderer);
  cluster.io(1).emit("large", "x".repeat(50_000));
  await until("it is in the log", async () => {
    const rows =
      await sql`select from socketio.recovery_packets where number > 0 and length(frame) > 5000`;
    return rows.length > 5;
  });
  // The first pieces are gone.
  await sql`delete from socketio.recovery_packets
    where number = (select min(number) from socketio.recovery_packets where length(frame) > 5000)`;
  await wanderer.comeTo(cluster.port(1));
  assert.ok(!wanderer.client.recovered);
  assert.deepEqual(codes(cluster), []);
  assert.deepEqual(cluster.expired, [{ nsp: "/" }]);
});

test("a frame in the log that cannot be read gives a fresh session, and is told of", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 2 });
  const sql = connectSql(t, cluster.uri);
  for (const frame of ["", "nonsense", "2r", "{}"]) {
    const wanderer = await cluster.client(0);
    await leave(cluster, 0, wanderer);
    await sql`select socketio.recovery_notify(
      ${`${cluster.prefix}:other`}, ${frame}, ${`${cluster.prefix}:/`}, ${`x:${frame}`}, null)`;
    await wanderer.comeTo(cluster.port(1));
    assert.ok(!wanderer.client.recovered);
    assert.deepEqual(codes(cluster), ["RECOVERY_FAILED"]);
    wanderer.client.disconnect();
    await sql`delete from socketio.recovery_packets where origin = ${`x:${frame}`}`;
  }
});

test("of a frame that is not all readable clients that come back get what those got who stayed", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 2 });
  const sql = connectSql(t, cluster.uri);
  const good = (n: number) => item({ t: 3, n: "/" }, `2["n",${n}]`);
  const bad = item({ t: 99, n: "/" }, "2[]");
  const frames: Record<string, { body: string; count: number }> = {
    "a record that cannot be read": { body: good(0) + bad + good(1) + good(2), count: 3 },
    "a packet of another parser": {
      body: good(0) + item({ t: 3, n: "/", e: "12345678" }, "packed") + good(1),
      count: 2,
    },
    "an end that is cut short": {
      body: good(0) + good(1) + good(2) + good(3).slice(0, -1),
      count: 3,
    },
    "more than have numbers": {
      body: Array.from({ length: 200 }, (_, n) => good(n)).join(""),
      count: 128,
    },
  };
  for (const [what, { body, count }] of Object.entries(frames)) {
    const [wanderer, stayer] = [await cluster.client(0), await cluster.client(1)];
    await leave(cluster, 0, wanderer);
    const channel = `${cluster.prefix}:/`;
    await sql`select socketio.recovery_notify(${channel}, ${
      frame(body)
    }, ${channel}, ${what}, null)`;
    await stayer.has("n", count);
    cluster.io(1).emit("end");
    await stayer.has("end");
    await wanderer.comeTo(cluster.port(1));
    assert.ok(wanderer.client.recovered, what);
    await wanderer.has("end");
    assert.deepEqual(wanderer.received, stayer.received, what);
    assert.equal(stayer.of("n").length, count, what);
    // And who has got all of that has missed nothing.
    await leave(cluster, 1, stayer);
    await stayer.comeTo(cluster.port(0));
    assert.ok(stayer.client.recovered, what);
    for (const code of codes(cluster)) assert.equal(code, "MALFORMED_MESSAGE", what);
    for (const each of [wanderer, stayer]) each.client.disconnect();
  }
});

test("who has received a large packet needs nothing of it", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 2 });
  const sql = connectSql(t, cluster.uri);
  const wanderer = await cluster.client(0);
  cluster.io(1).emit("large", "x".repeat(50_000));
  await wanderer.has("large");
  const pieces = await sql`delete from socketio.recovery_packets
    where key not like ${`${cluster.prefix}:%`} returning key`;
  assert.ok(pieces.length > 3);
  await leave(cluster, 0, wanderer);
  await wanderer.comeTo(cluster.port(1));
  assert.ok(wanderer.client.recovered);
  assert.equal(wanderer.of("large").length, 1);
});

test("who has missed more than can be told gets a fresh session", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 2 });
  const [wanderer, watcher] = [await cluster.client(0), await cluster.client(1)];
  await leave(cluster, 0, wanderer);
  for (let i = 0; i < 10_001; i++) cluster.io(0).emit("number", i);
  await watcher.has("number", 10_001, 25_000);
  await wanderer.comeTo(cluster.port(1));
  assert.ok(!wanderer.client.recovered);
  assert.deepEqual(cluster.expired, [{ nsp: "/" }]);
}, { deadline: 60_000 });

test("nobody waits for a session that was never there for longer than a moment", async (t) => {
  const cluster = await createRecoveryCluster(t, { size: 1 });
  const wanderer = await cluster.client(0);
  const start = performance.now();
  await Promise.all(
    Array.from(
      { length: 50 },
      (_, i) => cluster.stranger(0, `${i}`.padStart(20, "0"), wanderer.offset),
    ),
  );
  const took = performance.now() - start;
  assert.ok(took < 4_000, `it took ${took} ms`);
  cluster.io(0).emit("all");
  await wanderer.has("all");
});
