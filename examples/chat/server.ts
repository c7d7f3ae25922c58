/**
 * A chat with rooms. Started several times on one database it is one chat: who is at one server talks to who is at
 * another.
 *
 *     PORT=3000 node server.ts
 *     PORT=3001 deno run --allow-net --allow-env --allow-read server.ts
 *     PORT=3002 bun server.ts
 */
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import process from "node:process";
import { type DefaultEventsMap, Server } from "socket.io";
import { pgAdapter } from "../../mod.ts"; // "@x/socketio-pg"

interface ClientToServer {
  join: (name: string, room: string, joined: (names: string[]) => void) => void;
  say: (text: string) => void;
}

interface ServerToClient {
  joined: (name: string) => void;
  said: (name: string, text: string) => void;
  left: (name: string) => void;
}

interface SocketData {
  name: string;
  room: string;
}

const { DATABASE_URL = "postgresql://", PORT = "3000" } = process.env;

const page = readFileSync(new URL("index.html", import.meta.url));
const http = createServer((_request, response) => {
  response.setHeader("content-type", "text/html; charset=utf-8").end(page);
});
const io = new Server<ClientToServer, ServerToClient, DefaultEventsMap, SocketData>(http, {
  adapter: pgAdapter(DATABASE_URL),
});

io.on("connection", (socket) => {
  // What a client sends may be anything, whatever its type is here.
  socket.on("join", async (name, room, joined) => {
    if (!isName(name) || !isName(room) || typeof joined !== "function") return;
    leave();
    socket.data = { name, room };
    await socket.join(room);
    socket.to(room).emit("joined", name);
    joined(await namesIn(room));
  });

  socket.on("say", (text) => {
    const { name, room } = socket.data;
    if (room === undefined || typeof text !== "string" || text === "") return;
    io.to(room).emit("said", name, text.slice(0, 2_000));
  });

  socket.on("disconnect", leave);

  function leave(): void {
    const { name, room } = socket.data;
    if (room === undefined) return;
    void socket.leave(room);
    io.to(room).emit("left", name);
  }
});

/** Who is in a room, at any of the servers. */
async function namesIn(room: string): Promise<string[]> {
  // While the database is away nobody knows who is at the others.
  const sockets = await io.in(room).fetchSockets().catch(() => io.local.in(room).fetchSockets());
  return sockets.map(({ data }) => data.name);
}

function isName(value: unknown): value is string {
  return typeof value === "string" && value.length >= 1 && value.length <= 40;
}

http.listen(Number(PORT), () => console.log("Listening on", http.address()));
// Says goodbye to the clients and to the other servers; nothing keeps the process alive then.
// Whoever starts it may send that twice: to all processes, and once more by npm.
process.on("SIGTERM", () => {
  // A browser has connections ready that it has not used yet, which Node would wait for: all have a second.
  const patience = setInterval(() => http.closeAllConnections(), 1_000);
  void io.close(() => clearInterval(patience));
});
