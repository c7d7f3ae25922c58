import { PGlite } from "@electric-sql/pglite";
import type {
  Client as NeonClient,
  NeonQueryFunction,
  Pool as NeonPool,
} from "@neondatabase/serverless";
import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { drizzle as drizzleOverPostgresJs } from "drizzle-orm/postgres-js";
import { CompiledQuery, Kysely, PostgresDialect } from "kysely";
import assert from "node:assert/strict";
import { inspect } from "node:util";
import pg from "pg";
import postgres from "postgres";
import { Emitter, fromPg, fromRpc, fromTag, type Notification } from "../../src/emitter.ts";
import { type Cluster, uniquePrefix } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { both, emitterTo, receivedBy, type Target, twoServers } from "../support/emitting.ts";
import { notifyFunction, startPostgRest } from "../support/postgrest.ts";
import { connectSql, createDatabase } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";
import { until } from "../support/wait.ts";

/** Never called: the compiler reads it. */
export function compiles(pool: NeonPool, client: NeonClient, sql: NeonQueryFunction<false, false>) {
  new Emitter(fromPg(pool));
  new Emitter(fromPg(client));
  new Emitter(fromTag((text, parameters) => sql.query(text, parameters)));
  // @ts-expect-error it sends nothing
  new Emitter({ receive() {} });
  // @ts-expect-error a number is no target
  new Emitter(7);
}

const TOKEN = "the token of the role that may call it";

/** A pool of node-postgres that ends with the test. */
function poolOf(t: Scope, uri: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: uri, max: 8 });
  t.after(() => pool.end());
  return pool;
}

/** As the documentation makes them, here and for a transaction. */
const byDrizzle = (db: { execute(query: ReturnType<typeof sql>): PromiseLike<unknown> }) =>
  fromTag((text, parameters) =>
    db.execute(sql.join(
      text.split(/\$\d+/).flatMap((part, i) => [
        sql.raw(part),
        ...i < parameters.length ? [sql`${parameters[i]}`] : [],
      ]),
    ))
  );
const byKysely = (db: Pick<Kysely<unknown>, "executeQuery">) =>
  fromTag((text, parameters) => db.executeQuery(CompiledQuery.raw(text, parameters)));

/** What sends, each by itself. */
const TARGETS: Record<string, (t: Scope, uri: string) => Target | Promise<Target>> = {
  "a uri": (_t, uri) => uri,
  "a URL": (_t, uri) => new URL(uri),
  "an instance of postgres.js": (t, uri) => connectSql(t, uri),
  "a pool of postgres.js": (t, uri) => {
    const sql = postgres(uri, { max: 8, onnotice: () => {} });
    t.after(() => sql.end({ timeout: 5 }));
    return sql;
  },
  "a Pool of node-postgres": (t, uri) => fromPg(poolOf(t, uri)),
  "a Client of node-postgres": async (t, uri) => {
    const client = new pg.Client({ connectionString: uri });
    t.after(() => client.end());
    await client.connect();
    return fromPg(client);
  },
  "whatever runs text with parameters": (t, uri) => {
    const pool = poolOf(t, uri);
    return fromTag((text, values) => pool.query({ text, values }));
  },
  "Drizzle over node-postgres": (t, uri) => fromPg(drizzle({ client: poolOf(t, uri) }).$client),
  "Drizzle over postgres.js": (t, uri) =>
    drizzleOverPostgresJs({ client: connectSql(t, uri) }).$client,
  "Drizzle's execute()": (t, uri) => byDrizzle(drizzle({ client: poolOf(t, uri) })),
  "Kysely": (t, uri) =>
    byKysely(new Kysely({ dialect: new PostgresDialect({ pool: poolOf(t, uri) }) })),
  "an RPC over HTTP": async (t, uri) => {
    const { url } = await startPostgRest(t, uri, TOKEN);
    return fromRpc({ url, headers: { authorization: `Bearer ${TOKEN}` } });
  },
  "an object with send()": (t, uri) => {
    const sql = connectSql(t, uri);
    return {
      send: (items: readonly Notification[]) =>
        sql.begin(async (tx) => {
          for (
            const { channel, payload } of items
          ) await tx`select pg_notify(${channel}, ${payload})`;
        }),
    };
  },
  "PGlite": async (t, uri) => {
    const lite = await PGlite.create();
    t.after(() => lite.close());
    const sql = connectSql(t, uri);
    // It has no clients of its own, so what it notifies is notified there, too.
    let passed: Promise<unknown> = Promise.resolve();
    const heard = new Set<string>();
    return {
      async send(items: readonly Notification[]) {
        for (const { channel } of items) {
          if (heard.has(channel)) continue;
          heard.add(channel);
          await lite.listen(`"${channel}"`, (payload) => {
            passed = passed.then(() => sql.notify(channel, payload));
          });
        }
        await fromPg(lite).send(items);
        await passed;
      },
    };
  },
};

