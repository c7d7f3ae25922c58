/** `nodes`, beside servers. */
import assert from "node:assert/strict";
import { keyOf } from "../../src/bus/presence.ts";
import { createUid, encodeFrame } from "../../src/wire/frame.ts";
import { encodeMessage, MessageType } from "../../src/wire/message.ts";
import { sha256Hex } from "../../src/wire/sha256.ts";
import { createCluster, uniquePrefix } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { connectSql, createDatabase } from "../support/sql.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";
import { execute, runHere, start } from "./command_line.ts";

/** Nobody waits for long. */
const QUICK = { heartbeatInterval: 200, heartbeatTimeout: 2_000 };

type Line = Record<string, unknown>;

function linesOf(out: string): Line[] {
  return out.trimEnd().split("\n").map((line) => JSON.parse(line));
}

test("who is there, with which namespaces, and is not disturbed", async (scope) => {
  const cluster = await createCluster(scope, { size: 3, adapter: QUICK });
  const { uri, prefix } = cluster;
  cluster.io(1).of("/chat");
  const uids = cluster.servers.map(({ io }) => (io.of("/").adapter as unknown as Line).uid);
  const { code, out, err } = await execute(scope, ["nodes", uri, "--prefix", prefix, "--json"]);
  assert.deepEqual([code, err], [0, ""]);
  const lines = linesOf(out);
  assert.deepEqual(lines.pop(), { type: "summary", nodes: 3, ready: 3 });
  assert.deepEqual(new Set(lines.map(({ uid }) => uid)), new Set(uids));
  for (
    const { type, uid, phase, since, heardMs, address, user, pid, namespaces, ...rest } of lines
  ) {
    assert.deepEqual([type, phase, typeof pid, typeof user], ["node", "ready", "number", "string"]);
    assert.ok(Math.abs(Date.parse(since as string) - Date.now()) < 60_000, `${since}`);
    assert.ok((heardMs as number) < 20_000);
    assert.match(address as string, /^(127\.0\.0\.1|::1|local|[\d.]+)$/);
    assert.deepEqual(namespaces, uid === uids[1] ? ["/", "/chat"] : ["/"]);
    assert.deepEqual(rest, { seal: "none", roomChannels: true });
  }
  assert.equal(await cluster.io(0).of("/").adapter.serverCount(), 3);
});

test("a table of them", async (scope) => {
  const cluster = await createCluster(scope, { size: 2, adapter: QUICK });
  const args = ["nodes", "--uri", cluster.uri, "--prefix", cluster.prefix];
  const { code, out } = await runHere(args);
  assert.equal(code, 0);
  assert.match(
    out,
    /^UID +PHASE +SINCE .*\n([0-9a-f]{16} +ready .* dynamic +\/\n){2}2 processes: 2 ready\n$/,
  );
});

test("sealed ones are read with the secret; without it they are not asked", async (scope) => {
  const secret = "a secret of the servers";
  for (const encrypt of [false, true]) {
    const cluster = await createCluster(scope, {
      size: 2,
      adapter: { ...QUICK, secret, encrypt },
    });
    const args = ["nodes", cluster.uri, "--prefix", cluster.prefix, "--json"];
    const opened = await runHere(args, { env: { SOCKETIO_PG_SECRET: secret } });
    assert.deepEqual([opened.code, opened.err], [0, ""]);
    for (const { seal, namespaces } of linesOf(opened.out).slice(0, 2)) {
      assert.deepEqual([seal, namespaces], [encrypt ? "encrypted" : "signed", ["/"]]);
    }
    for (const env of [{}, { SOCKETIO_PG_SECRET: "another secret, of others" }]) {
      const { code, out, err } = await runHere(args, { env });
      assert.equal(code, 0);
      assert.match(err, /^Cannot read what [0-9a-f]{16} says: /);
      for (const { phase, uid, namespaces, error } of linesOf(out).slice(0, 2)) {
        assert.deepEqual([phase, namespaces, typeof error], ["ready", undefined, "string"]);
        assert.match(uid as string, /^[0-9a-f]{16}$/);
      }
    }
    // The clean-up fails where a server has reported an error.
  }
});

