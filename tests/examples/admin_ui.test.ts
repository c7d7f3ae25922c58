import assert from "node:assert/strict";
import { Manager, type Socket as Client } from "socket.io-client";
import { connected, createClient } from "../support/cluster.ts";
import { Inbox } from "../support/inbox.ts";
import { runtime } from "../support/runtime.ts";
import { type Scope, test } from "../support/test.ts";
import { next, until } from "../support/wait.ts";
import { Instance, startExample } from "./instance.ts";

const PASSWORD = "correct horse";
const ADMIN_PASSWORD_HASH = "$2b$10$XOoxHS7D3yhw3i12YAR1xevdniKzIMn8HwJHiLQepjjHzODv9MB6q";
const NAMES = ["first", "second", "third"];

/** Logs in as the UI does. */
function logIn(t: Scope, { port }: Instance, password: string): Client {
  const manager = new Manager(`http://127.0.0.1:${port}`, {
    transports: ["websocket"],
    reconnection: false,
  });
  const admin = manager.socket("/admin", { auth: { username: "admin", password } });
  t.after(() => admin.disconnect());
  return admin;
}

test("the admin UI of one server sees and commands the clients of all", async (t) => {
  const { instances, clients, inboxes, stop } = await startExample(t, "admin_ui/server.ts", {
    each: NAMES.map((SERVER_ID) => ({ env: { SERVER_ID, ADMIN_PASSWORD_HASH } })),
  });
  const [first, , third] = instances;
  const page = await fetch(first!.url("/"));
  assert.match(await page.text(), /<title>Socket\.IO Admin UI<\/title>/);
  await assert.rejects(connected(logIn(t, first!, "wrong")), /invalid credentials/);

  const admin = logIn(t, first!, PASSWORD);
  const seen = new Inbox(admin);
  await connected(admin);
  const [[all]] = await seen.count("all_sockets", 1) as [[{ id: string; nsp: string }[]]];
  const ids = clients.map((client) => client.id!);
  assert.deepEqual(
    all.filter(({ nsp }) => nsp === "/").map(({ id }) => id).toSorted(),
    ids.toSorted(),
  );
  await until("all servers have told how they are", () => {
    const told = seen.of("server_stats") as [{ serverId: string; namespaces: unknown[] }][];
    return new Set(told.map(([{ serverId }]) => serverId)).size === NAMES.length;
  });

  // Who comes later, at another server.
  const late = createClient(third!.port);
  t.after(() => late.disconnect());
  await connected(late);
  await until("a new client is seen", () => {
    const come = seen.of("socket_connected") as [{ id: string }][];
    return come.some(([{ id }]) => id === late.id);
  });

  admin.emit("join", "/", "lobby", ids[2]);
  const inTheLobby = JSON.stringify(["/", "lobby", ids[2]]);
  const isToldOf = (event: string) =>
    seen.of(event).some((args) => JSON.stringify(args.slice(0, 3)) === inTheLobby);
  await until("the client is in the room", () => isToldOf("room_joined"));
  admin.emit("emit", "/", "lobby", "said", "To the lobby");
  admin.emit("emit", "/", "", "said", "To all");
  for (const [i, inbox] of inboxes.entries()) {
    const texts = i === 2 ? ["To the lobby", "To all"] : ["To all"];
    assert.deepEqual((await inbox.count("said", texts.length)).flat(), texts);
  }
  admin.emit("leave", "/", "lobby", ids[2]);
  await until("the client has left the room", () => isToldOf("room_left"));

  const disconnected = next<[reason: string]>(clients[1]!, "disconnect");
  admin.emit("_disconnect", "/", false, ids[1]);
  assert.deepEqual((await disconnected)[0], "io server disconnect");
  await until(
    "its end is told",
    () => seen.of("socket_disconnected").some(([, id]) => id === ids[1]),
  );
  assert.deepEqual(clients.map((client) => client.connected), [true, false, true]);
  await stop();
});

test("who logs in while the database is away does not end the server", async (t) => {
  const env = { ADMIN_PASSWORD_HASH };
  const instance = new Instance("admin_ui/server.ts", "postgresql://postgres@127.0.0.1:1/", {
    env,
  });
  t.after(() => instance.kill());
  await instance.started();
  await connected(logIn(t, instance, PASSWORD));
  await until("asking the others has failed", () => instance.output.includes("REQUEST_TIMEOUT"));
  await connected(logIn(t, instance, PASSWORD));
}, { skip: runtime === "node" ? false : "it is the same code" });