/** Two servers on a database with the function of the documentation. */
async function serversWithFunction(t: Scope): Promise<Cluster> {
  const database = await createDatabase(t, await databaseUri());
  // A connection of its own: the database goes before the one that ends with the test.
  const sql = postgres(database.uri, { max: 1, onnotice: () => {} });
  await sql.unsafe(notifyFunction());
  await sql.end();
  const cluster = await twoServers(t, { uri: database.uri, prefix: `socket.io:${uniquePrefix()}` });
  return cluster;
}

for (const [name, targetOf] of Object.entries(TARGETS)) {
  test(`${name} brings everything to the clients of both servers, in order`, async (t) => {
    const cluster = await serversWithFunction(t);
    const emitter = emitterTo(t, cluster, await targetOf(t, cluster.uri));
    const large = '漢"\\\n'.repeat(200_000);
    const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => i % 251);
    await emitter.emit("first", 1, { a: [null, "ü🎉\0"] });
    const sent = Array.from(
      { length: 500 },
      (_, n) => emitter.emit("n", n, n % 125 === 60 ? large : ""),
    );
    sent.push(emitter.emit("large", large), emitter.emit("bytes", { deep: [bytes] }));
    for (let n = 500; n < 600; n++) sent.push(emitter.of(n % 2 ? "/" : "/other").emit("n", n));
    await emitter.batch((batch) => {
      batch.in(cluster.clients.map(({ id }) => id ?? "")).socketsJoin("room");
      for (let n = 0; n < 300; n++) batch.to("room").emit("n", 600 + n, n % 100 ? "" : large);
    });
    await Promise.all(sent);
    const numbers = (await receivedBy(cluster, "n")).map((each) => each.map(([n]) => n));
    const all = Array.from({ length: 900 }, (_, n) => n)
      .filter((n) => n < 500 || n >= 600 || n % 2 === 1);
    assert.deepEqual(numbers, both(all));
    assert.deepEqual(await receivedBy(cluster, "first"), both([[1, { a: [null, "ü🎉\0"] }]]));
    for (const received of await receivedBy(cluster, "large")) {
      assert.ok(received.length === 1 && received[0]?.[0] === large);
    }
    for (const received of await receivedBy(cluster, "bytes")) {
      const { deep: [got] } = received[0]?.[0] as { deep: [Uint8Array] };
      assert.deepEqual(new Uint8Array(got), bytes);
    }
  }, { deadline: 90_000 });
}

test("clients of the application stay open when an emitter is closed", async (t) => {
  const cluster = await twoServers(t);
  const pool = new pg.Pool({ connectionString: cluster.uri });
  t.after(() => pool.end());
  const emitter = emitterTo(t, cluster, fromPg(pool));
  await emitter.emit("hello");
  await emitter.close();
  assert.deepEqual((await pool.query("select 1 as one")).rows, [{ one: 1 }]);
});

test("a client of node-postgres in a transaction takes part in it", async (t) => {
  const cluster = await twoServers(t);
  const client = new pg.Client({ connectionString: cluster.uri });
  t.after(() => client.end());
  await client.connect();
  const emitter = emitterTo(t, cluster, fromPg(client));
  for (const [end, n] of [["rollback", 1], ["commit", 2]] as const) {
    await client.query("begin");
    await emitter.emit("n", n);
    await client.query(end);
  }
  assert.deepEqual(await receivedBy(cluster, "n"), both([[2]]));
});

