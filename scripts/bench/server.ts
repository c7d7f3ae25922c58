/**
 * A Socket.IO server of a benchmark, in a process of its own.
 *
 * @module
 */

import { createAdapter } from "@socket.io/redis-streams-adapter";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { createClient } from "redis";
import { Server } from "socket.io";
import { pgAdapter } from "../../mod.ts";
import { obey } from "./child.ts";
import { text } from "./text.ts";

/** What a server is made of. */
export interface ServerOptions {
  readonly adapter: "socketio-pg" | "redis-streams";
  /** Of the database. */
  readonly uri: string;
  readonly hasRecovery: boolean;
}

/** What a server sends. */
export interface Burst {
  /** The number of the first message. */
  readonly from: number;
  readonly count: number;
  /** Characters of the text of each. */
  readonly size: number;
}

/** As many entries as none of a burst is trimmed before it is read, and as many at a time as are fastest. */
const STREAMS_OPTIONS = { maxLen: 100_000, readCount: 1_000, onlyPlaintext: true };

let io: Server | undefined;
let sent = 0;

/** What a server can be told to do. */
export const SERVER = {
  async start({ adapter, uri, hasRecovery }: ServerOptions): Promise<number> {
    const http = createServer();
    const recovery = hasRecovery ? { connectionStateRecovery: {} } : {};
    io = new Server(http, { ...recovery, adapter: await adapterOf(adapter, uri) });
    io.on("connection", (socket) => {
      socket.on("say", (size: number) => void SERVER.burst({ from: sent, count: 1, size }));
    });
    await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
    return (http.address() as AddressInfo).port;
  },
  /** Sends to all. */
  burst({ from, count, size }: Burst): void {
    const data = text(size);
    sent = from + count;
    for (let n = from; n < sent; n++) io?.emit("tick", n, data);
  },
  /** Microseconds of processor time so far. */
  processor(): number {
    const { user, system } = process.cpuUsage();
    return user + system;
  },
};

async function adapterOf(
  name: ServerOptions["adapter"],
  uri: string,
): Promise<ReturnType<typeof pgAdapter> | ReturnType<typeof createAdapter>> {
  if (name === "socketio-pg") {
    const adapter = pgAdapter(uri);
    adapter.on("error", (error) => console.error(`${error}`));
    // The first namespace starts it: it is ready when what is sent arrives, which the benchmark waits for.
    return adapter;
  }
  const client = createClient({ url: uri });
  client.on("error", (error) => console.error(`${error}`));
  await client.connect();
  return createAdapter(client, STREAMS_OPTIONS);
}

obey(SERVER);
