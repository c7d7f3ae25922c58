/**
 * Moments that no server can be made to meet from outside: what is sent between the answer to a client's session and the
 * making of its socket, and what is given to clients before it is in the log. The adapter alone, between a namespace and
 * a bus that the test plays.
 */
import assert from "node:assert/strict";
import { Encoder } from "socket.io-parser";
import * as parser from "socket.io-parser";
import msgpack from "socket.io-msgpack-parser";
import type { BroadcastOptions } from "socket.io-adapter";
import type { AdapterNamespace } from "../../src/adapter.ts";
import type { Bus, Route } from "../../src/bus/bus.ts";
import type { Logging } from "../../src/bus/publisher.ts";
import { RecoveringAdapter } from "../../src/recovery/adapter.ts";
import { encodeOffset, offsetMark } from "../../src/recovery/offset.ts";
import { Recovery } from "../../src/recovery/recovery.ts";
import { encodeSession } from "../../src/recovery/session.ts";
import { MessageType } from "../../src/wire/message.ts";
import { encodeEvent } from "../../src/wire/packet.ts";
import { test } from "../support/test.ts";

const UID = "0123456789abcdef";
const MARK = offsetMark("socket.io:/");

/** What a client was given, of `emit("m", text)`. */
interface Client {
  readonly got: string[];
  disconnect(): unknown;
}

/** A server. */
class World {
  /** The statements that wait for an answer. */
  readonly asked: ((rows: Record<string, unknown>[]) => void)[] = [];
  readonly #sent: { text: string; logging: Logging }[] = [];
  readonly #sockets: Map<string, object> = new Map();
  readonly #adapter: RecoveringAdapter;
  #route: Route | undefined;
  readonly #bus = {
    uid: UID,
    options: { prefix: "socket.io", maxPayload: 1_000_000, requestsTimeout: 5_000 },
    membership: {},
    roomChannels: undefined,
    privateChannel: `socket.io~${UID}`,
    isAway: false,
    order: 0,
    recovery: new Recovery(
      UID,
      { maxDisconnectionDuration: 60_000, silence: 45_000, isDurable: false },
      undefined,
      {
        isUnclear: () => false,
        flush: () => Promise.resolve(),
        query: () => new Promise((answer) => this.asked.push(answer)),
      },
      (error) => assert.fail(error),
    ),
    attach: (_nsp: string, route: Route) => {
      this.#route = route;
      return Promise.resolve();
    },
    nextOrder: () => ++this.#bus.order,
    publish: (_channel: string, message: { parts: unknown[] }, logging: Logging) => {
      this.#sent.push({ text: JSON.stringify(message.parts), logging });
      return true;
    },
  };

  /** @param other The parser of the server, if it is not Socket.IO's own. */
  constructor(other?: typeof msgpack) {
    const nsp = {
      name: "/",
      server: {
        encoder: other === undefined ? new Encoder() : new other.Encoder(),
        _parser: other ?? parser,
      },
      sockets: this.#sockets,
      _preConnectSockets: new Map(),
      listenerCount: () => 0,
    };
    this.#adapter = new RecoveringAdapter(
      nsp as unknown as AdapterNamespace,
      this.#bus as unknown as Bus,
    );
  }

  /** The database has been away for a while: from now on clients are given things before they are back. */
  goAway(): void {
    this.#bus.isAway = true;
    for (const { give } of this.#route!.waiting()) give();
  }

  /** The database is there again. */
  return(): void {
    this.#bus.isAway = false;
  }

  emit(text: string): void {
    const opts = { rooms: new Set<string>(), except: new Set<string>(), flags: {} };
    void this.#adapter.broadcast({ type: 2, data: ["m", text] }, opts as BroadcastOptions);
  }

  /** What was emitted is in the log under a number, as the answer to its statement says. */
  logged(text: string, number: number): void {
    this.#of(text).logged!(number);
  }

  /** What was emitted comes back. */
  comesBack(text: string, number: number): void {
    this.#of(text).deliver!(number);
  }

  /** An event of an emitter comes, which is in the log under a number. */
  hears(text: string, number: number): void {
    const parts = encodeEvent("/", ["m", text]);
    this.#route!.receive(undefined, { type: MessageType.BROADCAST, nsp: "/", parts, number });
  }

  /** A client connects, or is back with what it has missed. */
  connect(id: string, missed: readonly unknown[][] = []): Client {
    const got = missed.map(([, text]) => String(text));
    const write = ([packet = ""]: string[]) => got.push(/^2\["m","([^"]*)"/.exec(packet)![1]!);
    // As of sockets, the method is that of their class.
    const methods = { disconnect: () => socket, notifyOutgoingListeners() {} };
    const socket = Object.assign(Object.create(methods) as typeof methods, {
      id,
      got,
      recovered: missed.length > 0,
      client: { writeToEngine: write },
    });
    this.#sockets.set(id, socket);
    void this.#adapter.addAll(id, new Set([id]));
    return socket;
  }

  /** A client comes back; its socket is made as Socket.IO does it. */
  async comeBack(id: string): Promise<Client> {
    const session = await this.#adapter.restoreSession(pidOf(id), encodeOffset(1, MARK));
    assert.ok(session);
    return this.connect(id, session.missedPackets as unknown[][]);
  }

  /** Whether a client that leaves may come back: not when nobody can say what it has. */
  isKept(id: string): boolean {
    let isKept = false;
    const { recovery } = this.#bus;
    const keep = recovery.keep;
    recovery.keep = () => isKept = true;
    this.#adapter.persistSession({ sid: id, pid: pidOf(id), rooms: [id], data: {} });
    recovery.keep = keep;
    return isKept;
  }

  #of(text: string): Logging {
    const found = this.#sent.find((each) => each.text.includes(JSON.stringify(text).slice(1, -1)));
    assert.ok(found, text);
    return found.logging;
  }
}

