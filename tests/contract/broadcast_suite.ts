/** What every broadcast does, whatever the servers are set to: the files beside this one run it with their settings. */
import assert from "node:assert/strict";
import type { Socket } from "socket.io";
import { withoutOffset } from "../support/offset.ts";
import { type ClusterOptions, createCluster } from "../support/cluster.ts";
import { test } from "../support/test.ts";

/** The options with which a socket's packets reach the engine. */
interface WriteOptions {
  volatile?: boolean;
  compress?: boolean;
}

/** The options of each packet that contains a text and is written to a client from here on. */
function writesTo(socket: Socket, text: string): WriteOptions[] {
  const client = socket.client as unknown as {
    writeToEngine(packets: unknown, options: WriteOptions): void;
  };
  const write = client.writeToEngine;
  const writes: WriteOptions[] = [];
  client.writeToEngine = function (packets, options) {
    if (String(packets).includes(text)) writes.push({ ...options });
    write.call(this, packets, options);
  };
  return writes;
}

/** Values that JSON or MessagePack could change on the way. */
const VALUES: unknown[] = [
  undefined,
  null,
  0,
  -0,
  1.5,
  -7,
  2 ** 53,
  1e300,
  true,
  false,
  "",
  " ",
  "\u0000",
  "quote ' double \" back \\ slash / percent % dollar $1 ? \r\n\t",
  "äöü ß € 漢字 🎉 👩‍👩‍👧‍👦 \u2028 \uFEFF",
  [],
  {},
  [[], [undefined, null]],
  { a: { b: [1, { c: "d" }] }, "": 0, "key with space": 1 },
  new Date(0),
  "x".repeat(300),
];

/**
 * Runs the suite; `label` tells the settings apart in the names of the tests.
 *
 * @param others Tests that are left out, by the start of their names.
 */
