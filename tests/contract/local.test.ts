import assert from "node:assert/strict";
import { pgAdapter } from "../../mod.ts";
import { HAS_RECOVERY } from "../support/offset.ts";
import { connected, createClient, createNode, uniquePrefix } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { Inbox } from "../support/inbox.ts";
import { type Scope, test } from "../support/test.ts";
import { next } from "../support/wait.ts";

/** One server with one client, whatever its database does. */
async function alone(t: Scope, uri: string) {
  const adapter = pgAdapter(uri, { prefix: uniquePrefix() });
  const errors: (Error & { code?: string })[] = [];
  adapter.on("error", (error) => errors.push(error));
  const node = await createNode(adapter);
  const client = createClient(node.port);
  t.after(async () => {
    client.disconnect();
    await node.close();
  });
  await connected(client);
  const socket = node.io.sockets.sockets.get(client.id ?? "");
  assert.ok(socket);
  return { adapter, errors, io: node.io, client, inbox: new Inbox(client), socket };
}

test("without a database the clients of a server get everything all the same", async (t) => {
  const { io, inbox, socket, client, errors } = await alone(t, "postgresql://u@127.0.0.1:1/none");
  await socket.join("room");
  io.emit("all", 1);
  io.to("room").emit("room", "x".repeat(100_000));
  io.emit("binary", Buffer.from("two"));
  io.to("nobody").emit("nobody");
  io.of("/").except("room").emit("except");
  client.on("ask", (answer: (value: string) => void) => answer("answer"));
  io.local.emit("last");
  await inbox.count("last", 1);
  assert.deepEqual(inbox.events, ["all", "room", "binary", "last"]);
  io.socketsJoin("joined");
  assert.ok(socket.rooms.has("joined"));
  io.socketsLeave("joined");
  assert.ok(!socket.rooms.has("joined"));
  const gone = next(client, "disconnect");
  io.disconnectSockets(true);
  await gone;
  for (const { code } of errors) assert.equal(code, "CONNECT_FAILED");
});

test("before ready() the clients of a server get everything, in the call", async (t) => {
  const { io, inbox, socket, adapter } = await alone(t, await databaseUri());
  io.emit("early", 1);
  await inbox.count("early", 1);
  await adapter.ready();

  const written: unknown[] = [];
  const client = socket.client as unknown as { writeToEngine(packets: unknown): void };
  const { writeToEngine } = client;
  client.writeToEngine = function (packets, ...rest: []) {
    written.push(packets);
    writeToEngine.call(this, packets, ...rest);
  };
  for (const [i, args] of [[], ["text"], [Buffer.from("binary")], ["x".repeat(9_000)]].entries()) {
    io.emit("sync", ...args);
    assert.equal(written.length, i + 1, "the packet is written before emit() returns");
  }
  await socket.join("room");
  io.to("room").emit("sync");
  assert.equal(written.length, 5);
  await inbox.count("sync", 5);
}, { skip: HAS_RECOVERY && "they get it when it comes back" });

test("emit() and socket.emit() keep their order for local clients", async (t) => {
  const { io, inbox, socket } = await alone(t, await databaseUri());
  for (let n = 0; n < 100; n++) {
    if (n % 2 === 0) io.emit("n", n, n % 10 === 0 ? "x".repeat(20_000) : "");
    else socket.emit("n", n);
  }
  const messages = await inbox.count("n", 100);
  assert.deepEqual(messages.map(([n]) => n), Array.from({ length: 100 }, (_, n) => n));
});

test("what is sent before ready() arrives at the others", async (t) => {
  const uri = await databaseUri();
  const prefix = uniquePrefix();
  const heard = pgAdapter(uri, { prefix });
  const one = await createNode(heard);
  t.after(() => one.close());
  await heard.ready();
  const early: string[] = [];
  one.io.on("early", (text: string) => early.push(text));

  const adapter = pgAdapter(uri, { prefix });
  const two = await createNode(adapter);
  t.after(() => two.close());
  two.io.serverSideEmit("early", "one");
  two.io.serverSideEmit("early", "x".repeat(20_000));
  two.io.serverSideEmit("early", "two");
  const last = next(one.io, "last");
  two.io.serverSideEmit("last");
  await last;
  assert.deepEqual(early.map((text) => text.length), [3, 20_000, 3]);
});
