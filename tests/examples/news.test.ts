/** The examples that have a framework on the same port: what is posted to one reaches the clients of all. */
import assert from "node:assert/strict";
import { runtime } from "../support/runtime.ts";
import { test } from "../support/test.ts";
import { startExample } from "./instance.ts";

/** The runtimes that each is for: what Node shows is not shown three times. */
const EXAMPLES = {
  "express/server.ts": ["node"],
  "fastify/server.ts": ["node"],
  "hono/server.ts": ["node", "deno"],
  "bun_engine/server.ts": ["bun"],
  "nestjs/main.ts": ["bun"],
};

for (const [file, runtimes] of Object.entries(EXAMPLES)) {
  const skip = runtimes.includes(runtime) ? false : `it is run on ${runtimes.join(" and ")}`;
  test(`${file}: what is posted to one reaches the clients of all`, async (t) => {
    const { instances, inboxes, stop } = await startExample(t, file);
    const texts = ["Good morning", "Good evening"];
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
      assert.deepEqual(news.map(([{ text }]) => text).toSorted(), texts.toSorted());
    }
    await stop();
  }, { skip });
}
