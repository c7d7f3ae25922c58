/**
 * A Socket.IO server of a benchmark, in a process of its own.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Server } from "socket.io";
import { obey, type Usage, usage } from "./child.ts";
import { PEERS } from "./peers.ts";
import { steadily } from "./steadily.ts";
import { text } from "./text.ts";

/** What a server is made of. */
export interface ServerOptions {
  /** The name of a peer. */
  readonly peer: string;
  /** Of its database. */
  readonly uri: string;
  readonly hasRecovery: boolean;
  /** How many namespaces there are beside the main one. */
  readonly namespaces: number;
}

/** What messages are like. */
export interface Kind {
  /** Characters of text, or bytes. */
  readonly size: number;
  readonly isBinary?: boolean;
  /** The names of the rooms that they go to, in turn; all clients if there are none. */
  readonly rooms?: readonly string[];
}

/** What a server sends at once. */
export interface Burst extends Kind {
  /** The number of the first message. */
  readonly from: number;
  readonly count: number;
}

/** What a server sends over a time. */
export interface Stream extends Burst {
  /** Messages a second. */
  readonly rate: number;
}

/** What a server asks the others. */
export interface Requests {
  readonly what: "fetchSockets" | "serverSideEmit";
  readonly ms: number;
}

let io: Server | undefined;

/** What a server can be told to do. */
export const SERVER = {
  async start({ peer, uri, hasRecovery, namespaces }: ServerOptions): Promise<number> {
    const http = createServer();
    const adapter = await PEERS[peer]!.create(uri);
    const server = io = new Server(http, {
      ...adapter !== undefined && { adapter },
      ...hasRecovery && { connectionStateRecovery: {} },
      // A megabyte that is acknowledged by nobody is no reason to hang up.
      maxHttpBufferSize: 100_000_000,
      perMessageDeflate: false,
    });
    for (let n = 0; n < namespaces; n++) server.of(`/${n}`);
    server.on("connection", (socket) => {
      socket.on("join", async (rooms: string[], done: () => void) => {
        await socket.join(rooms);
        done();
      });
    });
    server.on("ping", (acknowledge) => acknowledge("pong"));
    await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
    return (http.address() as AddressInfo).port;
  },
  /** How many servers it knows, itself included. */
  servers: () => io!.of("/").adapter.serverCount(),
  /** Sends to all, or to rooms. */
  burst({ from, count, ...kind }: Burst): void {
    const send = sender(kind);
    for (let n = from; n < from + count; n++) send(n);
  },
  /** Sends at a steady rate. */
  async stream({ from, count, rate, ...kind }: Stream): Promise<void> {
    const send = sender(kind);
    await steadily(count, rate, (n) => send(from + n));
  },
  /** Asks the other servers, one request after the other; the milliseconds of each. */
  async ask({ what, ms }: Requests): Promise<number[]> {
    const ask = what === "fetchSockets"
      ? () => io!.fetchSockets()
      : () => io!.serverSideEmitWithAck("ping");
    const times: number[] = [];
    const end = performance.now() + ms;
    while (performance.now() < end) {
      const start = performance.now();
      await ask();
      times.push(performance.now() - start);
    }
    return times;
  },
  usage: (): Usage => usage(),
};

/** Sends the message of a number, with the time of that. */
function sender({ size, isBinary, rooms = [] }: Kind): (n: number) => void {
  const letters = text(size);
  const data = isBinary ? Buffer.from(letters) : letters;
  return (n) => {
    const to = rooms.length === 0 ? io! : io!.to(rooms[n % rooms.length]!);
    to.emit("tick", n, performance.timeOrigin + performance.now(), data);
  };
}

obey(SERVER);
