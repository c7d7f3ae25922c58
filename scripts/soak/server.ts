/**
 * A server of the soak, in a process of its own: it talks to everybody all the time, its client joins and leaves rooms,
 * and whatever it says, hears and is told goes to standard output. It ends when its standard input does.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import process from "node:process";
import { createInterface } from "node:readline";
import type { Server } from "socket.io";
import type { Socket as Client } from "socket.io-client";
import { pgAdapter } from "../../mod.ts";
import { connected, createClient, createNode, type Node } from "../../tests/support/cluster.ts";
import { Random } from "../../tests/support/random.ts";
import {
  CHANGING,
  contentOf,
  EVERYONE,
  isContentOf,
  MOVED,
  type Order,
  type ReceivedLine,
  type Report,
  type RoomLine,
  type Sample,
  SECOND,
  type SentLine,
  type ServerOptions,
  targetOf,
  type ToldLine,
} from "./protocol.ts";

/** How often it tells what happened. */
const REPORT_MS = 100;
const TICK_MS = 10;
/** Between two changes of the rooms of the client, on the average. */
const ROOM_CHANGE_MS = 150;
/** Who was held up does not catch up with everything at once. */
const MAX_BURST_MS = 100;

let sent: SentLine[] = [];
let received: ReceivedLine[] = [];
let rooms: RoomLine[] = [];
let told: ToldLine[] = [];
let server: Talker | undefined;
let isLeaving = false;

for (const event of ["uncaughtException", "unhandledRejection"] as const) {
  process.on(event, (fault: unknown) => {
    write({ fault: fault instanceof Error ? fault.stack ?? fault.message : String(fault) });
  });
}
const input = createInterface({ input: process.stdin });
input.on("line", (line) => void obey(JSON.parse(line) as Order));
input.on("close", () => {
  if (!isLeaving) process.exit(0);
});
const reporting = setInterval(report, REPORT_MS);

async function obey(order: Order): Promise<void> {
  switch (order.order) {
    case "start":
      server = await Talker.start(order.options);
      return;
    case "block": {
      const end = performance.now() + order.ms;
      while (performance.now() < end);
      return;
    }
    case "sample":
      if (server !== undefined) write({ sample: await server.sample(order.id) });
      return;
    case "pause":
      server?.pause();
      return;
    case "leave":
      isLeaving = true;
      await server?.close();
      clearInterval(reporting);
      report();
      input.close();
      process.stdin.destroy();
  }
}

function report(): void {
  if (sent.length + received.length + rooms.length + told.length === 0) return;
  write({ sent, received, rooms, told });
  [sent, received, rooms, told] = [[], [], [], []];
}

function write(words: Report): void {
  process.stdout.write(`${JSON.stringify(words)}\n`);
}

/** A Socket.IO server with one client. */
class Talker {
  readonly #node: Node;
  readonly #client: Client;
  readonly #second: Client;
  readonly #uid: string;
  readonly #random: Random;
  /** Of the rooms that are joined and left, those that the client is in; `undefined` while it joins. */
  readonly #isIn: Map<string, boolean | undefined> = new Map();
  #count = 0;
  #moves = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  #roomTimer: ReturnType<typeof setTimeout> | undefined;

