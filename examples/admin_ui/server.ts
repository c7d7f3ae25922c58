/**
 * The admin UI of Socket.IO: at each of the servers, it shows the clients of all.
 *
 *     export ADMIN_PASSWORD_HASH="$(npx -y bcryptjs 'the password')"
 *     PORT=3000 node server.ts
 *     PORT=3001 deno run --allow-net --allow-env --allow-read --allow-sys server.ts
 *     PORT=3002 bun server.ts
 *
 * Then open http://localhost:3000, with the server URL http://localhost:3000 and the user "admin".
 */
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { instrument } from "@socket.io/admin-ui";
import express from "express";
import { Server } from "socket.io";
import { pgAdapter } from "../../mod.ts"; // "@x/socketio-pg"

const {
  DATABASE_URL = "postgresql://",
  PORT = "3000",
  // Of one name the UI shows one server: that of the host alone is not enough for several on it.
  SERVER_ID = `${hostname()}#${process.pid}`,
  ADMIN_PASSWORD_HASH,
} = process.env;
if (!ADMIN_PASSWORD_HASH) throw new Error("Cannot start as ADMIN_PASSWORD_HASH is not set");

const app = express();
const http = createServer(app);
const adapter = pgAdapter(DATABASE_URL);
const io = new Server(http, { adapter });
// What serves the UI goes on emitting while the server is closed, and after: every two seconds until the process ends.
adapter.on("error", ({ code, message }) => {
  if (code !== "CLOSED") console.error("error", code, message);
});
// When somebody logs in while the database is away, the clients of the others cannot be had, which it does not catch.
process.on("unhandledRejection", (reason) => console.error("error", reason));

instrument(io, {
  auth: { type: "basic", username: "admin", password: ADMIN_PASSWORD_HASH },
  serverId: SERVER_ID,
  // Shows each client and each event, and sends all of it to all servers: "production" shows counts.
  mode: "development",
});
// The pages of the UI are a folder of its package.
const admin = dirname(createRequire(import.meta.url).resolve("@socket.io/admin-ui/package.json"));
app.use(express.static(join(admin, "ui/dist")));

io.on("connection", (socket) => {
  socket.on("say", (text) => io.emit("said", text));
});

http.listen(Number(PORT), () => console.log("Listening on", http.address()));
// Whoever starts it may send that twice: to all processes, and once more by npm.
process.on("SIGTERM", () => {
  // A browser has connections ready that it has not used yet, which Node would wait for: all have a second.
  const patience = setInterval(() => http.closeAllConnections(), 1_000);
  void io.close(() => clearInterval(patience));
});
