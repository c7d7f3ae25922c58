/** A client that was cut off gets its id, its rooms, its data and what it has missed, from any server. */
import assert from "node:assert/strict";
import { createRecoveryCluster } from "../support/recovery.ts";
import { test } from "../support/test.ts";

test("what was sent meanwhile comes with the return to another server", async (t) => {
  const cluster = await createRecoveryCluster(t);
  const wanderer = await cluster.client(0);
  const id = wanderer.client.id!;
  const socket = cluster.io(0).sockets.sockets.get(id)!;
  socket.data = { name: "Ada", bytes: new Uint8Array([1, 2, 3]) };
  await socket.join(["news", "chat"]);
  cluster.io(2).emit("before", 1);
  await wanderer.has("before");
  await wanderer.cut();
  await cluster.gone(0, id);
  cluster.io(0).emit("all", 1);
  cluster.io(1).to("news").emit("news", 2, { a: new Uint8Array([7]) });
  cluster.io(2).to("other").emit("other", 3);
  cluster.io(2).to(["chat", "news"]).emit("several", 4);
  cluster.io(2).except("chat").emit("except", 5);
  cluster.io(1).to(id).emit("direct", 6);
  await wanderer.comeTo(cluster.port(1));
  // Of several servers any may be the first.
  for (const event of ["all", "news", "several", "direct"]) await wanderer.has(event);
  assert.ok(wanderer.client.recovered);
  assert.equal(wanderer.client.id, id);
  const back = cluster.io(1).sockets.sockets.get(id)!;
  assert.ok(back.recovered);
  assert.deepEqual([...back.rooms].sort(), [id, "chat", "news"].sort());
  assert.equal(back.data.name, "Ada");
  assert.deepEqual([...back.data.bytes], [1, 2, 3]);
  // Behind whatever a server sent that was not for it.
  for (const server of [0, 1, 2]) cluster.io(server).to("news").emit("after", 7);
  assert.deepEqual(await wanderer.has("after", 3), [[7], [7], [7]]);
  assert.deepEqual(wanderer.received.map(([event]) => event).sort(), [
    "after",
    "after",
    "after",
    "all",
    "before",
    "direct",
    "news",
    "several",
  ]);
});