/** A transaction of each. */
const TRANSACTIONS: Record<
  string,
  (pool: pg.Pool, run: (emitBy: Target) => Promise<void>) => Promise<unknown>
> = {
  "Drizzle": (pool, run) => drizzle({ client: pool }).transaction((tx) => run(byDrizzle(tx))),
  "Kysely": (pool, run) =>
    new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) })
      .transaction().execute((tx) => run(byKysely(tx))),
};

for (const [name, transact] of Object.entries(TRANSACTIONS)) {
  test(`what is emitted in a transaction of ${name} arrives if and when it commits`, async (t) => {
    const cluster = await twoServers(t);
    const pool = poolOf(t, cluster.uri);
    const large = "漢".repeat(500_000);
    await assert.rejects(
      transact(pool, async (emitBy) => {
        await emitterTo(t, cluster, emitBy).emit("n", 1);
        throw new Error("rolled back");
      }),
      /rolled back/,
    );
    await transact(pool, async (emitBy) => {
      const emitter = emitterTo(t, cluster, emitBy);
      await emitter.emit("n", 2);
      await emitter.emit("large", large);
      assert.deepEqual(await receivedBy(cluster, "n"), both([]));
    });
    assert.deepEqual(await receivedBy(cluster, "n"), both([[2]]));
    for (const received of await receivedBy(cluster, "large")) assert.ok(received[0]![0] === large);
  });
}

test("a transport that rejects, throws or is broken rejects what was emitted, and the next one works", async (t) => {
  const cluster = await twoServers(t);
  const sql = connectSql(t, cluster.uri);
  const faults: (() => PromiseLike<unknown>)[] = [
    () => Promise.reject(new Error("no such luck")),
    () => {
      throw new Error("no such luck");
    },
    // deno-lint-ignore no-throw-literal -- others do
    () => Promise.reject("no such luck"),
  ];
  const emitter = emitterTo(t, cluster, {
    send: (items) => {
      const fault = faults.shift();
      return fault === undefined
        ? fromTag((text, parameters) => sql.unsafe(text, parameters)).send(items)
        : fault();
    },
  });
  while (faults.length > 0) {
    const refusal = { code: "PUBLISH_FAILED", message: /no such luck/ };
    await Promise.all([1, 2].map((n) => assert.rejects(emitter.emit("lost", n), refusal)));
    emitter.emit("lost and unheard");
    await emitter.flush();
  }
  await emitter.emit("next");
  assert.deepEqual(await receivedBy(cluster, "next"), both([[]]));
  assert.deepEqual(await receivedBy(cluster, "lost"), both([]));
});

test("a refusal by HTTP says status and body, and no header", async (t) => {
  const cluster = await serversWithFunction(t);
  const rest = await startPostgRest(t, cluster.uri, TOKEN);
  const headers = { authorization: `Bearer ${TOKEN}`, apikey: TOKEN };
  const to = (options: Partial<Parameters<typeof fromRpc>[0]>) =>
    emitterTo(t, cluster, fromRpc({ url: rest.url, headers, ...options }));
  const refused = async (emitter: Emitter, message: RegExp, code = "PUBLISH_FAILED") => {
    await assert.rejects(emitter.emit("never"), (error: Error & { code?: string }) => {
      assert.equal(error.code, code);
      assert.match(error.message, message);
      assert.doesNotMatch(`${error.message} ${String(error.cause)}`, /the token/);
      return true;
    });
  };
  await refused(to({ headers: { authorization: "Bearer wrong" } }), /401.*PGRST301/);
  await refused(to({ function: "no_such_function" }), /404.*PGRST202/);
  // The function of the documentation lets nobody notify anything else.
  const strange = new Emitter(fromRpc({ url: rest.url, headers }), { prefix: "other" });
  await refused(strange, /400.*22023/);
  const { length } = rest.requests;
  const { method, path } = rest.requests[length - 1]!;
  assert.deepEqual([method, path], ["POST", "/rpc/socketio_notify"]);
  rest.answer(307, "", { location: `${rest.url}/elsewhere` });
  await refused(to({}), /was answered with (307|0)/);
  assert.equal(rest.requests.length, length + 1);
  rest.answer(502, `bad gateway ${"x".repeat(100_000)}`);
  await refused(to({}), /502: bad gateway x{400,600}…$/);
  rest.hang();
  rest.answer(200, "");
  await refused(to({ timeout: 200 }), /timed? ?out|timeout|aborted/i);
  await refused(
    to({ url: "http://127.0.0.1:1" }),
    /POST http:\/\/127.0.0.1:1\/rpc\/socketio_notify failed/,
  );
  assert.deepEqual(await receivedBy(cluster, "never"), both([]));
});

