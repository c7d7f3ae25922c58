/**
 * Opens the socket of one connection attempt: TCP or a Unix socket, then TLS, all within one deadline. postgres.js gets
 * a socket that is ready, with `ssl: false`: its own TLS removes the listeners of the socket below, so that a later
 * `destroy()` is an uncaught exception on Node.
 */
import { readFile } from "node:fs/promises";
import { connect, isIP, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import { messageOf } from "../errors.ts";
import type { Address, Tls } from "./settings.ts";

/** SSLRequest: https://www.postgresql.org/docs/current/protocol-message-formats.html */
const SSL_REQUEST = new Uint8Array([0, 0, 0, 8, 4, 210, 22, 47]);
const SSL_ACCEPTED = 83; // "S"
const SSL_REFUSED = 78; // "N"
/** How long a connection is idle before the system asks whether the peer is there. */
export const KEEP_ALIVE_MS = 10_000;

/** Why a connection is not encrypted as it should be. */
export class TlsFault extends Error {
  override readonly name: string = "TlsFault";
}

/**
 * Reads the files that a connection string names, for each attempt anew: certificates are replaced.
 *
 * @throws TlsFault
 */
export async function readTlsFiles(tls: Tls): Promise<Tls> {
  if (tls.mode === "disable") return tls;
  const options: ConnectionOptions = { ...tls.options };
  for (const [name, path] of Object.entries(tls.files) as [keyof Tls["files"], string][]) {
    try {
      options[name] = await readFile(path);
    } catch (cause) {
      throw new TlsFault(`${path} cannot be read: ${messageOf(cause)}`, { cause });
    }
  }
  return { ...tls, options };
}

/** A socket that is being opened and can be given up at any time. */
export interface Dial {
  /** The socket once it is ready for PostgreSQL's start-up message. */
  ready: Promise<Socket>;
  /** Destroys whatever there is by now. */
  destroy(): void;
}

/** Opens a socket to a server. */
export function dial(address: Address, tls: Tls): Dial {
  const raw = connect(
    "path" in address ? { path: address.path } : { host: address.host, port: address.port },
  );
  let current: Socket = raw;
  const ready = new Promise<Socket>((resolve, reject) => {
    const closed = () => reject(new Error("the server closed the connection"));
    // The handler stays for good: a socket without one throws what nobody else hears.
    raw.on("error", reject);
    raw.once("close", closed);
    raw.once("connect", () => {
      raw.setNoDelay(true);
      raw.setKeepAlive(true, KEEP_ALIVE_MS);
      if (tls.mode === "disable" || "path" in address) return resolve(raw);
      raw.write(SSL_REQUEST);
      raw.once("data", (answer) => {
        // Bytes after the answer were not encrypted and must not be taken for some that were (CVE-2021-23222). An error
        // in place of the answer may be anybody's.
        if (answer.length !== 1 || (answer[0] !== SSL_ACCEPTED && answer[0] !== SSL_REFUSED)) {
          return reject(new TlsFault("the server did not answer the request for TLS as it should"));
        }
        if (answer[0] === SSL_REFUSED) {
          if (tls.mode === "prefer") return resolve(raw);
          return reject(
            new TlsFault("the server does not support TLS, which the connection string asks for"),
          );
        }
        const { host } = address;
        // Without the host the certificate would be checked against "localhost".
        const options: ConnectionOptions = { socket: raw, host, ...tls.options };
        if (!isIP(host) && options.servername === undefined) options.servername = host;
        const failed = (cause: unknown) =>
          reject(new TlsFault(`TLS failed: ${messageOf(cause)}`, { cause }));
        try {
          current = connectTls(options);
        } catch (cause) {
          // A certificate that is none.
          return failed(cause);
        }
        current.on("error", failed);
        current.once("close", closed);
        current.once("secureConnect", () => resolve(current));
      });
    });
  });
  return {
    ready,
    destroy() {
      for (const socket of [current, raw]) {
        // The driver takes all handlers away from a socket that it has seen close.
        socket.on("error", () => {});
        socket.destroy();
      }
    },
  };
}
