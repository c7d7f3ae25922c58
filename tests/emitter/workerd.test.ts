import assert from "node:assert/strict";
import { type AddressInfo, createServer } from "node:net";
import postgres from "postgres";
import type { Cluster } from "../support/cluster.ts";
import { uniquePrefix } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { both, receivedBy, twoSealedServers, twoServers } from "../support/emitting.ts";
import { muteServer } from "../support/mute_server.ts";
import { notifyFunction, startPostgRest } from "../support/postgrest.ts";
import { runtime } from "../support/runtime.ts";
import { connectSql, createDatabase, listenTo } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";
import { until, within } from "../support/wait.ts";

// The worker is the same whoever starts it.
const support = runtime === "node" ? await import("../support/workerd.ts") : undefined;
const skip = support === undefined
  ? "workerd is started by Node alone"
  : support.workerdPath() === undefined
  ? "there is no workerd for this machine"
  : false;

const TOKEN = "the token of those who may post";
/** The most that the example may be: a worker of the free plan has 3 MB. */
const MAX_GZIPPED = 32_000;

function post(url: string, path: string, body: unknown, token = TOKEN): Promise<Response> {
  return fetch(`${url}/${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}` },
    body: JSON.stringify(body),
  });
}

/** A database with the function of the documentation, for servers with a prefix that it lets pass. */
async function withFunction(t: Scope): Promise<{ uri: string; prefix: string }> {
  const { uri } = await createDatabase(t, await databaseUri());
  const sql = postgres(uri, { max: 1, onnotice: () => {} });
  await sql.unsafe(notifyFunction());
  await sql.end();
  return { uri, prefix: `socket.io:${uniquePrefix()}` };
}

async function joinAll(cluster: Cluster): Promise<void> {
  for (const i of cluster.clients.keys()) await cluster.socket(i).join("news");
}

