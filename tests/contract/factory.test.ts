import assert from "node:assert/strict";
import { Server } from "socket.io";
import pgAdapterByDefault, { PgAdapter, pgAdapter } from "../../mod.ts";
import { type Adapter, createNode, knowEachOther, uniquePrefix } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { connectSql } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";
import { next, until, within } from "../support/wait.ts";

/** Sets variables of the environment for the time of a test; undefined removes one. */
function setEnvironment(t: Scope, variables: Record<string, string | undefined>): void {
  for (const [name, value] of Object.entries(variables)) {
    const before = process.env[name];
    t.after(() => set(name, before));
    set(name, value);
  }
  function set(name: string, value: string | undefined) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
}

const FORMS: Record<string, (uri: string, prefix: string, t: Scope) => Adapter> = {
  "pgAdapter(uri, options)": (uri, prefix) => pgAdapter(uri, { prefix }),
  "pgAdapter(URL, options)": (uri, prefix) => pgAdapter(new URL(uri), { prefix }),
  "pgAdapter({ uri, … })": (uri, prefix) => pgAdapter({ uri, prefix }),
  "pgAdapter({ uri: URL, … })": (uri, prefix) => pgAdapter({ uri: new URL(uri), prefix }),
  "pgAdapter({ listen, publish, … })": (uri, prefix) =>
    pgAdapter({ listen: uri, publish: uri, prefix }),
  "pgAdapter(uri, { listen })": (uri, prefix) => pgAdapter(uri, { listen: uri, prefix }),
  "pgAdapter(postgres.js, options)": (uri, prefix, t) => pgAdapter(connectSql(t, uri), { prefix }),
  "pgAdapter(undefined, options), DATABASE_URL": (uri, prefix, t) => {
    setEnvironment(t, { DATABASE_URL: uri, PGHOST: "256.256.256.256" });
    return pgAdapter(undefined, { prefix });
  },
  "pgAdapter(options), DATABASE_URL": (uri, prefix, t) => {
    setEnvironment(t, { DATABASE_URL: uri });
    return pgAdapter({ prefix });
  },
  "pgAdapter(options), PGHOST and the like": (uri, prefix, t) => {
    const { hostname, port, username, password, pathname } = new URL(uri);
    setEnvironment(t, {
      DATABASE_URL: undefined,
      PGHOST: hostname,
      PGPORT: port,
      PGUSER: decodeURIComponent(username),
      PGPASSWORD: decodeURIComponent(password),
      PGDATABASE: pathname.slice(1),
    });
    return pgAdapter({ prefix });
  },
  "the default export": (uri, prefix) => pgAdapterByDefault(uri, { prefix }),
  "options that are undefined": (uri, prefix) =>
    pgAdapter({ uri, prefix, heartbeatInterval: undefined, subscriptionMode: undefined }),
};

for (const [form, make] of Object.entries(FORMS)) {
  test(`${form} joins the cluster`, async (t) => {
    // Read first: some forms take it out of the environment.
    const uri = await databaseUri();
    const prefix = uniquePrefix();
    const other = pgAdapter(uri, { prefix });
    const two = await createNode(other);
    t.after(() => two.close());
    const one = await createNode(make(uri, prefix, t));
    t.after(() => one.close());
    await Promise.all([one.adapter.ready(), other.ready()]);
    await knowEachOther([one, two]);
    const hello = next(two.io, "hello");
    one.io.serverSideEmit("hello", prefix);
    assert.deepEqual(await hello, [prefix]);
  });
}

test("an instance of postgres.js stays the user's: close() leaves it open", async (t) => {
  const uri = await databaseUri();
  const sql = connectSql(t, uri);
  const adapter = pgAdapter(sql, { prefix: uniquePrefix() });
  await adapter.ready();
  await adapter.close();
  assert.deepEqual([...await sql`select 1 as one`], [{ one: 1 }]);
});

