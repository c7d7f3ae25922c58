/** A server that starts, publishes one message and ends; run by `deno_permissions.test.ts`. */
import { createServer } from "node:http";
import process from "node:process";
import { Server } from "socket.io";
import { pgAdapter } from "../../mod.ts";

const adapter = pgAdapter(process.env.SERVER_URI ?? "", { prefix: process.env.SERVER_PREFIX });
adapter.on("error", (error) => {
  throw error;
});
const http = createServer();
const io = new Server(http, { adapter });
await new Promise<void>((resolve) => http.listen(0, resolve));
await adapter.ready();
const { messages } = adapter.stats().published;
io.emit("hello");
console.log("published", adapter.stats().published.messages - messages);
await io.close();
