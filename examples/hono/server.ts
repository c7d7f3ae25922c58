/**
 * Hono and Socket.IO on one port: what is posted to any of the servers reaches the clients of all. Socket.IO wants a
 * server of `node:http`, which @hono/node-server puts the handler of Hono on, in Node as in Deno.
 *
 *     PORT=3000 node server.ts
 *     PORT=3001 deno run --allow-net --allow-env --allow-read server.ts
 *     curl http://localhost:3000/news -H "content-type: application/json" -d '{"text":"It works"}'
 */
import { createServer } from "node:http";
import process from "node:process";
import { getRequestListener } from "@hono/node-server";
import { Hono } from "hono";
import { Server } from "socket.io";
import { pgAdapter } from "../../mod.ts"; // "@x/socketio-pg"

const { DATABASE_URL = "postgresql://", PORT = "3000" } = process.env;

const app = new Hono();
const http = createServer(getRequestListener(app.fetch));
const io = new Server(http, { adapter: pgAdapter(DATABASE_URL) });

// Who may post is for a middleware of yours to say.
app.post("/news", async (context) => {
  io.emit("news", await context.req.json());
  return context.body(null, 202);
});

http.listen(Number(PORT), () => console.log("Listening on", http.address()));
// Whoever starts it may send that twice: to all processes, and once more by npm.
process.on("SIGTERM", () => {
  // A browser has connections ready that it has not used yet, which Node would wait for: all have a second.
  const patience = setInterval(() => http.closeAllConnections(), 1_000);
  void io.close(() => clearInterval(patience));
});