  private constructor(node: Node, random: Random) {
    this.#node = node;
    this.#random = random;
    this.#uid = node.adapter.stats().uid;
    this.#client = createClient(node.port);
    this.#second = this.#client.io.socket(SECOND);
    for (const client of [this.#client, this.#second]) {
      client.on("n", (sender: string, n: number, at: number, target: string, content: unknown) => {
        received.push([sender, n, at, target, Date.now(), isContentOf(sender, n, content)]);
      });
      client.on("disconnect", (reason: string) => told.push(["client", reason, Date.now()]));
    }
  }

  static async start({ uri, adapter: options, rate, seed }: ServerOptions): Promise<Talker> {
    const adapter = pgAdapter(uri, options);
    for (
      const event of ["error", "disconnect", "reconnect", "gap", "node-up", "node-down"] as const
    ) {
      adapter.on(event, (detail?: unknown) => {
        const what = detail instanceof Error ? `${Object(detail).code}: ${detail.message}` : detail;
        told.push([event, what, Date.now()]);
      });
    }
    const node = await createNode(adapter);
    const joined: (Promise<void> | void)[] = [];
    for (const nsp of ["/", SECOND]) {
      node.io.of(nsp).on("connection", (socket) => joined.push(socket.join(EVERYONE)));
    }
    const talker = new Talker(node, new Random(seed));
    await Promise.all([connected(talker.#client), connected(talker.#second)]);
    // A start that fails is tried again by the adapter.
    while (!await adapter.ready().then(() => true, () => false));
    await Promise.all(joined);
    write({ ready: { uid: talker.#uid, at: Date.now() } });
    talker.#run(rate);
    return talker;
  }

  /** Says one last thing to everyone, which comes after all others, and then nothing more. */
  pause(): void {
    clearInterval(this.#timer);
    clearTimeout(this.#roomTimer);
    this.#say(targetOf("/"));
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    clearTimeout(this.#roomTimer);
    await this.#node.close();
    this.#client.disconnect();
  }

  async sample(id: number): Promise<Sample> {
    const { rss, heapUsed } = process.memoryUsage();
    const { phase, queued, received } = this.#node.adapter.stats();
    const resources = resourcesOf();
    const sockets = await this.#node.io.fetchSockets().then(
      ({ length }) => length,
      (fault: unknown) => String(Object(fault).code ?? fault),
    );
    return {
      id,
      rss,
      heap: heapUsed,
      ...resources !== undefined && { resources },
      phase,
      queued: queued.messages,
      sockets,
      repaired: received.repaired,
      duplicates: received.duplicates,
    };
  }

  #run(rate: number): void {
    const start = performance.now();
    let done = 0;
    this.#timer = setInterval(() => {
      const due = Math.floor((performance.now() - start) * rate / 1_000);
      const count = Math.min(due - done, Math.max(1, Math.ceil(rate * MAX_BURST_MS / 1_000)));
      done = due;
      for (let i = 0; i < count; i++) this.#say(this.#target());
    }, TICK_MS);
    this.#changeRooms();
  }

  #target(): string {
    const random = this.#random;
    if (random.chance(0.005)) return targetOf(random.pick(["/", SECOND]), MOVED);
    if (random.chance(0.4)) return random.pick(CHANGING);
    return targetOf(random.pick(["/", SECOND]), random.pick(["", "", EVERYONE]));
  }

  #say(target: string): void {
    const n = this.#count++;
    const at = Date.now();
    const content = contentOf(this.#uid, n);
    const args = [
      this.#uid,
      n,
      at,
      target,
      typeof content === "string" ? content : Buffer.from(content),
    ];
    sent.push([n, at, target]);
    const [nsp = "", room = ""] = target.split(" ");
    const io: ReturnType<Server["of"]> = this.#node.io.of(nsp);
    if (room === "") io.emit("n", ...args);
    else if (room !== MOVED) io.to(room).emit("n", ...args);
    else {
      const fresh = `${this.#uid} ${this.#moves++}`;
      io.socketsJoin(fresh);
      io.to(fresh).emit("n", ...args);
      io.socketsLeave(fresh);
    }
  }

  #changeRooms(): void {
    const delay = ROOM_CHANGE_MS * 2 * this.#random.next();
    this.#roomTimer = setTimeout(() => {
      const target = this.#random.pick(CHANGING);
      if (this.#isIn.get(target)) this.#leave(target);
      else if (this.#isIn.get(target) === false || !this.#isIn.has(target)) void this.#join(target);
      this.#changeRooms();
    }, delay);
  }

  async #join(target: string): Promise<void> {
    const [socket, room] = this.#place(target);
    if (socket === undefined) return;
    this.#isIn.set(target, undefined);
    rooms.push([target, "called", Date.now()]);
    await socket.join(room);
    rooms.push([target, "joined", Date.now()]);
    this.#isIn.set(target, true);
  }

  #leave(target: string): void {
    const [socket, room] = this.#place(target);
    rooms.push([target, "left", Date.now()]);
    this.#isIn.set(target, false);
    socket?.leave(room);
  }

  #place(target: string) {
    const [nsp = "", room = ""] = target.split(" ");
    const client = nsp === SECOND ? this.#second : this.#client;
    return [this.#node.io.of(nsp).sockets.get(client.id ?? ""), room] as const;
  }
}

/** What keeps the event loop busy, by kind, where the runtime tells. */
function resourcesOf(): Record<string, number> | undefined {
  if ("Deno" in globalThis || "Bun" in globalThis) return undefined;
  const counts: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}
