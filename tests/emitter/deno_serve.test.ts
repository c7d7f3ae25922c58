import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { both, receivedBy, twoServers } from "../support/emitting.ts";
import { runtime } from "../support/runtime.ts";
import { connectSql } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";
import { until } from "../support/wait.ts";

const MAIN = fileURLToPath(new URL("../../examples/deno_serve/main.ts", import.meta.url));
const TOKEN = "the token of those who may post";
const skip = runtime === "deno" ? false : "it is about Deno";

/** Serves the example on a free port, with the permissions that it names, until the test ends. */
async function serve(t: Scope, env: Readonly<Record<string, string>>): Promise<string> {
  const child = spawn(process.execPath, [
    "serve",
    "--no-prompt",
    "--no-check",
    "--allow-net",
    "--allow-env",
    "--host=127.0.0.1",
    "--port=0",
    MAIN,
  ], { env: { ...process.env, NO_COLOR: "1", ...env } });
  let output = "";
  child.stdout.on("data", (data) => output += data);
  child.stderr.on("data", (data) => output += data);
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  t.after(async () => {
    // It would wait for clients to close their connections.
    child.kill("SIGKILL");
    await ended;
  });
  let url: string | undefined;
  await until("it listens", () => {
    if (child.exitCode !== null) throw new Error(`deno serve has ended: ${output}`);
    url = /http:\/\/127\.0\.0\.1:\d+/.exec(output)?.[0];
    return url;
  }, 20_000);
  return url!;
}

test(
  "a handler of deno serve emits to the clients of both servers, over one connection",
  async (t) => {
    const cluster = await twoServers(t);
    for (const i of cluster.clients.keys()) await cluster.socket(i).join("news");
    const uri = new URL(cluster.uri);
    uri.searchParams.set("application_name", cluster.prefix);
    const url = await serve(t, { TOKEN, DATABASE_URL: uri.href, PREFIX: cluster.prefix });
    const post = (path: string, body: unknown, token = TOKEN) =>
      fetch(`${url}/${path}`, {
        method: "POST",
        headers: { authorization: `Bearer ${token}` },
        body: JSON.stringify(body),
      }).then(async (response) => [response.status, await response.text()]);
    for (let n = 0; n < 3; n++) assert.deepEqual(await post("news/headline", { n }), [202, ""]);
    await Promise.all(Array.from({ length: 50 }, () => post("news/together", {})));
    assert.deepEqual(await post("news/headline", {}, "wrong"), [401, "Unauthorized"]);
    assert.deepEqual(await post("news/connect", {}), [400, '{"code":"NOT_ENCODABLE"}']);
    assert.deepEqual(await receivedBy(cluster, "headline"), both([0, 1, 2].map((n) => [{ n }])));
    assert.deepEqual((await receivedBy(cluster, "together")).map(({ length }) => length), both(50));
    const sql = connectSql(t, cluster.uri);
    const [row] = await sql`
    select count(*)::int from pg_stat_activity where application_name = ${cluster.prefix}`;
    assert.equal(row?.["count"], 1);
  },
  { skip, deadline: 60_000 },
);