test("a worker is small, and needs nothing but what its runtime has", async () => {
  const { code, gzipped } = await support!.bundleWorker("examples/worker/worker.ts");
  console.log(`worker: ${code.length} bytes, ${gzipped} compressed by gzip`);
  assert.ok(gzipped < MAX_GZIPPED, `${gzipped} bytes`);
  const modules = [...code.matchAll(/(?:from|import\(|import)\s*"([^."][^"]*)"/g)]
    .map(([, name]) => name);
  // Those that the driver's build for workers asks for.
  assert.deepEqual(
    [...new Set(modules)].sort(),
    ["cloudflare:sockets", "node:buffer", "node:events", "node:stream"],
  );
}, { skip });

test(
  "a worker emits over TCP to the clients of both servers, with a connection per request",
  async (t) => {
    const cluster = await twoServers(t);
    await joinAll(cluster);
    const bundle = await support!.bundleWorker("examples/worker/worker.ts");
    const worker = await support!.startWorker(t, bundle, {
      TOKEN,
      DATABASE_URL: cluster.uri,
      PREFIX: cluster.prefix,
    });
    const large = "漢".repeat(300_000);
    for (let n = 0; n < 5; n++) {
      const response = await post(worker.url, "news/headline", { n, large: n === 3 ? large : "" });
      assert.equal(response.status, 202, await response.text() + worker.output());
    }
    const together = await Promise.all(
      Array.from({ length: 10 }, () => post(worker.url, "news/together", {})),
    );
    assert.deepEqual([...new Set(together.map(({ status }) => status))], [202]);
    assert.equal((await post(worker.url, "nobody/headline", {})).status, 202);
    assert.equal((await post(worker.url, "news/headline", {}, "wrong")).status, 401);
    const reserved = await post(worker.url, "news/connect", {});
    assert.deepEqual([reserved.status, await reserved.json()], [400, { code: "NOT_ENCODABLE" }]);
    for (const received of await receivedBy(cluster, "headline")) {
      assert.deepEqual(received.map(([data]) => (data as { n: number }).n), [0, 1, 2, 3, 4]);
      assert.ok((received[3]![0] as { large: string }).large === large);
    }
    assert.deepEqual((await receivedBy(cluster, "together")).map(({ length }) => length), both(10));
    const sql = connectSql(t, cluster.uri);
    await until("its connections are closed", async () => {
      const [row] = await sql`
      select count(*)::int as open from pg_stat_activity
      where application_name = 'socketio-pg:emit' and query like '%pg_notify%'`;
      return row?.["open"] === 0;
    });
  },
  { skip, deadline: 60_000 },
);

for (const encrypt of [false, true]) {
  test(
    `a worker ${encrypt ? "encrypts" : "signs"} what it emits, over TCP and over HTTP`,
    async (t) => {
      const sealed = { secret: "known to all servers of the cluster", encrypt };
      const cluster = await twoSealedServers(t, sealed, await withFunction(t));
      await joinAll(cluster);
      const heard = await listenTo(t, cluster.uri, [`${cluster.prefix}:/`]);
      const bundle = await support!.bundleWorker("examples/worker/worker.ts");
      const rest = await startPostgRest(t, cluster.uri, "key");
      const env = { TOKEN, PREFIX: cluster.prefix, SECRET: sealed.secret, ENCRYPT: `${encrypt}` };
      const large = "confidential".repeat(10_000);
      for (
        const way of [{ DATABASE_URL: cluster.uri }, { RPC_URL: rest.url, RPC_KEY: "key" }]
      ) {
        const worker = await support!.startWorker(t, bundle, { ...env, ...way });
        for (const text of ["confidential", large]) {
          assert.equal((await post(worker.url, "news/headline", { text })).status, 202);
        }
      }
      const each = [[{ text: "confidential" }], [{ text: large }]];
      assert.deepEqual(await receivedBy(cluster, "headline"), both([...each, ...each]));
      await until("it was overheard", () => heard.length > 4);
      assert.equal(heard.some(({ payload }) => payload.includes("confidential")), !encrypt);
    },
    { skip, deadline: 60_000 },
  );
}

test("the same worker emits over HTTP, with no TCP", async (t) => {
  const cluster = await twoServers(t, await withFunction(t));
  await joinAll(cluster);
  const key = "the key of the role that may call it";
  const rest = await startPostgRest(t, cluster.uri, key);
  const bundle = await support!.bundleWorker("examples/worker/worker.ts");
  const env = { TOKEN, RPC_URL: rest.url, PREFIX: cluster.prefix };
  const worker = await support!.startWorker(t, bundle, { ...env, RPC_KEY: key });
  const large = "漢".repeat(300_000);
  for (let n = 0; n < 3; n++) {
    const response = await post(worker.url, "news/headline", { n, large: n === 1 ? large : "" });
    assert.equal(response.status, 202, await response.text() + worker.output());
  }
  for (const received of await receivedBy(cluster, "headline")) {
    assert.deepEqual(received.map(([data]) => (data as { n: number }).n), [0, 1, 2]);
    assert.ok((received[1]![0] as { large: string }).large === large);
  }
  rest.answer(307, "", { location: `${rest.url}/elsewhere` });
  const redirected = await post(worker.url, "news/headline", {});
  assert.deepEqual([redirected.status, await redirected.json()], [503, { code: "PUBLISH_FAILED" }]);
  assert.equal(worker.output(), "");
  assert.ok(rest.requests.every(({ path }) => path === "/rpc/socketio_notify"));
}, { skip, deadline: 60_000 });

test("a worker whose database is away says so in time", async (t) => {
  const bundle = await support!.bundleWorker("examples/worker/worker.ts");
  const hangsUp = createServer((socket) => socket.on("error", () => {}).end());
  await new Promise<void>((resolve) => hangsUp.listen(0, "127.0.0.1", resolve));
  t.after(() => hangsUp.close());
  let connections = 0;
  hangsUp.on("connection", () => connections++);
  const silent = await muteServer(t);
  for (const port of [1, (hangsUp.address() as AddressInfo).port, silent.port]) {
    const worker = await support!.startWorker(t, bundle, {
      TOKEN,
      DATABASE_URL: `postgresql://u:p4ssword@127.0.0.1:${port}/db`,
    });
    const answered = post(worker.url, "news/headline", {});
    const response = await within(8_000, `the answer of a worker (port ${port})`, answered);
    assert.deepEqual([response.status, await response.json()], [503, { code: "CONNECT_FAILED" }]);
    assert.equal(worker.output(), "");
  }
  assert.ok(connections < 5, `${connections} connections`);
  await until("the sockets are closed", () => silent.sockets.size === 0);
}, { skip, deadline: 60_000 });
