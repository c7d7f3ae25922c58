/** What is between a client and the servers: it leads to any of them, and tears connections as networks do. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import type { Scope } from "./test.ts";
import { next } from "./wait.ts";

/** A relay of TCP for one client. */
export class Relay {
  readonly port: number;
  /** Where new connections lead to. */
  target: number;
  readonly #server: Server;
  readonly #open: Set<Socket> = new Set();
  /** How many bytes go on to the client until everything is torn. */
  #left = Infinity;

  private constructor(server: Server, target: number) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    this.target = target;
  }

  /** Starts a relay; it ends with the test. */
  static async start(scope: Scope, target: number): Promise<Relay> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await next(server, "listening");
    const relay = new Relay(server, target);
    server.on("connection", (socket) => relay.#relay(socket));
    scope.after(() => {
      server.close();
      relay.tear();
    });
    return relay;
  }

  /** Tears what is open, on both sides, once so many more bytes have gone on to the client. */
  tear(afterBytes = 0): void {
    this.#left = afterBytes;
    if (afterBytes > 0) return;
    this.#left = Infinity;
    for (const socket of this.#open) socket.destroy();
  }

  /** Tears at once what is to be torn after some more bytes: there are none to come. */
  tearSooner(): void {
    if (this.#left !== Infinity) this.tear();
  }

  /** Passes nothing on to the client any more, until it is torn: what the server writes is lost then. */
  stall(): void {
    for (const socket of this.#open) socket.pause();
  }

  #relay(client: Socket): void {
    const server = connect(this.target, "127.0.0.1");
    for (const [socket, other] of [[client, server], [server, client]] as const) {
      this.#open.add(socket);
      socket.on("error", () => other.destroy());
      socket.on("close", () => {
        this.#open.delete(socket);
        other.destroy();
      });
    }
    client.on("data", (data) => void server.write(data));
    server.on("data", (data) => {
      // A frame may end in its middle.
      client.write(data.subarray(0, this.#left));
      this.#left -= data.length;
      if (this.#left <= 0) this.tear();
    });
  }
}