test("options that were given are left as they were", async () => {
  const options = Object.freeze({ uri: await databaseUri(), prefix: uniquePrefix() });
  const copy = { ...options };
  await pgAdapter(options).close();
  assert.deepEqual({ ...options }, copy);
});

test("new Server({ adapter }), io.adapter(adapter) and new (io.adapter())(nsp)", async (t) => {
  const uri = await databaseUri();
  const prefix = uniquePrefix();
  const first = pgAdapter(uri, { prefix });
  const io = new Server({ adapter: first });
  t.after(() => first.close());
  assert.ok(io.of("/").adapter instanceof PgAdapter);
  assert.ok(io.of("/chat").adapter instanceof PgAdapter);
  assert.equal(io.adapter(), first);

  const later = pgAdapter(uri, { prefix });
  t.after(() => later.close());
  const other = new Server();
  const early = other.of("/early");
  assert.equal(other.adapter(later), other);
  for (const nsp of [other.of("/"), early, other.of("/late")]) {
    assert.ok(nsp.adapter instanceof PgAdapter);
  }
  const Made = other.adapter() as unknown as new (nsp: unknown) => PgAdapter;
  const made = new Made(other.of("/made"));
  assert.ok(made instanceof PgAdapter);
  assert.equal(made.channel, `${prefix}:/made`);
});

test("instances have uid, prefix and channel", async (t) => {
  const uri = await databaseUri();
  const prefix = uniquePrefix();
  const adapters = [pgAdapter(uri, { prefix }), pgAdapter(uri, { prefix })];
  const instances = adapters.map((adapter) => {
    t.after(() => adapter.close());
    const io = new Server({ adapter });
    return [io.of("/").adapter, io.of("/chat").adapter] as [PgAdapter, PgAdapter];
  });
  for (const [i, [main, chat]] of instances.entries()) {
    assert.equal(main.prefix, prefix);
    assert.equal(main.channel, `${prefix}:/`);
    assert.equal(chat.channel, `${prefix}:/chat`);
    assert.equal(typeof main.uid, "string");
    assert.notEqual(main.uid, "");
    assert.equal(chat.uid, main.uid);
    assert.equal(adapters[i]?.stats().uid, main.uid);
  }
  assert.notEqual(instances[0]?.[0].uid, instances[1]?.[0].uid);
});

test("one adapter for two servers is refused", async (t) => {
  const adapter = pgAdapter(await databaseUri(), { prefix: uniquePrefix() });
  t.after(() => adapter.close());
  new Server({ adapter });
  assert.throws(() => new Server({ adapter }), { code: "ALREADY_ATTACHED" });
});

test("on(), once() and off() return the adapter, and ready is told once", async (t) => {
  const adapter = pgAdapter(await databaseUri(), { prefix: uniquePrefix() });
  t.after(() => adapter.close());
  const seen: string[] = [];
  const removed = () => seen.push("removed");
  assert.equal(adapter.on("ready", () => seen.push("on")), adapter);
  assert.equal(adapter.once("ready", () => seen.push("once")), adapter);
  assert.equal(adapter.on("ready", removed), adapter);
  assert.equal(adapter.off("ready", removed), adapter);
  // Without a server, too: ready() starts it.
  await within(10_000, "ready()", Promise.all([adapter.ready(), adapter.ready()]));
  await adapter.ready();
  await until("the event", () => seen.length >= 2);
  assert.deepEqual(seen, ["on", "once"]);
  assert.equal(adapter.stats().phase, "ready");
});

test("a listener that throws is logged and breaks nothing", async (t) => {
  const logged: unknown[][] = [];
  const { error } = console;
  console.error = (...args: unknown[]) => logged.push(args);
  t.after(() => console.error = error);
  const adapter = pgAdapter(await databaseUri(), { prefix: uniquePrefix() });
  adapter.on("ready", () => {
    throw new Error("a fault of the application");
  });
  const second = next(adapter, "ready");
  const node = await createNode(adapter);
  t.after(() => node.close());
  await adapter.ready();
  await second;
  assert.match(logged.flat().map(String).join(" "), /a fault of the application/);
});
