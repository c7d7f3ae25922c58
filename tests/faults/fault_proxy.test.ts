/** What the fault proxy does to a connection, as both of its ends see it. */
import assert from "node:assert/strict";
import { connect, createServer, type Socket } from "node:net";
import { FaultProxy } from "../support/fault_proxy.ts";
import { type Scope, test } from "../support/test.ts";
import { next, until } from "../support/wait.ts";

/** One end of a connection, and what it has seen. */
interface End {
  socket: Socket;
  text: string;
  chunks: number;
  ended: boolean;
  closed: boolean;
  code: string | undefined;
}

function watch(socket: Socket): End {
  const end: End = { socket, text: "", chunks: 0, ended: false, closed: false, code: undefined };
  socket.on("data", (data) => {
    end.text += data.toString("latin1");
    end.chunks++;
  });
  socket.on("end", () => end.ended = true);
  socket.on("close", () => end.closed = true);
  socket.on("error", (error: NodeJS.ErrnoException) => end.code = error.code);
  return end;
}

/** A server that says nothing by itself, a proxy in front, and a way to connect through it. */
async function setUp(t: Scope) {
  const ends: End[] = [];
  const server = createServer((socket) => {
    ends.push(watch(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    for (const { socket } of ends) socket.destroy();
    server.close();
  });
  const { port } = server.address() as { port: number };
  const proxy = await FaultProxy.start(`postgresql://u:p@127.0.0.1:${port}/d?a=b`);
  t.after(() => proxy.close());
  assert.equal(proxy.uri, `postgresql://u:p@127.0.0.1:${proxy.port}/d?a=b`);
  const dial = async (kind: string) => {
    const socket = connect(proxy.port, "127.0.0.1");
    const client = watch(socket);
    t.after(() => socket.destroy());
    await next(socket, "connect");
    const greeting = `socketio-pg:${kind}:x\0`;
    const known = ends.length;
    socket.write(greeting);
    await until("the server has the greeting", () => ends[known]?.text === greeting);
    const peer = ends[known] as End;
    peer.text = "";
    return { client, peer };
  };
  return { proxy, dial, ends };
}

test("it passes bytes and ends, both ways, and counts", async (t) => {
  const { proxy, dial } = await setUp(t);
  const { client, peer } = await dial("listen");
  client.socket.write("ping");
  peer.socket.write("pong");
  await until("both have it", () => peer.text === "ping" && client.text === "pong");
  assert.deepEqual([proxy.accepted, proxy.open], [1, 1]);
  client.socket.end();
  await until("the server's side is closed", () => peer.closed);
  const other = await dial("publish");
  other.peer.socket.end();
  await until("the client's side is closed", () => other.client.closed);
  await until("none is open", () => proxy.open === 0);
  assert.equal(proxy.accepted, 2);
});

for (const how of ["rst", "fin"] as const) {
  test(`it cuts one kind of connection with a ${how}`, async (t) => {
    const { proxy, dial } = await setUp(t);
    const [one, two] = [await dial("listen"), await dial("publish")];
    assert.equal(proxy.cut(how, { only: "publish" }), 1);
    await until("both ends are closed", () => two.client.closed && two.peer.closed);
    // A runtime without resets in its API closes politely.
    if (how === "fin") assert.equal(two.client.code, undefined);
    one.client.socket.write("still");
    await until("the other one works", () => one.peer.text === "still");
    await until("one is left", () => proxy.open === 1);
  });
}

test("what is being ended is cut, and the process ends", async (t) => {
  const { proxy, dial } = await setUp(t);
  const { client, peer } = await dial("listen");
  proxy.cut("fin");
  proxy.cut("rst");
  // That this process ends after it is what the runner sees: Node keeps what it cannot reset, for ever.
  await until("both ends are closed", () => client.closed && peer.closed);
  assert.equal(proxy.open, 0);
});

test("it refuses connections and takes them again on the same port", async (t) => {
  const { proxy, dial } = await setUp(t);
  const old = await dial("listen");
  await proxy.refuse();
  const refused = watch(connect(proxy.port, "127.0.0.1"));
  await until("it is refused", () => refused.code === "ECONNREFUSED");
  old.client.socket.write("still");
  await until("an open one works", () => old.peer.text === "still");
  await proxy.accept();
  await dial("listen");
  proxy.turnAway();
  const turned = watch(connect(proxy.port, "127.0.0.1"));
  await until("it is ended at once", () => turned.closed);
  proxy.pass();
  await dial("listen");
  assert.equal(proxy.accepted, 4);
});

test("a black hole tells nobody anything, and what it took is not continued", async (t) => {
  const { proxy, dial, ends } = await setUp(t);
  const { client, peer } = await dial("listen");
  const other = await dial("publish");
  proxy.blackhole("up", { only: "listen" });
  client.socket.write("lost");
  peer.socket.write("down");
  other.client.socket.write("other");
  await until(
    "the rest passes",
    () => client.text === "down" && other.peer.text === "other",
  );
  proxy.blackhole();
  const fresh = connect(proxy.port, "127.0.0.1");
  await next(fresh, "connect");
  fresh.write("hello");
  peer.socket.write("lost");
  peer.socket.end();
  await until("the server's side is closed", () => peer.closed);
  other.client.socket.destroy();
  await until("the client's side is closed", () => other.client.closed);
  assert.deepEqual([client.closed, other.peer.closed, peer.text, client.text], [
    false,
    false,
    "",
    "down",
  ]);
  const freshEnd = watch(fresh);
  proxy.pass();
  await until("all are cut", () => client.closed && other.peer.closed && freshEnd.closed);
  assert.equal(ends.length, 2);
  await until("none is open", () => proxy.open === 0);
});

test("what is held back comes later, in order", async (t) => {
  const { proxy, dial } = await setUp(t);
  const { client, peer } = await dial("listen");
  proxy.hold("down");
  peer.socket.write("one");
  client.socket.write("up");
  await until("the other direction passes", () => peer.text === "up");
  peer.socket.write("two");
  peer.socket.end();
  await until("the server's side is closed", () => peer.closed);
  assert.equal(client.text, "");
  proxy.pass();
  await until("all of it came", () => client.text === "onetwo" && client.closed);
});

test("it cuts where a text passes, before it or within it", async (t) => {
  const { proxy, dial } = await setUp(t);
  const rule = proxy.cutOn({ on: "pg_notify", times: 2, only: "publish" });
  const other = await dial("listen");
  const one = await dial("publish");
  other.client.socket.write("pg_notify");
  one.client.socket.write("abc pg_no");
  await until("the first half passes", () => one.peer.text === "abc pg_no");
  one.client.socket.write("tify");
  await until("it is cut", () => one.client.closed && one.peer.closed);
  const two = await dial("publish");
  two.client.socket.write("abc pg_notify");
  await until("it is cut", () => two.client.closed && two.peer.closed);
  assert.equal(two.peer.text, "abc ");
  assert.equal(rule.count, 2);
  assert.equal(other.peer.text, "pg_notify");
  proxy.cutOn({ on: "pg_notify", at: "within", more: 3, how: "fin" });
  const three = await dial("publish");
  three.client.socket.write("abc pg_notify");
  await until("it is cut", () => three.client.closed && three.peer.closed);
  assert.equal(three.peer.text, "abc pg_");
});

test("it cuts after so many bytes, and after an answer that it keeps", async (t) => {
  const { proxy, dial } = await setUp(t);
  proxy.cutOn({ on: 5, direction: "down", how: "fin" });
  const one = await dial("listen");
  one.peer.socket.write("1234567");
  await until("it is cut", () => one.client.closed && one.peer.closed);
  assert.equal(one.client.text, "12345");
  proxy.cutOn({ on: "commit", at: "replied" });
  const two = await dial("listen");
  two.client.socket.write("commit");
  await until("it passes", () => two.peer.text === "commit");
  two.peer.socket.write("done");
  two.peer.socket.write("Z\0\0\0\x05I");
  await until("it is cut", () => two.client.closed && two.peer.closed);
  assert.equal(two.client.text, "");
});

test("it slices, slows down and bounds the bandwidth, and changes nothing", async (t) => {
  const { proxy, dial } = await setUp(t);
  const { client, peer } = await dial("listen");
  const text = Array.from({ length: 2_000 }, (_, i) => String.fromCharCode(32 + i % 90)).join("");
  proxy.slow({ slice: 7 });
  client.socket.write(text);
  await until("all of it came", () => peer.text === text);
  proxy.slow({ latency: 100 });
  const start = performance.now();
  peer.socket.write("late");
  await until("it came", () => client.text === "late");
  assert.ok(performance.now() - start >= 95, `${performance.now() - start}`);
  proxy.slow({ bandwidth: 10_000 });
  const before = performance.now();
  peer.socket.write(text);
  peer.socket.end();
  await until("all of it came", () => client.text === `late${text}` && client.closed);
  assert.ok(performance.now() - before >= 150, `${performance.now() - before}`);
  proxy.pass();
});

test("connections that are forgotten are silent for good, and new ones pass", async (t) => {
  const { proxy, dial } = await setUp(t);
  const [one, two] = [await dial("listen"), await dial("publish")];
  proxy.forget({ only: "listen" });
  one.client.socket.write("lost");
  one.peer.socket.write("lost");
  two.client.socket.write("other");
  await until("the other one passes", () => two.peer.text === "other");
  await dial("listen");
  assert.deepEqual([one.client.text, one.peer.text, one.client.closed], ["", "", false]);
});
