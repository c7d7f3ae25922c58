/** A process ends by itself once it has closed. This file is also the process: it runs itself with a scenario to play. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { pgAdapter } from "../../mod.ts";
import { Emitter } from "../../src/emitter.ts";
import {
  connected,
  createClient,
  createNode,
  knowEachOther,
  type Node,
  uniquePrefix,
} from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { runtime } from "../support/runtime.ts";
import { type Scope, test } from "../support/test.ts";
import { next, within } from "../support/wait.ts";

const SCENARIO = "CONTRACT_SCENARIO";

/** What the process does; each prints when it is done, and does not exit. */
const SCENARIOS: Record<string, () => Promise<void>> = {
  "io.close()": async () => {
    const node = await createNode(pgAdapter(await databaseUri(), { prefix: uniquePrefix() }));
    const client = createClient(node.port);
    await connected(client);
    await node.adapter.ready();
    node.io.emit("hello");
    await node.io.fetchSockets();
    client.disconnect();
    await node.io.close();
  },
  "io.close() with questions and requests of a minute": async () => {
    const options = { prefix: uniquePrefix(), requestsTimeout: 60_000 };
    const nodes = await Promise.all([0, 1].map(async () => {
      return await createNode(pgAdapter(await databaseUri(), options));
    }));
    const [one, two] = nodes as [Node, Node];
    const client = createClient(one.port);
    await Promise.all([connected(client), one.adapter.ready(), two.adapter.ready()]);
    await knowEachOther(nodes);
    client.on("ask", (answer: (value: number) => void) => answer(1));
    await two.io.timeout(60_000).emitWithAck("ask");
    const heard = next(two.io, "ask");
    const unanswered = one.io.serverSideEmitWithAck("ask").catch(() => {});
    await heard;
    client.disconnect();
    await Promise.all(nodes.map(({ io }) => io.close()));
    await unanswered;
  },
  "adapter.close() without a server": async () => {
    const adapter = pgAdapter(await databaseUri(), { prefix: uniquePrefix() });
    await adapter.ready();
    await adapter.close();
  },
  "close() during start": async () => {
    const node = await createNode(pgAdapter(await databaseUri(), { prefix: uniquePrefix() }));
    await node.io.close();
  },
  "an emit and close() during start": async () => {
    const node = await createNode(pgAdapter(await databaseUri(), { prefix: uniquePrefix() }));
    node.io.emit("hello");
    await node.io.close();
  },
  "close() while nobody answers": async () => {
    const adapter = pgAdapter("postgresql://u@127.0.0.1:1/db", { prefix: uniquePrefix() });
    adapter.on("error", () => {});
    const node = await createNode(adapter);
    await adapter.ready().catch(() => {});
    await adapter.ready().catch(() => {});
    await node.io.close();
  },
  "an adapter that was only made": async () => {
    pgAdapter(await databaseUri(), { prefix: uniquePrefix() });
  },
  "an emitter that closed": async () => {
    const emitter = new Emitter(await databaseUri(), { prefix: uniquePrefix() });
    await emitter.emit("hello");
    await emitter.close();
  },
};

const scenario = process.env[SCENARIO];
if (scenario === undefined) {
  for (const name of Object.keys(SCENARIOS)) {
    test(`the process ends by itself after ${name}`, async (t) => {
      const { code, output } = await play(t, name);
      assert.match(output, /^done$/m);
      assert.equal(code, 0, output);
    });
  }
} else {
  await SCENARIOS[scenario]?.();
  console.log("done");
}

/** Runs a scenario in a process of its own, and requires it to end soon after it is done. */
async function play(t: Scope, name: string): Promise<{ code: number | null; output: string }> {
  const file = fileURLToPath(import.meta.url);
  const args = runtime === "deno" ? ["run", "-A", "--no-check", file] : [file];
  const env = { ...process.env, [SCENARIO]: name, DATABASE_URL: await databaseUri() };
  const child = spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  t.after(() => child.kill("SIGKILL"));
  let output = "";
  const done = new Promise<void>((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (data: unknown) => {
        output += String(data);
        if (/^done$/m.test(output)) resolve();
      });
    }
  });
  const exit = next<[number | null]>(child, "exit", 30_000);
  await within(20_000, `the scenario (${output})`, Promise.race([done, exit]));
  const [code] = await within(3_000, "ending after that", exit);
  return { code, output };
}