test("what a function has committed was emitted, though its answer breaks off", async (t) => {
  const cluster = await serversWithFunction(t);
  const rest = await startPostgRest(t, cluster.uri, TOKEN);
  const headers = { authorization: `Bearer ${TOKEN}` };
  const emitter = emitterTo(t, cluster, fromRpc({ url: rest.url, headers, timeout: 5_000 }));
  for (const how of ["end", "hang"] as const) {
    rest.breakOff(how);
    const start = performance.now();
    await emitter.emit("done", how);
    assert.ok(performance.now() - start < 3_000);
  }
  assert.deepEqual(await receivedBy(cluster, "done"), both([["end"], ["hang"]]));
});

test("errors of fromRpc() do not repeat the query of its url, which may hold a key", async (t) => {
  const cluster = await serversWithFunction(t);
  const rest = await startPostgRest(t, cluster.uri, TOKEN);
  rest.answer(403, "no");
  const reasons: [url: string, fetch: typeof fetch | undefined, RegExp][] = [
    [
      rest.url,
      undefined,
      /POST http:\/\/127.0.0.1:\d+\/rpc\/socketio_notify was answered with 403: no$/,
    ],
    ["http://127.0.0.1:1", undefined, /POST http:\/\/127.0.0.1:1\/rpc\/socketio_notify failed: ./],
    [
      "http://h",
      (url) => Promise.reject(new Error(`cannot fetch ${url}`)),
      /cannot fetch http:\/\/h\/rpc/,
    ],
  ];
  for (const [origin, request, message] of reasons) {
    const url = `${origin}?apikey=the-key%2B1`;
    const emitter = new Emitter(fromRpc({ url, fetch: request }));
    await assert.rejects(emitter.emit("never"), (error: Error) => {
      assert.match(error.message, message);
      assert.doesNotMatch(inspect(error, { depth: 9, showHidden: true }), /the-key/);
      return true;
    });
  }
});

test("where fromRpc() cannot call it says so, without credentials", () => {
  for (const url of ["nowhere", "ftp://h/", "http://user:the-token@h/", "http://the-token@h/"]) {
    assert.throws(() => fromRpc({ url }), (error: Error & { code?: string }) => {
      assert.equal(error.code, "INVALID_URI");
      assert.doesNotMatch(error.message, /the-token/);
      return true;
    });
  }
  for (const timeout of [0, 1.5, 2 ** 31, Infinity]) {
    assert.throws(() => fromRpc({ url: "http://h/", timeout }), {
      code: "INVALID_OPTION",
      message:
        `Cannot create transport as "timeout" must be a whole number of milliseconds from 1 to 2147483647: current value is ${timeout}`,
    });
  }
  fromRpc({ url: "http://h/", timeout: 2 ** 31 - 1 });
});

test("fromRpc() adds to the path of its url, and calls what it is given", async () => {
  const urls: string[] = [];
  const emitter = new Emitter(fromRpc({
    url: new URL("https://project.example/rest/v1/?a=b"),
    function: "my/function",
    fetch: (url, init) => {
      urls.push(url);
      const { items } = JSON.parse(String(init.body)) as { items: Notification[] };
      assert.deepEqual(Object.keys(items[0]!), ["channel", "payload"]);
      return Promise.resolve(new Response(null, { status: 204 }));
    },
  }));
  await emitter.emit("hello");
  await until("it was called", () => urls.length === 1);
  assert.deepEqual(urls, ["https://project.example/rest/v1/rpc/my%2Ffunction?a=b"]);
});
