/** TLS as an adapter is told to use it. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import postgres from "postgres";
import { pgAdapter } from "../../mod.ts";
import { Session } from "../../src/bus/session.ts";
import { connectionSettings } from "../../src/bus/settings.ts";
import { uniquePrefix } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { test } from "../support/test.ts";
import { certificate, otherAuthority, startTlsProxy } from "../support/tls_proxy.ts";

const cert = readFileSync(certificate, "utf8");

test("TLS as the connection string or the options of postgres.js say", async (t) => {
  const proxy = await startTlsProxy(t, await databaseUri());
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
  const proxy = await startTlsProxy(t, await databaseUri());
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

test("each way to ask for TLS, at a host whose certificate fits and one whose does not", async (t) => {
  const plain = await databaseUri();
  const { uri, encrypted } = await startTlsProxy(t, plain);
  const own = `sslrootcert=${encodeURIComponent(fileURLToPath(certificate))}`;
  const other = `sslrootcert=${encodeURIComponent(fileURLToPath(otherAuthority))}`;
  const missing = `sslrootcert=${encodeURIComponent(fileURLToPath(certificate))}.none`;
  const [fits, differs] = [uri("localhost"), uri("127.0.0.1")];
  const cases: [target: string | postgres.Sql, expected: "encrypted" | "clear" | RegExp][] = [
    [`${fits}?sslmode=prefer`, "encrypted"],
    [`${fits}?sslmode=require`, "encrypted"],
    [`${differs}?sslmode=require`, "encrypted"],
    [`${fits}?sslmode=verify-ca`, /TLS failed/],
    [`${fits}?sslmode=verify-full`, /TLS failed/],
    [`${fits}?sslmode=require&${own}`, "encrypted"],
    [`${differs}?sslmode=require&${own}`, "encrypted"],
    [`${fits}?sslmode=require&${other}`, /TLS failed/],
    [`${differs}?sslmode=verify-ca&${own}`, "encrypted"],
    [`${fits}?sslmode=verify-ca&${other}`, /TLS failed/],
    [`${fits}?sslmode=verify-full&${own}`, "encrypted"],
    [`${differs}?sslmode=verify-full&${own}`, /TLS failed/],
    [`${fits}?sslmode=verify-full&${missing}`, /\.none cannot be read/],
    [`${fits}?sslmode=require&sslrootcert=system`, /TLS failed/],
    [postgres(fits, { ssl: { ca: cert } }), "encrypted"],
    [postgres(differs, { ssl: { ca: cert } }), /TLS failed/],
    [postgres(differs, { ssl: { ca: cert, servername: "localhost" } }), "encrypted"],
    [postgres(differs, { ssl: { rejectUnauthorized: false } }), "encrypted"],
    [postgres(fits, { ssl: "verify-full" }), /TLS failed/],
    [postgres(fits, { ssl: true }), /TLS failed/],
    [plain, "clear"],
    [`${plain}?sslmode=disable`, "clear"],
    [`${plain}?sslmode=disable&${missing}`, "clear"],
    [`${plain}?sslmode=prefer`, "clear"],
    [`${plain}?sslmode=require`, /does not support TLS/],
    [`${plain}?sslmode=verify-full`, /does not support TLS/],
  ];
  for (const [target, expected] of cases) {
    const before = encrypted();
    const what = typeof target === "string" ? target : JSON.stringify(target.options.ssl);
    if (expected instanceof RegExp) {
      await assert.rejects(connectTo(target), { code: "CONNECT_FAILED", message: expected }, what);
    } else {
      await connectTo(target);
      assert.equal(encrypted() - before, expected === "encrypted" ? 1 : 0, what);
    }
  }
});

test("whoever answers the request for TLS with more than a yes or no is not talked to", async (t) => {
  for (const answer of ["SEverything from here on is forged", "Eno such thing\0", "?"]) {
    let more = 0;
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => {
        socket.on("data", ({ length }) => more += length);
        socket.write(answer);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => server.close());
    const { port } = server.address() as { port: number };
    for (const mode of ["prefer", "require"]) {
      await assert.rejects(connectTo(`postgresql://u@127.0.0.1:${port}/d?sslmode=${mode}`), {
        code: "CONNECT_FAILED",
        message: /did not answer the request for TLS as it should/,
      }, `${answer} ${mode}`);
    }
    assert.equal(more, 0);
  }
});

/** One connection, which is closed again. */
async function connectTo(target: string | postgres.Sql): Promise<void> {
  const settings = connectionSettings(target);
  const session = new Session(
    settings,
    settings.addresses[0]!,
    "tests",
    { connect: 2_000, statement: 2_000, isOwn: true },
    { lost: () => {} },
  );
  try {
    await session.open();
  } finally {
    await session.end();
  }
}