function pidOf(id: string): string {
  return id.padEnd(20, "_");
}

/** The session of a client, and what it has missed. */
function rowsOf(id: string, ...missed: [number: number, text: string][]) {
  const session = { sid: id, pid: pidOf(id), rooms: [id], data: {} };
  return [
    { number: null, channel: null, frame: encodeSession(session, UID, undefined) },
    ...missed.map(([number, text]) => ({
      number: String(number),
      channel: "socket.io:/",
      frame: JSON.stringify({ emit: ["m", text] }),
    })),
  ];
}

const soon = () => new Promise((resolve) => setTimeout(resolve));

test("who comes back is given what is given to others while its socket is made", async () => {
  // How many promises apart two clients get their sessions, of one answer of the database.
  for (let lag = 0; lag < 8; lag++) {
    const world = new World();
    world.goAway();
    const a = world.comeBack("a").then((client) => {
      world.emit("welcome");
      return client;
    });
    const b = world.comeBack("b");
    await soon();
    const [answerA, answerB] = world.asked;
    answerA!(rowsOf("a"));
    let turn = Promise.resolve();
    for (let i = 0; i < lag; i++) turn = turn.then(() => {});
    void turn.then(() => answerB!(rowsOf("b", [128, "before"])));
    const [first, second] = await Promise.all([a, b]);
    assert.deepEqual(first.got, ["welcome"]);
    assert.deepEqual(second.got, ["before", "welcome"], `${lag}`);
    assert.ok(!world.isKept("b"));
    world.logged("welcome", 256);
    world.comesBack("welcome", 256);
    await soon();
    assert.deepEqual([first.got.length, second.got.length], [1, 2]);
  }
});

test("who comes back is given what others were given while its session was asked for, once", async () => {
  const world = new World();
  const [watcher, back] = [world.connect("watcher"), world.comeBack("a")];
  await soon();
  // One that the log has already, one that comes back meanwhile, and one that does not.
  for (const text of ["logged", "returned", "given"]) world.emit(text);
  world.goAway();
  world.logged("logged", 128);
  world.logged("returned", 256);
  world.comesBack("returned", 256);
  assert.deepEqual(watcher.got, ["logged", "returned", "given"]);
  world.asked[0]!(rowsOf("a", [128, "logged"]));
  const client = await back;
  assert.deepEqual(client.got, ["logged", "returned", "given"]);
  assert.ok(!world.isKept("a"));
  for (const [number, text] of [[128, "logged"], [384, "given"]] as const) {
    world.logged(text, number);
    world.comesBack(text, number);
  }
  assert.equal(client.got.length, 3);
  world.return();
  world.emit("later");
  world.comesBack("later", 512);
  assert.deepEqual([client.got.at(-1), watcher.got.at(-1)], ["later", "later"]);
  assert.ok(world.isKept("a"));
});

test("who is disconnected by the application gets what is on its way, and others get it once", async () => {
  const world = new World();
  const [y, z] = [world.connect("y"), world.connect("z")];
  world.emit("n");
  const back = world.comeBack("x");
  await soon();
  world.asked[0]!(rowsOf("x", [128, "n"]));
  const x = await back;
  y.disconnect();
  world.comesBack("n", 128);
  assert.deepEqual([x.got, y.got, z.got], [["n"], ["n"], ["n"]]);
});

test("who comes back to a server with another parser is given what emitters send meanwhile", async () => {
  const world = new World(msgpack);
  const back = world.comeBack("a");
  await soon();
  world.hears("asked", 128);
  world.asked[0]!(rowsOf("a", [2, "logged"]));
  // Its session is there, and its socket is not made yet.
  void Promise.resolve().then(() => world.hears("answered", 256));
  assert.deepEqual((await back).got, ["logged", "asked", "answered"]);
});
