/**
 * Express and Socket.IO on one port: what is posted to any of the servers reaches the clients of all.
 *
 *     PORT=3000 node server.ts
 *     curl http://localhost:3000/news -H "content-type: application/json" -d '{"text":"It works"}'
 */
import { createServer } from "node:http";
import process from "node:process";
import express from "express";
import { Server } from "socket.io";
import { pgAdapter } from "../../mod.ts"; // "@x/socketio-pg"

const { DATABASE_URL = "postgresql://", PORT = "3000" } = process.env;

const app = express();
const http = createServer(app);
const io = new Server(http, { adapter: pgAdapter(DATABASE_URL) });

// Who may post is for a middleware of yours to say.
app.post("/news", express.json(), (request, response) => {
  io.emit("news", request.body);
  response.sendStatus(202);
});

// `app.listen()` would make a server of its own, without Socket.IO.
http.listen(Number(PORT), () => console.log("Listening on", http.address()));
// Whoever starts it may send that twice: to all processes, and once more by npm.
process.on("SIGTERM", () => {
  // A browser has connections ready that it has not used yet, which Node would wait for: all have a second.
  const patience = setInterval(() => http.closeAllConnections(), 1_000);
  void io.close(() => clearInterval(patience));
});
