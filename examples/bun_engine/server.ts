/**
 * Bun's own HTTP server and Socket.IO on one port, by the engine that Socket.IO has for it: what is posted to any of the
 * servers reaches the clients of all.
 *
 *     PORT=3000 bun server.ts
 *     curl http://localhost:3000/news -d '{"text":"It works"}'
 */
import process from "node:process";
import { Server as Engine } from "@socket.io/bun-engine";
import { Server } from "socket.io";
import { pgAdapter } from "../../mod.ts"; // "@x/socketio-pg"

const { DATABASE_URL = "postgresql://", PORT = "3000" } = process.env;

const io = new Server({ adapter: pgAdapter(DATABASE_URL) });
// The path of the clients: its own default is another one.
const engine = new Engine({ path: "/socket.io/" });
io.bind(engine);
const handler = engine.handler();

// Bun serves what a program exports.
export default {
  ...handler,
  port: Number(PORT),
  async fetch(...args: Parameters<typeof handler.fetch>): Promise<Response> {
    const [request] = args;
    // Who may post is for you to say.
    if (request.method === "POST" && new URL(request.url).pathname === "/news") {
      io.emit("news", await request.json());
      return new Response(null, { status: 202 });
    }
    return await handler.fetch(...args);
  },
};

// Whoever starts it may send that twice: to all processes, and once more by npm.
process.on("SIGTERM", async () => {
  await io.close();
  process.exit();
});
