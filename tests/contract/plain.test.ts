import assert from "node:assert/strict";
import { HAS_RECOVERY } from "../support/offset.ts";
import { type Cluster, createCluster } from "../support/cluster.ts";
import { connectSql } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";
import { next, signal, until } from "../support/wait.ts";

/** Notifies by hand, on the channel of a namespace. */
function notifier(t: Scope, cluster: Cluster) {
  const sql = connectSql(t, cluster.uri);
  return async (message: unknown, namespace = "/") => {
    const payload = typeof message === "string" ? message : JSON.stringify(message);
    await sql`select pg_notify(${`${cluster.prefix}:${namespace}`}, ${payload})`;
  };
}

/**
 * Waits until everything notified so far has arrived: a last message by hand reaches every client, since all
 * notifications of a database arrive in one order.
 */
async function settled(cluster: Cluster, notify: ReturnType<typeof notifier>) {
  const id = crypto.randomUUID();
  const arrived = cluster.clients.filter(({ connected }) => connected)
    .map((client) => next(client, `last ${id}`));
  await notify({ emit: [`last ${id}`] }, cluster.namespace);
  await Promise.all(arrived);
}

/** The event and its receivers. */
async function receivers(cluster: Cluster, notify: ReturnType<typeof notifier>, event: string) {
  await settled(cluster, notify);
  return [...cluster.clients.keys()].flatMap((i) => cluster.inbox(i).of(event).map(() => i));
}

test("emit reaches every client once, with its arguments", async (t) => {
  const cluster = await createCluster(t);
  const notify = notifier(t, cluster);
  const args = [{ a: 1 }, null, "ü🎉'\"", [1.5, true]];
  await notify({ emit: ["hello", ...args] });
  await notify({ emit: ["alone"] });
  assert.deepEqual(await receivers(cluster, notify, "hello"), [0, 1, 2]);
  assert.deepEqual(await receivers(cluster, notify, "alone"), [0, 1, 2]);
  for (const i of [0, 1, 2]) assert.deepEqual(cluster.inbox(i).of("hello"), [args]);
});

test("the statement of the README works as it stands", async (t) => {
  const cluster = await createCluster(t);
  const sql = connectSql(t, cluster.uri);
  await cluster.socket(0).join("news");
  await cluster.socket(1).join(["news", "muted"]);
  await sql.unsafe(
    `NOTIFY "${cluster.prefix}:/", '{"emit":["hello",{"a":1}],"to":["news"],"except":["muted"]}'`,
  );
  assert.deepEqual(await receivers(cluster, notifier(t, cluster), "hello"), [0]);
  assert.deepEqual(cluster.inbox(0).of("hello"), [[{ a: 1 }]]);
});

test("to, except, several rooms, a namespace of its own", async (t) => {
  const cluster = await createCluster(t, { clients: 2, namespace: "/chat" });
  const notify = notifier(t, cluster);
  for (const i of [0, 3, 4]) await cluster.socket(i).join("a");
  for (const i of [3, 5]) await cluster.socket(i).join("b");
  await notify({ emit: ["to a"], to: ["a"] }, "/chat");
  await notify({ emit: ["to a and b"], to: ["a", "b"] }, "/chat");
  await notify({ emit: ["except b"], except: ["b"] }, "/chat");
  await notify({ emit: ["to id"], to: [cluster.socket(2).id] }, "/chat");
  await notify({ emit: ["main"] }, "/");
  assert.deepEqual(await receivers(cluster, notify, "to a"), [0, 3, 4]);
  assert.deepEqual(await receivers(cluster, notify, "to a and b"), [0, 3, 4, 5]);
  assert.deepEqual(await receivers(cluster, notify, "except b"), [0, 1, 2, 4]);
  assert.deepEqual(await receivers(cluster, notify, "to id"), [2]);
  assert.deepEqual(await receivers(cluster, notify, "main"), []);
});

