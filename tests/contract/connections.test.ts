import assert from "node:assert/strict";
import { databaseUri } from "../support/database.ts";
import { createCluster } from "../support/cluster.ts";
import { connectSql, createDatabase } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";
import { until } from "../support/wait.ts";

/** A database that nobody else uses, and who is connected to it, by `application_name`. */
async function ownDatabase(t: Scope) {
  const uri = await databaseUri();
  const sql = connectSql(t, uri);
  const own = await createDatabase(t, uri);
  const connections = async () => {
    const rows = await sql`
      select application_name as name from pg_stat_activity
      where datname = ${own.name} and backend_type = 'client backend' order by 1`;
    return rows.map(({ name }) => String(name));
  };
  return { uri: own.uri, connections };
}

test("a process has two connections, with one namespace", async (t) => {
  const { uri, connections } = await ownDatabase(t);
  const cluster = await createCluster(t, { uri, clients: 5 });
  const names = await connections();
  assert.equal(names.length, 6);
  for (const name of names) assert.match(name, /^socketio-pg/);
  // Nothing that it does makes one more.
  for (const i of [0, 1, 2]) await cluster.socket(i).join("room");
  cluster.io(0).emit("large", "x".repeat(1_000_000));
  await cluster.io(1).fetchSockets();
  await cluster.settled();
  assert.deepEqual(await connections(), names);
  await cluster.closeServer(0);
  await until("four are left", async () => (await connections()).length === 4);
});

test("a process has two connections, with 1,000 namespaces and 1,000 rooms", async (t) => {
  const { uri, connections } = await ownDatabase(t);
  const cluster = await createCluster(t, {
    uri,
    size: 2,
    adapter: { subscriptionMode: "dynamic" },
  });
  for (let n = 0; n < 1_000; n++) for (const i of [0, 1]) cluster.io(i).of(`/n-${n}`);
  await cluster.socket(0).join(Array.from({ length: 1_000 }, (_, n) => `room ${n}`));
  await until("the last namespace is known", async () => {
    return await cluster.io(0).of("/n-999").adapter.serverCount() === 2;
  });
  assert.equal((await connections()).length, 4);
  await cluster.close();
  await until("no connection is left", async () => (await connections()).length === 0);
});