export function testBroadcast(
  label: string,
  options: ClusterOptions = {},
  others: readonly string[] = [],
): void {
  const it = (name: string, body: Parameters<typeof test>[1]) => {
    if (!others.some((start) => name.startsWith(start))) test(`broadcast${label}: ${name}`, body);
  };

  it("io.emit() reaches every client of every server once", async (t) => {
    const cluster = await createCluster(t, { ...options, clients: 2 });
    cluster.io(0).emit("hello", 1, "2", { 3: ["4"] });
    const hello = [[1, "2", { 3: ["4"] }]];
    assert.deepEqual(await cluster.received("hello"), Array(6).fill(hello));
  });

  it("every server reaches every other", async (t) => {
    const cluster = await createCluster(t, options);
    for (const i of [0, 1, 2]) cluster.io(i).emit("from", i);
    for (const messages of await cluster.received("from")) {
      assert.deepEqual(messages.flat().sort(), [0, 1, 2]);
    }
  });

  it("io.send() and io.write() arrive as messages", async (t) => {
    const cluster = await createCluster(t, options);
    cluster.io(2).send("a", 1);
    cluster.io(2).write("b");
    assert.deepEqual(await cluster.received("message"), Array(3).fill([["a", 1], ["b"]]));
  });

  it("to(room) reaches the members on every server, and nobody else", async (t) => {
    const cluster = await createCluster(t, { ...options, clients: 2 });
    for (const i of [0, 3]) await cluster.socket(i).join("news");
    cluster.io(0).to("news").emit("to", 0);
    cluster.io(1).in("news").emit("to", 1);
    cluster.io(2).to("news").emit("to", 2);
    const received = await cluster.received("to");
    const counts = received.map((messages) => messages.length);
    assert.deepEqual(counts, [3, 0, 0, 3, 0, 0]);
  });

  it("to(socket.id) reaches this one client from any server", async (t) => {
    const cluster = await createCluster(t, options);
    const { id } = cluster.socket(1);
    for (const i of [0, 1, 2]) cluster.io(i).to(id).emit("direct", i);
    assert.deepEqual(await cluster.receivers("direct"), [1, 1, 1]);
  });

  it("to(several rooms) reaches each client once", async (t) => {
    const cluster = await createCluster(t, { ...options, clients: 2 });
    await cluster.socket(0).join(["a", "b"]);
    await cluster.socket(2).join(["a", "b", "c"]);
    await cluster.socket(3).join("c");
    await cluster.socket(5).join("d");
    cluster.io(1).to("a").to("b").to(["c", "nobody"]).emit("several");
    assert.deepEqual(await cluster.receivers("several"), [0, 2, 3]);
  });

  it("to(no rooms at all) reaches everybody, as in Socket.IO", async (t) => {
    const cluster = await createCluster(t, options);
    cluster.io(0).to([]).emit("to nothing");
    assert.deepEqual(await cluster.receivers("to nothing"), [0, 1, 2]);
  });

  it("to(an unknown room) reaches nobody", async (t) => {
    const cluster = await createCluster(t, options);
    cluster.io(0).to("nobody").emit("unknown");
    assert.deepEqual(await cluster.receivers("unknown"), []);
  });

  it("except(room) leaves out its members, everywhere", async (t) => {
    const cluster = await createCluster(t, { ...options, clients: 2 });
    for (const i of [1, 2, 4]) await cluster.socket(i).join("muted");
    cluster.io(0).except("muted").emit("loud");
    assert.deepEqual(await cluster.receivers("loud"), [0, 3, 5]);
  });

  it("to(room).except(rooms) leaves out members of both", async (t) => {
    const cluster = await createCluster(t, { ...options, clients: 2 });
    for (let i = 0; i < 6; i++) await cluster.socket(i).join("news");
    await cluster.socket(1).join("muted");
    await cluster.socket(3).join("banned");
    const operator = cluster.io(0).to("news").except(["muted", "banned"]);
    operator.except(cluster.socket(5).id).emit("some");
    assert.deepEqual(await cluster.receivers("some"), [0, 2, 4]);
  });

  it("a socket that left a room, or the server, gets nothing more", async (t) => {
    const cluster = await createCluster(t, { ...options, clients: 2 });
    for (let i = 0; i < 6; i++) await cluster.socket(i).join("news");
    await cluster.socket(2).leave("news");
    cluster.client(4).disconnect();
    cluster.io(0).to("news").emit("left");
    assert.deepEqual(await cluster.receivers("left"), [0, 1, 3, 5]);
  });

  it("socket.broadcast reaches all but the socket", async (t) => {
    const cluster = await createCluster(t, { ...options, clients: 2 });
    cluster.socket(2).broadcast.emit("others");
    assert.deepEqual(await cluster.receivers("others"), [0, 1, 3, 4, 5]);
  });

  it("socket.to(room) reaches the members but the socket", async (t) => {
    const cluster = await createCluster(t, { ...options, clients: 2 });
    for (const i of [0, 1, 4]) await cluster.socket(i).join("news");
    cluster.socket(0).to("news").emit("members");
    assert.deepEqual(await cluster.receivers("members"), [1, 4]);
  });

  it("local reaches the clients of this server alone", async (t) => {
    const cluster = await createCluster(t, { ...options, clients: 2 });
    await cluster.socket(0).join("news");
    await cluster.socket(2).join("news");
    await cluster.socket(3).join("news");
    cluster.io(1).local.emit("local");
    cluster.io(1).local.to("news").emit("local room");
    cluster.socket(3).local.emit("local others");
    assert.deepEqual(await cluster.receivers("local"), [2, 3]);
    assert.deepEqual(await cluster.receivers("local room"), [2, 3]);
    assert.deepEqual(await cluster.receivers("local others"), [2]);
  });

  it("volatile and compress(false) reach the engine of every server", async (t) => {
    const cluster = await createCluster(t, options);
    const writes = [0, 1, 2].map((i) => writesTo(cluster.socket(i), "flags"));
    // Whether a volatile event arrives depends on whether the transport is ready at this moment.
    cluster.io(0).volatile.compress(false).emit("flags", 1);
    cluster.io(0).compress(true).emit("flags", 2);
    cluster.io(0).emit("flags", 3);
    for (const messages of await cluster.received("flags")) {
      assert.deepEqual(messages.flat().slice(-2), [2, 3]);
    }
    for (const [flags, compressed, plain] of writes) {
      assert.equal(flags?.volatile, true);
      assert.equal(flags?.compress, false);
      assert.equal(compressed?.compress, true);
      assert.ok(!compressed?.volatile);
      assert.ok(!plain?.volatile);
      assert.notEqual(plain?.compress, false);
    }
  });

  it("events without, with many and with odd arguments arrive as they do locally", async (t) => {
    const cluster = await createCluster(t, options);
    cluster.io(0).emit("none");
    cluster.io(0).emit("values", ...VALUES);
    for (const value of VALUES) cluster.io(0).emit("value", value);
    cluster.io(0).emit("🎉 'event' \"name\"\n", 1);
    assert.deepEqual(await cluster.received("none"), [[[]], [[]], [[]]]);
    assert.deepEqual(await cluster.received("🎉 'event' \"name\"\n"), Array(3).fill([[1]]));
    for (const event of ["values", "value"]) {
      const [local, ...remote] = await cluster.received(event);
      assert.equal(local?.flat().length, VALUES.length);
      assert.equal((local?.flat()[14] as string).slice(0, 3), "äöü");
      assert.deepEqual(remote, [local, local]);
    }
  });

  it("two identical emits arrive as two, a hundred as a hundred", async (t) => {
    const cluster = await createCluster(t, options);
    cluster.io(0).emit("twice", { same: true });
    cluster.io(0).emit("twice", { same: true });
    const large = "x".repeat(20_000);
    for (let i = 0; i < 100; i++) cluster.io(1).emit("same", i % 10 === 0 ? large : "small");
    assert.deepEqual(
      await cluster.received("twice"),
      Array(3).fill(Array(2).fill([{ same: true }])),
    );
    for (const messages of await cluster.received("same")) {
      assert.deepEqual(
        messages.map(([value]) => value === large),
        Array.from({ length: 100 }, (_, i) => i % 10 === 0),
      );
    }
  });

  it("onAnyOutgoing() listeners see the event on every server", async (t) => {
    const cluster = await createCluster(t, options);
    const seen: unknown[][] = [[], [], []];
    for (const i of [0, 1, 2]) {
      cluster.socket(i).onAnyOutgoing((event: string, ...args: unknown[]) => {
        if (event !== "marker") seen[i]?.push([event, ...withoutOffset(args)]);
      });
    }
    cluster.io(1).emit("outgoing", 1, { two: ["three"] });
    cluster.io(1).emit("outgoing binary", Buffer.from("four"));
    await cluster.settled();
    const [sent, remote, other] = [seen[1], seen[0], seen[2]];
    assert.deepEqual(sent?.[0], ["outgoing", 1, { two: ["three"] }]);
    assert.deepEqual(remote?.[0], sent?.[0]);
    assert.deepEqual(other?.[0], sent?.[0]);
    for (const [, event] of seen) {
      const [name, bytes] = event as [string, Uint8Array];
      assert.equal(name, "outgoing binary");
      assert.deepEqual(new Uint8Array(bytes), new TextEncoder().encode("four"));
    }
    // Handing the event to the listeners takes nothing from the clients.
    assert.deepEqual(await cluster.receivers("outgoing"), [0, 1, 2]);
    assert.deepEqual(await cluster.receivers("outgoing binary"), [0, 1, 2]);
  });

  it("a namespace hears its own events alone", async (t) => {
    const cluster = await createCluster(t, { ...options, namespace: "/chat" });
    for (const i of [0, 1, 2]) cluster.io(i).of("/other");
    await cluster.socket(2).join("news");
    cluster.io(0).emit("main");
    cluster.io(0).of("/other").emit("other");
    cluster.io(0).of("/other").to("news").emit("other news");
    cluster.nsp(0).emit("chat");
    cluster.nsp(0).to("news").emit("chat news");
    assert.deepEqual(await cluster.receivers("chat"), [0, 1, 2]);
    assert.deepEqual(await cluster.receivers("chat news"), [2]);
    assert.deepEqual(cluster.inbox(2).events, ["chat", "chat news"]);
    assert.deepEqual(cluster.inbox(0).events, ["chat"]);
  });

  it("two and eight servers", async (t) => {
    for (const size of [2, 8]) {
      const cluster = await createCluster(t, { ...options, size });
      await cluster.socket(size - 1).join("last");
      for (let i = 0; i < size; i++) cluster.io(i).emit("all", i);
      cluster.io(0).to("last").emit("last");
      assert.deepEqual(await cluster.receivers("last"), [size - 1]);
      for (const messages of await cluster.received("all")) {
        assert.deepEqual(messages.flat().sort(), Array.from({ length: size }, (_, i) => i));
      }
    }
  });
}
