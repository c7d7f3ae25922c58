import { connect, createServer, type Socket } from "node:net";
import type { Scope } from "./test.ts";

/** A way to a server, which can be cut off such that nobody is told. */
export interface Way {
  /** The connection string of the server, by this way. */
  readonly uri: string;
  /** From now on nothing passes, neither bytes nor the ends of connections. */
  fallSilent(): void;
}

/** Opens a way to a server; it ends with the test. */
export async function startWay(t: Scope, server: string): Promise<Way> {
  const target = new URL(server);
  const sockets = new Set<Socket>();
  let isSilent = false;
  // Otherwise Node itself would answer the end of a connection by an end.
  const listener = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.resume();
    if (isSilent) return;
    const up = connect(Number(target.port || 5432), target.hostname);
    sockets.add(up);
    up.on("error", () => {});
    for (const [from, to] of [[socket, up], [up, socket]] as const) {
      from.on("data", (data) => isSilent || to.write(data));
      from.on("end", () => isSilent || to.end());
    }
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    listener.close();
  });
  const uri = new URL(target);
  uri.host = `127.0.0.1:${(listener.address() as { port: number }).port}`;
  return { uri: uri.href, fallSilent: () => void (isSilent = true) };
}
