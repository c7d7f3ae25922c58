/** The examples that have a framework on the same port. */
import assert from "node:assert/strict";
import { runtime } from "../support/runtime.ts";
import { type Scope, test } from "../support/test.ts";
import { startExample } from "./instance.ts";

/** What is posted to either of two servers reaches the clients of both. */
async function takesNews(t: Scope, file: string): Promise<void> {
  const { instances, inboxes, stop } = await startExample(t, file);
  const texts = ["Good evening", "Good morning"];
  for (const [i, text] of texts.entries()) {
    const { status } = await fetch(instances[i]!.url("/news"), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ text }),
    });
    assert.equal(status, 202);
  }
  for (const inbox of inboxes) {
    const news = await inbox.count("news", 2) as [{ text: string }][];
    assert.deepEqual(news.map(([{ text }]) => text).toSorted(), texts);
  }
  await stop();
}

/** Why a test is not for this runtime: what one shows is not shown three times. */
function unless(...runtimes: string[]): { skip: string | false } {
  return { skip: runtimes.includes(runtime) ? false : `it is run on ${runtimes.join(" and ")}` };
}

test("Express", (t) => takesNews(t, "express/server.ts"), unless("node"));
test("Fastify", (t) => takesNews(t, "fastify/server.ts"), unless("node"));
test("Hono", (t) => takesNews(t, "hono/server.ts"), unless("node", "deno"));
test("the engine for Bun.serve", (t) => takesNews(t, "bun_engine/server.ts"), unless("bun"));
