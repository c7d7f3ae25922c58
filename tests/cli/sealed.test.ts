import assert from "node:assert/strict";
import { createCluster } from "../support/cluster.ts";
import { test } from "../support/test.ts";
import { runHere } from "./command_line.ts";

test("signed and encrypted events are taken by servers with the secret", async (scope) => {
  const secret = "a secret of the servers";
  const cluster = await createCluster(scope, { size: 2, adapter: { secret, encrypt: true } });
  const args = ["emit", "hush", "1", "--uri", cluster.uri, "--prefix", cluster.prefix, "--encrypt"];
  assert.deepEqual(await runHere(args, { env: { SOCKETIO_PG_SECRET: secret } }), {
    code: 0,
    out: "",
    err: "",
  });
  for (const i of [0, 1]) assert.deepEqual(await cluster.inbox(i).count("hush", 1), [[1]]);
});
