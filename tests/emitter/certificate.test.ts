/** `verify-full` checks for whom a certificate is. This file is also the process that trusts the certificate of the tests. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Emitter } from "../../src/emitter.ts";
import { databaseUri } from "../support/database.ts";
import { runtime } from "../support/runtime.ts";
import { test } from "../support/test.ts";
import { certificate, startTlsProxy } from "../support/tls_proxy.ts";

const URI = "EMITTER_URI";
const skip = runtime === "deno" && "it trusts no certificate that is its own authority";

/** What becomes of an emit in a process that trusts the certificate. */
function emitBy(uri: string): Promise<string> {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url)], {
    env: { ...process.env, [URI]: uri, NODE_EXTRA_CA_CERTS: fileURLToPath(certificate) },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (data: unknown) => output += String(data));
  }
  return new Promise((resolve) => child.once("close", () => resolve(output)));
}

const uri = process.env[URI];
if (uri !== undefined) {
  const emitter = new Emitter(uri);
  console.log(await emitter.emit("hello").then(() => "sent", String));
  await emitter.close();
} else {
  test("a certificate that is trusted has to be for the host", async (t) => {
    const proxy = await startTlsProxy(t, await databaseUri());
    assert.match(await emitBy(`${proxy.uri("localhost")}?sslmode=verify-full`), /^sent$/m);
    for (const host of ["127.0.0.1", "[::1]"]) {
      const output = await emitBy(`${proxy.uri(host)}?sslmode=verify-full`);
      assert.match(output, /Cannot connect to .* as .*does not match certificate/);
      assert.doesNotMatch(output, /^sent$/m);
      assert.match(await emitBy(`${proxy.uri(host)}?sslmode=require`), /^sent$/m);
    }
  }, { skip });
}
