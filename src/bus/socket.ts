/**
 * Opens the socket of one connection attempt: TCP or a Unix socket, then TLS, all within one deadline. postgres.js gets
 * a socket that is ready, with `ssl: false`: its own TLS removes the listeners of the socket below, so that a later
 * `destroy()` is an uncaught exception on Node.
 */
import { connect, isIP, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import type { Address, Tls } from "./settings.ts";

/** SSLRequest: https://www.postgresql.org/docs/current/protocol-message-formats.html */
const SSL_REQUEST = new Uint8Array([0, 0, 0, 8, 4, 210, 22, 47]);
const SSL_ACCEPTED = 83; // "S"
const KEEP_ALIVE_MS = 10_000;

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
        if (answer[0] !== SSL_ACCEPTED) {
          if (tls.mode === "prefer") return resolve(raw);
          return reject(
            new Error("the server does not support TLS, which the connection string asks for"),
          );
        }
        // Bytes after the answer were not encrypted and must not be taken for some that were (CVE-2021-23222).
        if (answer.length !== 1) return reject(new Error("the server sent data before TLS"));
        const { host } = address;
        // Without the host the certificate would be checked against "localhost".
        const options: ConnectionOptions = { socket: raw, host, ...tls.options };
        if (!isIP(host) && options.servername === undefined) options.servername = host;
        current = connectTls(options);
        current.on("error", reject);
        current.once("close", closed);
        current.once("secureConnect", () => resolve(current));
      });
    });
  });
  return {
    ready,
    destroy() {
      current.destroy();
      raw.destroy();
    },
  };
}
