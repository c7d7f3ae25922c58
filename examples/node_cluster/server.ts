/**
 * A process for each processor behind one port, as node:cluster makes them. Each worker is a server of the cluster, and
 * so are those on other machines: nothing else has to connect them. Clients may begin with HTTP long-polling, as
 * @socket.io/sticky brings all requests of a client to the same worker.
 *
 *     PORT=3000 WORKERS=4 node server.ts
 */
import cluster from "node:cluster";
import { createServer } from "node:http";
import { availableParallelism } from "node:os";
import process from "node:process";
import { setupMaster, setupWorker } from "@socket.io/sticky";
import { Server } from "socket.io";
import { pgAdapter } from "../../mod.ts"; // "@x/socketio-pg"

const { DATABASE_URL = "postgresql://", PORT = "3000", WORKERS = availableParallelism() } =
  process.env;

if (cluster.isPrimary) startWorkers();
else serve();

function startWorkers(): void {
  const http = createServer();
  setupMaster(http, { loadBalancingMethod: "least-connection" });
  // @socket.io/sticky sends workers bytes, which JSON would make something else of.
  cluster.setupPrimary({ serialization: "advanced" });
  for (let i = 0; i < Number(WORKERS); i++) cluster.fork();
  cluster.on("exit", replace);
  http.listen(Number(PORT), () => console.log("Listening on", http.address()));
  process.on("SIGTERM", () => {
    cluster.off("exit", replace);
    http.close();
    // A browser has connections ready that it has not used yet: the primary would wait for those, too.
    cluster.on("exit", endIfAlone).on("disconnect", endIfAlone);
    for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill("SIGTERM");
    endIfAlone();
  });
}

function replace(): void {
  cluster.fork();
}

function endIfAlone(): void {
  if (Object.keys(cluster.workers ?? {}).length === 0) process.exit();
}

function serve(): void {
  // It listens to nothing: the primary hands it its connections.
  const io = new Server(createServer(), { adapter: pgAdapter(DATABASE_URL) });
  setupWorker(io);
  io.on("connection", (socket) => {
    socket.on("say", (text) => io.emit("said", text, process.pid));
  });
  const close = async () => {
    await io.close();
    process.disconnect();
  };
  let closed: Promise<void> | undefined;
  // It comes twice where all processes are told to end: from there, and from the primary.
  process.on("SIGTERM", () => void (closed ??= close()));
}
