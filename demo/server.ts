/**
 * One of the three servers. The same file runs in Deno, Bun and Node; only the last step, listening,
 * differs, as Bun has an engine of its own.
 */
import process from "node:process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type DefaultEventsMap, Server, type Socket } from "socket.io";
import { pgAdapter } from "../mod.ts";
import { now } from "./clock.ts";
import type { ClientToServer, Ready, Sent, ServerToClient, Status } from "./events.ts";

declare const Deno: { version: { deno: string } } | undefined;
declare const Bun: {
  version: string;
  serve(options: object): { port: number; stop(force?: boolean): Promise<void> };
} | undefined;

const [id, version] = typeof Deno !== "undefined"
  ? ["deno" as const, Deno.version.deno]
  : typeof Bun !== "undefined"
  ? ["bun" as const, Bun.version]
  : ["node" as const, process.versions.node];

const { DATABASE_URL, SERVER_PORT = "0", PAGE_PORT = "3000" } = process.env;

// A page from anywhere else must not talk to a server that joined a database's cluster.
const origins = [`http://127.0.0.1:${PAGE_PORT}`, `http://localhost:${PAGE_PORT}`];
const fromThePage = (origin: string | null | undefined) => origins.includes(origin ?? "");

// A dead server is noticed by the others after two and a half seconds here, so that one can watch it.
const adapter = pgAdapter(DATABASE_URL ?? "", {
  heartbeatInterval: 1_000,
  heartbeatTimeout: 2_500,
});
const io = new Server<ClientToServer, ServerToClient, DefaultEventsMap, { name: string }>({
  adapter,
  serveClient: false,
  allowRequest: (req, decide) => decide(null, fromThePage(req.headers.origin)),
});

adapter.on("error", (fault) => io.local.emit("notice", "fault", fault.message));
adapter.on("disconnect", (fault) => {
  io.local.emit("notice", "fault", fault.message);
  void tell();
});
adapter.on("reconnect", () => {
  io.local.emit("notice", "back", "PostgreSQL is back");
  void tell();
});
adapter.on("node-up", (uid) => io.local.emit("notice", "up", uid));
adapter.on("node-down", (uid) => io.local.emit("notice", "down", uid));

const ROOM_RULE = "a room's name has 1 to 40 characters";
const NOT_SENT: Sent = { sentAt: 0, answers: 0, roundTripMs: 0 };

io.on("connection", (socket) => {
  const { name, rooms } = socket.handshake.auth;
  socket.data.name = isName(name) ? name : "Somebody";
  const joined = Array.isArray(rooms) ? socket.join(rooms.filter(isName).slice(0, 20)) : undefined;

  // What the adapter hands to this client, whichever server it came from, is stamped here.
  socket.onAnyOutgoing((event) => {
    if (event === "chat") socket.emit("handed", now());
  });

  socket.on("send", (text, room, answer) => {
    if (typeof answer !== "function") return;
    if (typeof text !== "string" || text === "" || text.length > 2_000) {
      return answer({ ...NOT_SENT, error: "a message has 1 to 2,000 characters" });
    }
    if (room !== undefined && room !== null && !isName(room)) {
      return answer({ ...NOT_SENT, error: ROOM_RULE });
    }
    send(socket, text, room ?? undefined, answer);
  });

  socket.on("join", (room, answer) => move(socket, "join", room, answer));
  socket.on("leave", (room, answer) => move(socket, "leave", room, answer));
  socket.on("disconnect", () => void tell());
  void Promise.resolve(joined).then(tell);
});

/** Sends to everyone, or to a room, on all servers; each client answers with its name. */
function send(
  socket: Socket<ClientToServer, ServerToClient, DefaultEventsMap, { name: string }>,
  text: string,
  room: string | undefined,
  answer: (sent: Sent) => void,
): void {
  const sentAt = now();
  const from = { client: socket.data.name, server: id };
  (room === undefined ? io : io.to(room)).timeout(3_000).emit(
    "chat",
    room === undefined ? { text, from, sentAt } : { text, from, sentAt, room },
    (error: Error | null, names: string[] = []) => {
      answer({
        sentAt,
        answers: names.length,
        roundTripMs: now() - sentAt,
        ...(error && { error: error.message }),
      });
    },
  );
}

async function move(
  socket: Socket,
  verb: "join" | "leave",
  room: unknown,
  answer: unknown,
): Promise<void> {
  const reply = typeof answer === "function" ? answer : () => {};
  if (!isName(room)) return reply(ROOM_RULE);
  await socket[verb](room);
  reply();
  await tell();
}

function isName(value: unknown): value is string {
  return typeof value === "string" && value.trim() !== "" && value.length <= 40;
}

/** Tells this server's own clients how things stand; joins made from SQL show at the next beat. */
async function tell(): Promise<void> {
  const stats = adapter.stats();
  const status: Status = {
    uid: stats.uid,
    servers: await io.of("/").adapter.serverCount(),
    clients: [...io.of("/").sockets.values()].map((socket) => ({
      id: socket.id,
      name: socket.data.name,
      rooms: [...socket.rooms].filter((room) => room !== socket.id),
    })),
    isLinked: stats.phase === "ready",
    published: stats.published.frames,
    received: stats.received.frames,
  };
  io.local.emit("status", status);
}
const beat = setInterval(tell, 1_000);

let stop: () => Promise<void> = () => adapter.close();

// Ctrl-C reaches the whole process group, but it is the demo that says when to stop: by closing
// standard input, which also happens when the demo itself is killed.
process.on("SIGINT", () => {});
process.once("SIGTERM", leave);
process.stdin.once("end", leave).resume();

await adapter.ready();
const listening = typeof Bun !== "undefined" ? await serveOnBun() : await serve();
stop = listening.stop;
const ready: Ready = { ready: id, version, port: listening.port };
console.log(JSON.stringify(ready));

/** Node and Deno: the engine that comes with Socket.IO, on `node:http`. */
function serve(): Promise<{ port: number; stop: () => Promise<void> }> {
  const server = createServer();
  io.attach(server);
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      // The wished port belongs to somebody: any other will do.
      if (error.code === "EADDRINUSE") server.listen(0, "127.0.0.1");
      else reject(error);
    });
    server.once("listening", () => {
      resolve({ port: (server.address() as AddressInfo).port, stop: () => io.close() });
    });
    server.listen(Number(SERVER_PORT), "127.0.0.1");
  });
}

/** Bun: the engine made for `Bun.serve`. */
async function serveOnBun(): Promise<{ port: number; stop: () => Promise<void> }> {
  const { Server: Engine } = await import("@socket.io/bun-engine");
  const engine = new Engine({
    path: "/socket.io/",
    allowRequest: (req) => {
      return fromThePage(req.headers.get("origin"))
        ? Promise.resolve()
        : Promise.reject("another page's origin");
    },
  });
  io.bind(engine);
  const options = { hostname: "127.0.0.1", ...engine.handler() };
  let server: { port: number; stop(force?: boolean): Promise<void> };
  try {
    server = Bun!.serve({ ...options, port: Number(SERVER_PORT) });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    server = Bun!.serve({ ...options, port: 0 });
  }
  return {
    port: server.port,
    stop: async () => {
      await io.close();
      await server.stop(true);
    },
  };
}

async function leave(): Promise<void> {
  clearInterval(beat);
  await stop();
  process.exit(0);
}
