/**
 * Fastify and Socket.IO on one port: what is posted to any of the servers reaches the clients of all.
 *
 *     PORT=3000 node server.ts
 *     curl http://localhost:3000/news -H "content-type: application/json" -d '{"text":"It works"}'
 */
import process from "node:process";
import { fastify } from "fastify";
import { Server } from "socket.io";
import { pgAdapter } from "../../mod.ts"; // "@x/socketio-pg"

const { DATABASE_URL = "postgresql://", PORT = "3000" } = process.env;

const app = fastify();
const io = new Server(app.server, { adapter: pgAdapter(DATABASE_URL) });

// Who may post is for a hook of yours to say.
app.post("/news", (request, reply) => {
  io.emit("news", request.body);
  return reply.code(202).send();
});

// Fastify waits for connections to end: before it does, those of Socket.IO are ended.
app.addHook("preClose", () => io.close());

await app.listen({ port: Number(PORT), host: "::" });
console.log("Listening on", app.server.address());
// Whoever starts it may send that twice: to all processes, and once more by npm.
process.on("SIGTERM", () => {
  // A browser has connections ready that it has not used yet, which Node would wait for: all have a second.
  const patience = setInterval(() => app.server.closeAllConnections(), 1_000);
  void app.close().finally(() => clearInterval(patience));
});
