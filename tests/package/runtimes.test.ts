// The packed npm package in the runtimes of its users, as modules and as CommonJS: two servers, and what Socket.IO is
// used for over both. Runs once, on Node 22 and later or on Deno.
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { denoManifest } from "../../scripts/manifest.ts";
import { installPackage, packPackage, run, temporaryFolder } from "../../scripts/package_suite.ts";
import { givenTools, type Tool } from "../../scripts/test/consumer_tools.ts";
import { databaseUri } from "../support/database.ts";
import { createDatabase } from "../support/sql.ts";
import { test } from "../support/test.ts";

const { name } = denoManifest();
const dir = await temporaryFolder();
const packages = ["socket.io", "socket.io-client"];
await installPackage(dir, (await packPackage()).tarball, packages);

/** How a program gets what it needs: modules by what they are imported as, CommonJS as the README of 2014 has it. */
const HEADS: Record<string, string> = {
  "flows.mjs": `
import { createServer } from "node:http";
import { Server } from "socket.io";
import { io as connect } from "socket.io-client";
import pg from "${name}";
import { Emitter } from "${name}/emitter";
const listen = (server) => new Server(server);`,
  // What Deno is told where the package comes from a registry.
  "flows_npm.mjs": `
import { createServer } from "node:http";
import { Server } from "npm:socket.io";
import { io as connect } from "npm:socket.io-client";
import pg from "npm:${name}";
import { Emitter } from "npm:${name}/emitter";
const listen = (server) => new Server(server);`,
  "flows.cjs": `
var { createServer } = require("node:http");
var { io: connect } = require("socket.io-client");
var pg = require("${name}");
var { Emitter } = require("${name}/emitter");
var listen = (server) => require("socket.io")(server);`,
};

const FLOWS = `
async function start(adapter) {
  const server = createServer();
  const io = listen(server);
  io.adapter(adapter);
  io.on("connection", (socket) => socket.join("room"));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  await adapter.ready();
  const url = "http://127.0.0.1:" + server.address().port;
  const client = connect(url, { transports: ["websocket"] });
  await new Promise((resolve) => client.once("connect", resolve));
  client.on("question", (number, answer) => answer(number + 1));
  return { io, client };
}

async function main() {
  // The address is in the environment.
  const adapters = [pg("postgresql://"), pg("postgresql://")];
  const known = new Promise((resolve) => adapters[0].once("node-up", resolve));
  const started = [await start(adapters[0]), await start(adapters[1])];
  await known;
  const [one, two] = started.map(({ io }) => io);
  const heard = (event) => Promise.all(started.map(({ client }) =>
    new Promise((resolve) => client.once(event, (...args) => resolve(args)))
  ));
  const results = {};

  const all = heard("to all");
  one.emit("to all", "text", new Uint8Array([1, 2, 3]));
  results.broadcast = (await all).map(([text, bytes]) => [text, [...new Uint8Array(bytes)]]);

  const inRoom = heard("to a room");
  two.to("room").emit("to a room", 1);
  results.room = await inRoom;

  results.acks = await one.timeout(10_000).emitWithAck("question", 41);
  results.sockets = (await two.fetchSockets()).length;

  const outside = heard("from outside");
  const emitter = new Emitter("postgresql://");
  await emitter.to("room").emit("from outside", { n: 1 });
  await emitter.close();
  results.emitter = await outside;

  for (const { io, client } of started) {
    client.disconnect();
    await io.close();
  }
  console.log(JSON.stringify(results));
}
main();
`;

const EXPECTED = {
  broadcast: [["text", [1, 2, 3]], ["text", [1, 2, 3]]],
  room: [[1], [1]],
  acks: [42, 42],
  sockets: 2,
  emitter: [[{ n: 1 }], [{ n: 1 }]],
};

const runtimes: Tool[] = givenTools().filter(({ kind }) => kind !== "typescript");
if (runtimes.length === 0) {
  runtimes.push({ kind: "node", title: `Node ${process.version}`, path: "node" });
}
for (const { kind, title, path = "", missing } of runtimes) {
  for (const [file, head] of Object.entries(HEADS)) {
    if (file === "flows_npm.mjs" && kind !== "deno") continue;
    test(`${title} runs ${file}`, async (scope) => {
      await writeFile(join(dir, file), `${head}\n${FLOWS}`);
      const { uri } = await createDatabase(scope, await databaseUri());
      const { hostname, port, username, password, pathname } = new URL(uri);
      const { stdout } = await run(path, kind === "deno" ? ["run", "-A", file] : [file], dir, {
        PGHOST: hostname,
        PGPORT: port || "5432",
        PGUSER: decodeURIComponent(username),
        PGPASSWORD: decodeURIComponent(password),
        PGDATABASE: pathname.slice(1),
        DATABASE_URL: undefined,
      });
      assert.deepEqual(JSON.parse(stdout), EXPECTED);
    }, { skip: missing ?? false });
  }
}