test("in dynamic mode, on the channel of the namespace and on that of a room", async (t) => {
  const cluster = await createCluster(t, { adapter: { subscriptionMode: "dynamic" } });
  const notify = notifier(t, cluster);
  await cluster.socket(1).join("news");
  await notify({ emit: ["by namespace"], to: ["news"] });
  await notify({ emit: ["by room"] }, "/:news#");
  assert.deepEqual(await receivers(cluster, notify, "by namespace"), [1]);
  assert.deepEqual(await receivers(cluster, notify, "by room"), [1]);
}, { skip: HAS_RECOVERY && "rooms have no channels with recovery" });

test("socketsJoin, socketsLeave and disconnectSockets", async (t) => {
  const cluster = await createCluster(t, { clients: 2 });
  const notify = notifier(t, cluster);
  const members = async (room: string) => {
    await settled(cluster, notify);
    return [...cluster.clients.keys()].filter((i) =>
      cluster.client(i).connected && cluster.socket(i).rooms.has(room)
    );
  };
  for (const i of [1, 2]) await cluster.socket(i).join("x");
  await notify({ socketsJoin: ["r", "s"], to: ["x"] });
  assert.deepEqual(await members("r"), [1, 2]);
  await notify({ socketsJoin: ["all"], except: ["x"] });
  assert.deepEqual(await members("all"), [0, 3, 4, 5]);
  await notify({ socketsLeave: ["r"], to: [cluster.socket(1).id] });
  assert.deepEqual(await members("r"), [2]);
  assert.deepEqual(await members("s"), [1, 2]);

  const gone = [1, 2].map((i) => next(cluster.client(i), "disconnect"));
  await notify({ disconnectSockets: true, to: ["s"] });
  for (const reason of gone) assert.equal((await reason)[0], "io server disconnect");
  assert.equal(cluster.clients.filter(({ connected }) => connected).length, 4);
  const rest = [0, 3, 4, 5].map((i) => next(cluster.client(i), "disconnect"));
  await notify({ disconnectSockets: false });
  await Promise.all(rest);
});

test("serverSideEmit reaches every server, as nobody of the cluster sent it", async (t) => {
  const cluster = await createCluster(t);
  const notify = notifier(t, cluster);
  const seen: unknown[][] = [];
  for (const i of [0, 1, 2]) {
    cluster.io(i).on("ev", (...args: unknown[]) => seen.push([i, ...args]));
  }
  await notify({ serverSideEmit: ["ev", 1, { b: [2] }] });
  await settled(cluster, notify);
  assert.deepEqual(seen.sort(), [0, 1, 2].map((i) => [i, 1, { b: [2] }]));
});

test("two equal messages of two transactions arrive as two", async (t) => {
  const cluster = await createCluster(t);
  const notify = notifier(t, cluster);
  await notify({ emit: ["same", 1] });
  await notify({ emit: ["same", 1] });
  assert.deepEqual(await receivers(cluster, notify, "same"), [0, 0, 1, 1, 2, 2]);
});

test("servers with another parser understand plain messages, too", async (t) => {
  const { default: parser } = await import("socket.io-msgpack-parser");
  const cluster = await createCluster(t, { server: { parser }, client: { parser } });
  const notify = notifier(t, cluster);
  await notify({ emit: ["hello", { a: [1] }] });
  assert.deepEqual(await receivers(cluster, notify, "hello"), [0, 1, 2]);
  assert.deepEqual(cluster.inbox(2).of("hello"), [[{ a: [1] }]]);
});

/** What is no message, and why. */
const MALFORMED: Record<string, unknown> = {
  "no JSON": "{no json",
  "text": "hello",
  "nothing": "",
  "an array": ["emit", "hello"],
  "no verb": { to: ["news"] },
  "an empty object": {},
  "an event that is text": { emit: "hello" },
  "an event without a name": { emit: [] },
  "an event named by an object": { emit: [{}] },
  "an event named null": { emit: [null] },
  "an event named connect": { emit: ["connect"] },
  "an event named disconnect": { emit: ["disconnect", "reason"] },
  "an event named connect_error": { emit: ["connect_error", {}] },
  "a server's event named connection": { serverSideEmit: ["connection", { id: "forged" }] },
  "a server's event named connect": { serverSideEmit: ["connect"] },
  "a server's event named new_namespace": { serverSideEmit: ["new_namespace", {}] },
  "a server's event that is an object": { serverSideEmit: { a: 1 } },
  "rooms that are objects": { emit: ["bad"], to: [{}] },
  "rooms that are an object": { emit: ["bad"], to: {} },
  "exceptions that are null": { emit: ["bad"], except: [null] },
  "rooms to join that are null": { socketsJoin: null },
  "rooms to leave that are objects": { socketsLeave: [{}] },
  "disconnecting by text": { disconnectSockets: "yes" },
  "a namespace that is a number": { emit: ["bad"], nsp: 7 },
  "nesting without end": `{"emit":${"[".repeat(3_000)}`,
};

