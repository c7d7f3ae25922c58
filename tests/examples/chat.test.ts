import assert from "node:assert/strict";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";
import { startExample } from "./instance.ts";

test("who is at one server of the chat talks to who is at another", async (t) => {
  const { instances, clients: [ann, ben], inboxes, stop } = await startExample(
    t,
    "chat/server.ts",
  );
  const page = await fetch(instances[0]!.url("/"));
  assert.match(await page.text(), /<script src="\/socket.io\/socket.io.js">/);
  const client = await fetch(instances[0]!.url("/socket.io/socket.io.js"));
  assert.deepEqual([page.status, client.status], [200, 200]);
  await client.text();

  assert.deepEqual(await ann!.timeout(10_000).emitWithAck("join", "Ann", "lobby"), ["Ann"]);
  const names: string[] = await ben!.timeout(10_000).emitWithAck("join", "Ben", "lobby");
  assert.deepEqual(names.toSorted(), ["Ann", "Ben"]);
  ann!.emit("say", "Hello");
  ben!.emit("say", "Hi");
  for (const inbox of inboxes) {
    const said = await inbox.count("said", 2);
    assert.deepEqual(said.toSorted(), [["Ann", "Hello"], ["Ben", "Hi"]]);
  }
  assert.deepEqual(inboxes.map((inbox) => inbox.of("joined")), [[["Ben"]], []]);

  // In another room one is among oneself.
  await ben!.timeout(10_000).emitWithAck("join", "Ben", "attic");
  assert.deepEqual(await inboxes[0]!.count("left", 1), [["Ben"]]);
  ben!.emit("say", "Anybody?");
  await inboxes[1]!.count("said", 3);
  // What no client of the page sends is no reason to end.
  for (const room of [undefined, {}, "x".repeat(1_000)]) ann!.emit("join", "Ann", room);
  ann!.emit("say", { text: "Hello" });
  ann!.emit("say", "All alone");
  assert.deepEqual((await inboxes[0]!.count("said", 3)).at(-1), ["Ann", "All alone"]);
  ann!.disconnect();
  await until("nobody has left the attic", () => inboxes[1]!.of("left").length === 0);
  await stop();
});
