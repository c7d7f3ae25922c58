import assert from "node:assert/strict";
import { runtime } from "../support/runtime.ts";
import { test } from "../support/test.ts";
import { startExample } from "./instance.ts";

const skip = runtime === "node" ? false : "it is about Node";

test("the workers of two primaries are one cluster, for clients that poll, too", async (t) => {
  const env = { WORKERS: "2" };
  const { clients, inboxes, stop } = await startExample(t, "node_cluster/server.ts", {
    each: [{ env }, { env }],
    // Each comes to the worker that has fewer clients, and stays there.
    clients: [{}, { transports: ["polling"] }],
  });
  for (const client of clients) client.emit("say", "Hello");
  for (const inbox of inboxes) {
    const said = await inbox.count("said", 4) as [text: string, pid: number][];
    assert.deepEqual(said.map(([text]) => text), Array(4).fill("Hello"));
    assert.equal(new Set(said.map(([, pid]) => pid)).size, 4, "each by another worker");
  }
  await stop();
}, { skip });