for (const [name, message] of Object.entries(MALFORMED)) {
  test(`malformed: ${name} is one error of each server, and nothing else`, async (t) => {
    const cluster = await createCluster(t);
    const notify = notifier(t, cluster);
    let connections = 0;
    for (const i of [0, 1, 2]) {
      cluster.io(i).on("connection", () => connections++);
      await cluster.socket(i).join("news");
    }
    await notify(message);
    await settled(cluster, notify);
    assert.deepEqual(
      cluster.errors.splice(0).map((error) => (error as Error & { code?: string }).code),
      Array(3).fill("MALFORMED_MESSAGE"),
    );
    cluster.io(0).emit("next");
    assert.deepEqual(await cluster.receivers("next"), [0, 1, 2]);
    assert.deepEqual(cluster.inbox(0).events.filter((event) => !event.startsWith("last")), [
      "next",
    ]);
    assert.equal(connections, 0);
    assert.ok(cluster.clients.every(({ connected }) => connected));
  });
}

test("malformed messages are counted, and a flood of one kind is reported once", async (t) => {
  const cluster = await createCluster(t, { size: 1 });
  const sql = connectSql(t, cluster.uri);
  const { malformed } = cluster.adapter(0).stats().received;
  await sql`
    select pg_notify(${`${cluster.prefix}:/`}, 'garbage ' || n) from generate_series(1, 1000) as n`;
  await until("all are counted", () => {
    return cluster.adapter(0).stats().received.malformed === malformed + 1_000;
  });
  assert.equal(cluster.errors.splice(0).length, 1);
});

test("keys named __proto__ and constructor are data, and change nothing", async (t) => {
  const cluster = await createCluster(t);
  const notify = notifier(t, cluster);
  await notify(`{"emit":["proto",{"__proto__":{"polluted":1},"constructor":{"x":2}}]}`);
  assert.deepEqual(await receivers(cluster, notify, "proto"), [0, 1, 2]);
  assert.equal(({} as { polluted?: unknown }).polluted, undefined);
});

test("rooms named __proto__ and constructor are rooms", async (t) => {
  const cluster = await createCluster(t);
  const notify = notifier(t, cluster);
  await cluster.socket(1).join(["__proto__", "constructor"]);
  await notify(`{"emit":["odd"],"to":["__proto__"]}`);
  await notify(`{"emit":["odd"],"to":["constructor"]}`);
  await notify(`{"emit":["odd"],"to":["toString"]}`);
  assert.deepEqual(await receivers(cluster, notify, "odd"), [1, 1]);
});

test("a message for a namespace that is being closed is no error", async (t) => {
  const cluster = await createCluster(t, { size: 1 });
  const sql = connectSql(t, cluster.uri);
  const nsp = cluster.io(0).of("/leaving");
  const channel = `${cluster.prefix}:/leaving`;
  await until("it listens", () => cluster.adapter(0).stats().channels === 4);
  const closed = signal();
  // What follows it in the same transaction is here already, or on its way.
  nsp.on("close", () => {
    Promise.resolve(nsp.adapter.close()).then(closed.resolve, closed.resolve);
    cluster.io(0)._nsps.delete("/leaving");
  });
  const payloads = [
    '{"serverSideEmit":["close"]}',
    '{"emit":["n",1]}',
    '@1764130000000001;{"emit":["n",2]}',
  ];
  await sql.begin(async (tx) => {
    for (const payload of payloads) await tx`select pg_notify(${channel}, ${payload})`;
  });
  await closed.promise;
  await cluster.settled();
  assert.deepEqual(cluster.errors, []);
});