test("one with many namespaces tells them in pieces", async (scope) => {
  const cluster = await createCluster(scope, { size: 1, adapter: QUICK });
  for (let i = 0; i < 600; i++) cluster.io(0).of(`/a namespace of some length ${i}`);
  const { out } = await runHere(["nodes", cluster.uri, "--prefix", cluster.prefix, "--json"]);
  assert.equal((linesOf(out)[0]?.namespaces as string[]).length, 601);
});

test("nobody", async () => {
  const { code, out, err } = await runHere([
    "nodes",
    await databaseUri(),
    "--prefix",
    uniquePrefix(),
  ]);
  assert.deepEqual([code, out, err], [0, "No process of the cluster is there\n", ""]);
});

test("one that is not heard, by the name of its connection and by its lock", async (scope) => {
  const uri = await databaseUri();
  const prefix = uniquePrefix();
  const [named, other] = [createUid(), createUid()];
  const lock = (uid: string) =>
    `select pg_advisory_lock_shared(${keyOf(sha256Hex(prefix)) | 0}, ${keyOf(uid) | 0})`;
  const [first, second] = [connectSql(scope, uri), connectSql(scope, uri)];
  await first.unsafe(`set application_name = 'socketio-pg:listen:${named}'`);
  await first.unsafe(lock(named));
  await second.unsafe(lock(other));
  const args = ["nodes", uri, "--prefix", prefix, "--json", "--wait", "0.2"];
  const { code, out } = await runHere(args);
  assert.equal(code, 0);
  assert.deepEqual(
    linesOf(out).slice(0, 2).map(({ uid, phase }) => [uid, phase]),
    [[named, "silent"], [`${other.slice(0, 8)}…`, "silent"]],
  );
});

test("one that speaks and does not listen", async (scope) => {
  const uri = await databaseUri();
  const prefix = uniquePrefix();
  const [silent, deaf] = [createUid(), createUid()];
  const sql = connectSql(scope, uri);
  // As long as this one is waited for, the other one is heard.
  await sql.unsafe(
    `select pg_advisory_lock_shared(${keyOf(sha256Hex(prefix)) | 0}, ${keyOf(silent) | 0})`,
  );
  const running = start(scope, ["nodes", uri, "--prefix", prefix, "--json", "--wait", "1"]);
  const heartbeat = encodeMessage({ type: MessageType.HEARTBEAT, value: { s: 1 } });
  let sequence = 0;
  await until("it has ended", async () => {
    const head = { kind: "r", uid: deaf, sequence: ++sequence, previous: 0 } as const;
    await sql.notify(`${prefix}:~`, encodeFrame(head, heartbeat));
    return running.hasEnded;
  }, 20_000);
  const { code } = await running.end();
  assert.equal(code, 0);
  const phases = running.lines.map(({ uid, phase }) => [uid, phase]);
  assert.deepEqual(phases.find(([uid]) => uid === deaf), [deaf, "deaf"]);
});

test("a role that may not see the sessions of others is told so", async (scope) => {
  const { uri } = await createDatabase(scope, await databaseUri());
  const cluster = await createCluster(scope, { size: 1, uri, adapter: QUICK });
  const sql = connectSql(scope, uri);
  const role = `cli_${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  await sql.unsafe(`create role ${role} login password 'hush-hush'`);
  scope.after(() => sql.unsafe(`drop role ${role}`));
  const own = new URL(uri);
  [own.username, own.password] = [role, "hush-hush"];
  const { code, out, err } = await runHere([
    ...["nodes", own.href, "--prefix", cluster.prefix, "--json"],
  ]);
  assert.equal(code, 0);
  assert.match(err, /needs pg_read_all_stats\n$/);
  const [node] = linesOf(out);
  assert.deepEqual([node?.phase, node?.namespaces, node?.since], ["ready", ["/"], undefined]);
});
