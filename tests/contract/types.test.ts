/** Users' event maps survive: this file compiles only if they do. What it says of types is checked by the compiler. */
import assert from "node:assert/strict";
import { Server } from "socket.io";
import type { Socket as Client } from "socket.io-client";
import {
  PgAdapter,
  pgAdapter,
  type PgAdapterError,
  type PgAdapterErrorCode,
  type PgAdapterOptions,
} from "../../mod.ts";
import { Emitter } from "../../src/emitter.ts";
import { connected, createClient, createNode, uniquePrefix } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { test } from "../support/test.ts";
import { next } from "../support/wait.ts";

interface ClientToServer {
  say: (text: string, answer: (length: number) => void) => void;
}
interface ServerToClient {
  said: (text: string, at: number) => void;
  ask: (question: string, answer: (text: string) => void) => void;
  file: (bytes: Uint8Array) => void;
}
interface InterServer {
  ping: (n: number, answer: (pong: string) => void) => void;
}
interface Data {
  name: string;
}

type TypedServer = Server<ClientToServer, ServerToClient, InterServer, Data>;
type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true
  : false;
/** Compiles if the types are the same. */
function same<A, B>(_: Equal<A, B>): void {}

/** Never called: the compiler reads it. */
function compiles(io: TypedServer, emitter: Emitter<ServerToClient>): void {
  io.emit("said", "hello", 1);
  io.to("room").except("other").volatile.emit("file", new Uint8Array());
  io.serverSideEmit("ping", 1, (error, pongs) => same<string[], typeof pongs>(!!error || true));
  // @ts-expect-error no such event
  io.emit("unknown");
  // @ts-expect-error the second argument is a number
  io.emit("said", "hello", "1");
  // @ts-expect-error an event of clients is no event of the server
  io.emit("say", "hello");
  // @ts-expect-error no such event among servers
  io.serverSideEmit("pong", 1);
  io.on("connection", (socket) => {
    same<string, typeof socket.data.name>(true);
    socket.on("say", (text, answer) => {
      same<string, typeof text>(true);
      answer(text.length);
    });
    // @ts-expect-error no such event of clients
    socket.on("unknown", () => {});
  });

  emitter.emit("said", "hello", 1);
  emitter.of("/chat").to("room").volatile.emit("file", new Uint8Array());
  // @ts-expect-error no such event
  emitter.emit("unknown");
  // @ts-expect-error the second argument is a number
  emitter.emit("said", "hello", "1");
  // @ts-expect-error an argument is missing
  emitter.to("room").emit("said", "hello");
  emitter.batch((batch) => batch.of("/chat").to("room").emit("said", "hello", 1)) satisfies Promise<
    void
  >;
  // @ts-expect-error no such event in a batch
  emitter.batch((batch) => batch.emit("unknown"));
  emitter.of<{ other: (n: number) => void }>("/other").to("room").emit("other", 1);
  // @ts-expect-error an event of another namespace
  emitter.of<{ other: (n: number) => void }>("/other").emit("said", "hello", 1);
  const toServers = new Emitter<ServerToClient, { flush: (n: number) => void }>(
    "postgresql://h/db",
  );
  toServers.of("/chat").serverSideEmit("flush", 1);
  // @ts-expect-error no such event of servers
  toServers.serverSideEmit("unknown");
  // @ts-expect-error an emitter gets no acknowledgement
  toServers.serverSideEmit("flush", 1, () => {});
  toServers.volatile.compress(false).except("room").to(["a", "b"]).socketsLeave(["a"]);
  const untyped = new Emitter("postgresql://127.0.0.1:1/db");
  untyped.emit("anything", { at: "all" }, 1, null);
}

/** Never called: the compiler reads it. */
function compilesToo(): void {
  const adapter = pgAdapter("postgresql://127.0.0.1:1/db");
  adapter.on("error", (error) => {
    same<PgAdapterError, typeof error>(true);
    same<PgAdapterErrorCode, typeof error.code>(true);
    // @ts-expect-error no such code
    if (error.code === "NO_SUCH_CODE") return;
  }).once("node-up", (uid) => same<string, typeof uid>(true));
  // @ts-expect-error no such event
  adapter.on("unknown", () => {});
  adapter.ready() satisfies Promise<void>;
  adapter.close() satisfies Promise<void>;
  adapter[Symbol.asyncDispose]() satisfies Promise<void>;
  adapter.stats().uid satisfies string;
  adapter.metrics() satisfies string;
  new Server({ adapter });
  new Server().adapter(adapter);
  const typed: TypedServer = new Server({ adapter });
  typed.adapter(adapter);
  // @ts-expect-error no such option
  pgAdapter("postgresql://", { unknown: 1 });
  // @ts-expect-error no such mode
  pgAdapter({ subscriptionMode: "both" });
  // @ts-expect-error a number is no target
  pgAdapter(7);
  ({ prefix: undefined, heartbeatInterval: 1_000 }) satisfies PgAdapterOptions;
}

test("a typed server, client and emitter work together", async (t) => {
  assert.equal(typeof compiles, "function");
  assert.equal(typeof compilesToo, "function");
  const uri = await databaseUri();
  const prefix = uniquePrefix();
  const node = await createNode(pgAdapter(uri, { prefix }));
  t.after(() => node.close());
  const io = node.io as TypedServer;
  io.on("connection", (socket) => socket.on("say", (text, answer) => answer(text.length)));
  const client: Client<ServerToClient, ClientToServer> = createClient(node.port);
  t.after(() => client.disconnect());
  await connected(client as Client);
  await node.adapter.ready();
  assert.equal(await client.emitWithAck("say", "hello"), 5);

  const emitter = new Emitter<ServerToClient>(uri, { prefix });
  t.after(() => emitter.close());
  const said = next<[string, number]>(client, "said");
  await emitter.to(client.id ?? "").emit("said", "typed", 7);
  assert.deepEqual(await said, ["typed", 7]);

  const { adapter } = io.of("/");
  assert.ok(adapter instanceof PgAdapter);
  same<string, typeof adapter.uid>(true);
  assert.equal(adapter.channel, `${prefix}:/`);
});
