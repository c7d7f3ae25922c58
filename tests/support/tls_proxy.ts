/** TLS in front of the real server: a proxy that speaks PostgreSQL's request for TLS, with a certificate for "localhost". */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { TLSSocket } from "node:tls";
import type { Scope } from "./test.ts";

/** The file of the certificate, which is its own authority. */
export const certificate: URL = new URL("../bus/fixtures/localhost.crt", import.meta.url);
/** The file of an authority that has issued no other certificate. */
export const otherAuthority: URL = new URL("../bus/fixtures/other_authority.crt", import.meta.url);

const cert = readFileSync(certificate, "utf8");
const key = readFileSync(new URL("../bus/fixtures/localhost.key", import.meta.url), "utf8");

/** A proxy that is running. */
export interface TlsProxy {
  /** The connection string of the proxy, at a host of this name. */
  uri(host: string): string;
  /** How many connections were encrypted. */
  encrypted(): number;
}

/** Starts a proxy in front of a server; it ends with the test. */
export async function startTlsProxy(t: Scope, server: string): Promise<TlsProxy> {
  const target = new URL(server);
  let encrypted = 0;
  const listener = createServer((socket) => {
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
  await new Promise<void>((resolve) => listener.listen(0, resolve));
  t.after(() => listener.close());
  const { port } = listener.address() as { port: number };
  return {
    uri(host) {
      const uri = new URL(target);
      uri.host = `${host}:${port}`;
      return uri.href;
    },
    encrypted: () => encrypted,
  };
}
