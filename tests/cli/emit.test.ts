/** `emit`, to clients of two servers. */
import assert from "node:assert/strict";
import { oneAway } from "../support/away.ts";
import { createCluster } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { createDatabase, listenTo } from "../support/sql.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";
import { execute, runHere } from "./command_line.ts";

const SILENT = { code: 0, out: "", err: "" };

test("an event with JSON and text reaches the clients of all servers", async (scope) => {
  const cluster = await createCluster(scope, { size: 2 });
  const { uri, prefix } = cluster;
  const args = ["emit", "greet", '{"id":7}', "01234", "[1]", "true", "--prefix", prefix];
  assert.deepEqual(await execute(scope, [...args, "--uri", uri]), SILENT);
  for (const i of [0, 1]) {
    assert.deepEqual(await cluster.inbox(i).count("greet", 1), [[{ id: 7 }, "01234", [1], true]]);
  }
});

test("rooms, exceptions and the environment", async (scope) => {
  const cluster = await createCluster(scope, { size: 2, clients: 2 });
  await Promise.all([0, 1, 2].map((i) => cluster.socket(i).join(i === 1 ? "b" : "a")));
  await cluster.socket(2).join("muted");
  const env = { DATABASE_URL: cluster.uri };
  const options = ["--to", "a", "--room", "b", "--except", "muted", "--prefix", cluster.prefix];
  assert.deepEqual(await execute(scope, ["emit", "news", ...options], { env }), SILENT);
  await cluster.inbox(0).count("news", 1);
  await cluster.inbox(1).count("news", 1);
  assert.deepEqual(await cluster.receivers("news"), [0, 1]);
});

test("a namespace, flags and what is said of it", async (scope) => {
  const cluster = await createCluster(scope, { size: 2, namespace: "/chat" });
  const { uri, prefix } = cluster;
  const heard = await listenTo(scope, uri, [`${prefix}:/chat`]);
  const args = ["emit", "tick", "1", "--nsp", "chat", "--volatile", "-v"];
  const { code, out, err } = await runHere([...args, "--uri", uri, "--prefix", prefix]);
  assert.deepEqual([code, out], [0, ""]);
  assert.match(err, /^Emitted "tick" to everyone in namespace "\/chat": 127\.0\.0\.1:\d+, /);
  await cluster.inbox(0).count("tick", 1);
  await cluster.inbox(1).count("tick", 1);
  await until("the frame is here", () => heard.some(({ payload }) => /"tick"/.test(payload)));
  assert.match(
    heard.find(({ payload }) => /"tick"/.test(payload))?.payload ?? "",
    /"volatile":true/,
  );
});

test("arguments as text, and from the standard input", async (scope) => {
  const cluster = await createCluster(scope, { size: 2 });
  const common = ["--uri", cluster.uri, "--prefix", cluster.prefix];
  const input = '{"from":"a pipe"}\n';
  assert.deepEqual(await execute(scope, ["emit", "x", "1", "-", ...common], { input }), SILENT);
  assert.deepEqual(
    await runHere(["emit", "x", "--string", "1", "-", ...common], { input }),
    SILENT,
  );
  assert.deepEqual(
    await runHere(["emit", "x", ...common, "--", "-5", "-"], { input: "-" }),
    SILENT,
  );
  assert.deepEqual(await cluster.inbox(1).count("x", 3), [
    [1, { from: "a pipe" }],
    ["1", '{"from":"a pipe"}'],
    [-5, "-"],
  ]);
});

test("a large argument arrives", async (scope) => {
  const cluster = await createCluster(scope, { size: 2 });
  const text = "é".repeat(500_000);
  const args = ["emit", "large", "-", "--uri", cluster.uri, "--prefix", cluster.prefix];
  assert.deepEqual(await execute(scope, args, { input: text }), SILENT);
  for (const i of [0, 1]) assert.deepEqual(await cluster.inbox(i).count("large", 1), [[text]]);
});

test("what Socket.IO refuses is refused, and nothing is sent", async () => {
  const { code, err } = await runHere(["emit", "disconnect", "--uri", await databaseUri()]);
  assert.equal(code, 1);
  assert.match(err, /^socketio-pg: Cannot [^\n]*event "disconnect"[^\n]*\n$/);
});

test("a database that cannot be reached is told without its password", async (scope) => {
  const uri = "postgresql://me:hush-hush@127.0.0.1:1/nowhere";
  const { code, out, err } = await execute(scope, ["emit", "hello", "--uri", uri]);
  assert.deepEqual([code, out], [1, ""]);
  assert.match(
    err,
    /^socketio-pg: Cannot connect to 127\.0\.0\.1:1, database "nowhere", user "me"/,
  );
  assert.doesNotMatch(err, /hush/);
});

test("of several hosts the one that is there is taken", async (scope) => {
  const cluster = await createCluster(scope, { size: 2 });
  const uri = cluster.uri.replace(/@([^/]+)/, "@127.0.0.1:1,$1");
  assert.notEqual(uri, cluster.uri);
  const args = ["emit", "found", "--uri", uri, "--prefix", cluster.prefix];
  assert.deepEqual(await runHere(args), SILENT);
  await cluster.inbox(0).count("found", 1);
});

test("more than any event may have is not read from the standard input to its end", async (scope) => {
  const args = ["emit", "x", "-", "--uri", "postgresql://me@127.0.0.1:1/nowhere"];
  const { code, err } = await execute(scope, args, { input: "x".repeat(64 * 1024 * 1024 + 1) });
  assert.equal(code, 1);
  assert.match(err, /^socketio-pg: Cannot read more than 67108864 characters[^\n]*\n$/);
});

test("with --recovery clients that are away get it when they come back", async (scope) => {
  const { cluster, prefix, goes, comeBack } = await oneAway(scope);
  const args = ["--uri", cluster.uri, "--prefix", prefix, "--recovery"];
  assert.deepEqual(await execute(scope, ["emit", "kept", "1", "--to", "a", ...args]), SILENT);
  assert.deepEqual(await runHere(["emit", "last", ...args]), SILENT);
  await comeBack("last");
  assert.deepEqual(goes.received, [["kept", 1], ["last"]]);
});

test("where there is no log it says how to make one", async (scope) => {
  const { uri } = await createDatabase(scope, await databaseUri());
  const { code, out, err } = await runHere(["emit", "kept", "--recovery", "--uri", uri]);
  assert.deepEqual([code, out], [1, ""]);
  assert.match(err, /^socketio-pg: Cannot keep .* run "socketio-pg install-sql --recovery"\n$/);
});
