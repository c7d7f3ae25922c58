/** TLS in front of the real server: a proxy that speaks PostgreSQL's request for TLS, with a certificate for "localhost". */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { TLSSocket } from "node:tls";
import postgres from "postgres";
import { pgAdapter } from "../../mod.ts";
import { uniquePrefix } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { type Scope, test } from "../support/test.ts";

const read = (name: string) => readFileSync(new URL(`./fixtures/${name}`, import.meta.url), "utf8");
const cert = read("localhost.crt");
const key = read("localhost.key");

/** The connection string of the proxy, at a host of this name, and how many connections were encrypted. */
async function tlsProxy(t: Scope): Promise<{ uri(host: string): string; encrypted: () => number }> {
  const target = new URL(await databaseUri());
  let encrypted = 0;
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", (request) => {
      assert.deepEqual([...request], [0, 0, 0, 8, 4, 210, 22, 47]);
      socket.write("S");
      const secure = new TLSSocket(socket, { isServer: true, cert, key });
      const upstream = connect(Number(target.port || 5432), target.hostname);
      secure.on("secure", () => encrypted++);
      for (const [a, b] of [[secure, upstream], [upstream, secure]] as const) {
        a.on("data", (data) => b.write(data));
        a.on("error", () => b.destroy());
        a.on("close", () => b.destroy());
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, resolve));
  t.after(() => server.close());
  const { port } = server.address() as { port: number };
  return {
    uri(host) {
      const uri = new URL(target);
      uri.host = `${host}:${port}`;
      return uri.href;
    },
    encrypted: () => encrypted,
  };
}

test("TLS as the connection string or the options of postgres.js say", async (t) => {
  const proxy = await tlsProxy(t);
  const targets = {
    "sslmode=require": `${proxy.uri("localhost")}?sslmode=require`,
    "a certificate authority": postgres(proxy.uri("localhost"), { ssl: { ca: cert } }),
  };
  for (const [name, target] of Object.entries(targets)) {
    const before = proxy.encrypted();
    const adapter = pgAdapter(target, { prefix: uniquePrefix() });
    t.after(() => adapter.close());
    await adapter.ready();
    assert.equal(proxy.encrypted() - before, 2, name);
    await adapter.close();
  }
});

test("a certificate that is not trusted, or is that of another host, is refused", async (t) => {
  const proxy = await tlsProxy(t);
  const targets = {
    "not trusted": `${proxy.uri("localhost")}?sslmode=verify-full`,
    "another host": postgres(proxy.uri("127.0.0.1"), { ssl: { ca: cert } }),
  };
  for (const [name, target] of Object.entries(targets)) {
    const adapter = pgAdapter(target, { prefix: uniquePrefix() });
    adapter.on("error", () => {});
    t.after(() => adapter.close());
    await assert.rejects(adapter.ready(), { code: "CONNECT_FAILED" }, name);
    await adapter.close();
  }
});
