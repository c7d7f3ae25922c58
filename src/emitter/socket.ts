/**
 * The socket of a connection, where the runtime has those of Node. Only who made it can destroy it: postgres.js asks the
 * server to hang up, which one that is out of reach never does, and until then the process would go on.
 */
import type { Socket } from "node:net";

type Net = Pick<typeof import("node:net"), "connect">;

declare const process: { getBuiltinModule?(name: string): unknown } | undefined;
declare const navigator: { userAgent?: string } | undefined;

/**
 * What opens sockets, asked for while the program runs so that it bundles for runtimes that have none. At Cloudflare's
 * the driver has its own, whose TLS is no other's; a connection ends there with its request. Node has it since 20.16.
 */
const net: Net | undefined =
  typeof navigator !== "undefined" && navigator.userAgent === "Cloudflare-Workers" ||
    typeof process === "undefined"
    ? undefined
    : process.getBuiltinModule?.("node:net") as Net | undefined;

/** A socket that is being opened and can be given up at any time. */
export interface Dial {
  /** The socket once it is connected; TLS is up to the driver. */
  readonly ready: Promise<Socket>;
  /** Destroys it. */
  destroy(): void;
}

/** Opens a socket, of the system if there is a path. Not there where only the driver can. */
export const dial:
  | ((path: string | false, host: string, port: number) => Dial)
  | undefined = net === undefined ? undefined : (path, host, port) => {
    const socket = net.connect(path === false ? { host, port } : { path });
    const ready = new Promise<Socket>((resolve, reject) => {
      socket.on("error", reject);
      socket.once("close", () => reject(new Error("the server closed the connection")));
      // The driver asks for a certificate of the name that it finds here.
      socket.once("connect", () => resolve(Object.assign(socket, path === false ? { host } : {})));
    });
    return {
      ready,
      destroy() {
        // The driver takes all handlers away, where TLS goes over it, and when it has seen it close.
        socket.on("error", () => {});
        socket.destroy();
      },
    };
  };
