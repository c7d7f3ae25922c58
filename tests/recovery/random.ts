/**
 * Servers that emit as fast as they can to clients that are cut off all the time, and what each client must have
 * received in the end: the log, as far as it is for it.
 */
import assert from "node:assert/strict";
import type { BroadcastOperator, Socket } from "socket.io";
import type { Sql } from "postgres";
import { decodeFrame } from "../../src/wire/frame.ts";
import { decodeMessages } from "../../src/wire/message.ts";
import { createRecoveryCluster, forgetUnheard, type RecoveryCluster } from "../support/recovery.ts";
import type { Random } from "../support/random.ts";
import { Relay } from "../support/relay.ts";
import { connectSql } from "../support/sql.ts";
import type { Scope } from "../support/test.ts";
import { signal, until, within } from "../support/wait.ts";
import { Manager, type Socket as Client } from "socket.io-client";

/** What a run came to. */
export interface RandomFigures {
  packets: number;
  received: number;
  cuts: number;
  restores: number;
  /** Clients that came back before their server knew that they were gone, or were cut while they came back. */
  fresh: number;
  /** Connections of servers to PostgreSQL that were ended. */
  outages: number;
  /** Sessions that could not be taken because of that. */
  failed: number;
}

const ROOMS = ["a", "b", "c", "d", "e"];
const CLIENTS = 8;
const SERVERS = 3;
/** How many messages of a server may wait for PostgreSQL: the more, the longer sessions wait behind them. */
const MAX_QUEUED = 100;

/**
 * A server that is without PostgreSQL for 2 s gives its clients what it sends, without a place in the log: what they get
 * then is not the log any more, and their sessions are not kept. It is the machine that was too busy, as connections are
 * only ended here, and not refused.
 */
export class Away extends Error {}

/** From how many milliseconds on a server may have been away for that long. */
const AWAY_MS = 1_900;

/** What servers tell when they lose PostgreSQL. */
const OF_OUTAGES = ["RECOVERY_FAILED", "CONNECTION_LOST", "CONNECT_FAILED"];

/** One packet, as it was emitted. */
interface Emitted {
  readonly id: number;
  readonly server: number;
  readonly rooms: readonly string[];
  readonly except: readonly string[];
}

/** What a client received of one session. */
interface Part {
  readonly rooms: readonly string[];
  /** The packet that begins it. */
  start: number;
  readonly received: { id: number; offset: string | undefined }[];
  /** How often it came back, and where it stood then, for who reads a failure. */
  readonly returns: { received: number; server: number; offset: string | undefined }[];
}

/** Everybody and everything of a run. */
class Run {
  readonly figures: RandomFigures = {
    packets: 0,
    received: 0,
    cuts: 0,
    restores: 0,
    fresh: 0,
    outages: 0,
    failed: 0,
  };
  readonly cluster: RecoveryCluster;
  readonly #random: Random;
  readonly #sql: Sql;
  readonly #emitted: Emitted[] = [];
  readonly #wanderers: Drifter[] = [];
  /** The number in the log of each packet. */
  readonly #numbers: Map<number, number> = new Map();
  readonly #logged: number[] = Array.from({ length: SERVERS }, () => 0);
  /** Since when servers are without PostgreSQL. */
  readonly #lostAt: Map<number, number> = new Map();
  #longestOutage = 0;
  readonly #gaps: string[] = [];
  #read = 0;
  #isOver = false;

  constructor(cluster: RecoveryCluster, random: Random, sql: Sql) {
    this.cluster = cluster;
    this.#random = random;
    this.#sql = sql;
    for (const [server, { adapter }] of cluster.nodes.entries()) {
      adapter.on("disconnect", () => this.#lostAt.set(server, performance.now()));
      adapter.on("reconnect", () => {
        this.#longestOutage = this.longestOutage;
        this.#lostAt.delete(server);
      });
      adapter.on("gap", (gap) => this.#gaps.push(JSON.stringify(gap)));
      cluster.io(server).on("connection", (socket) => this.#welcome(server, socket));
    }
  }

  async start(scope: Scope): Promise<void> {
    for (let i = 0; i < CLIENTS; i++) {
      const rooms = ROOMS.filter(() => this.#random.chance(0.4));
      const relay = await Relay.start(scope, this.cluster.port(i % SERVERS));
      const drifter = new Drifter(relay, rooms);
      scope.after(() => void drifter.client.disconnect());
      this.#wanderers.push(drifter);
      await drifter.connect();
    }
  }

  /** From now on nobody emits, and nobody is cut off. */
  end(): void {
    this.#isOver = true;
    for (const { relay } of this.#wanderers) relay.tearSooner();
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** For how many milliseconds a server was without PostgreSQL at most. */
  get longestOutage(): number {
    const now = performance.now();
    return Math.max(this.#longestOutage, ...[...this.#lostAt.values()].map((at) => now - at));
  }

  /** Emits one packet. */
  emit(server: number): void {
    const random = this.#random;
    const io = this.cluster.io(server);
    const what = random.below(20);
    if (what === 0) return void io.volatile.emit("volatile", "a text");
    if (what === 1) return void io.local.emit("local", "a text");
    if (what === 2) return void io.to(random.pick(ROOMS)).timeout(500).emit("ask", () => {});
    if (what < 6) return this.#emit(server, io, [], []);
    const room = random.pick(ROOMS);
    if (what < 10) return this.#emit(server, io.to(room), [room], []);
    const other = random.pick(ROOMS);
    if (what < 12) return this.#emit(server, io.to([room, other]), [room, other], []);
    if (what < 14) return this.#emit(server, io.except(other), [], [other]);
    if (what < 15) return this.#emit(server, io.to(room).except(other), [room], [other]);
    const { id } = random.pick(this.#wanderers);
    if (what < 17) return this.#emit(server, io.to(id), [id], []);
    const sockets = [...io.sockets.sockets.values()];
    if (sockets.length === 0) return;
    const socket = random.pick(sockets);
    if (what < 19) return this.#emit(server, socket, [socket.id], []);
    this.#emit(server, socket.to(room), [room], [socket.id]);
  }

  /** Emits without an end, as fast as PostgreSQL takes it. */
  async emitAll(server: number): Promise<void> {
    while (!this.#isOver) {
      const queued = this.cluster.nodes[server]!.adapter.stats().queued.messages;
      for (let i = queued; i < MAX_QUEUED; i += 10) this.emit(server);
      await pause(this.#random.below(3));
    }
  }

  /** Cuts a client off, and lets it come back, without an end. */
  async wander(i: number): Promise<void> {
    const random = this.#random;
    const wanderer = this.#wanderers[i]!;
    await pause(random.below(500));
    while (!this.#isOver) {
      const how = random.below(5);
      await this.#cut(wanderer, how);
      await forgetUnheard(wanderer.client);
      // Mostly not before it can be recovered; who is faster may be a stranger.
      const isPatient = random.chance(0.8);
      if (isPatient) {
        const { pid } = wanderer;
        await until(`the session of client ${i} is kept (${how})`, async () => {
          const rows = await this.#sql`
            select from socketio.recovery_sessions where pid = ${pid} and taker is null`;
          return rows.length > 0;
        }, 20_000);
      }
      await pause(random.chance(0.3) ? 0 : random.below(1_000));
      const isTorn = random.chance(0.1);
      wanderer.relay.target = this.cluster.port(random.below(SERVERS));
      if (isTorn) {
        // In the middle of coming back.
        wanderer.client.connect();
        await pause(random.below(30));
        await until("it is torn", () => {
          wanderer.relay.tear();
          return !wanderer.client.connected && !wanderer.isOpen;
        });
        await forgetUnheard(wanderer.client);
        wanderer.relay.target = this.cluster.port(random.below(SERVERS));
      }
      const { received, returns } = wanderer.parts.at(-1)!;
      const { relay: { target }, offset } = wanderer;
      returns.push({
        received: received.length,
        server: this.cluster.nodes.findIndex(({ port }) => port === target),
        offset,
      });
      const isAtOnce = await wanderer.connect();
      if (wanderer.client.recovered) this.figures.restores++;
      else {
        this.figures.fresh++;
        if (isPatient && !isTorn && isAtOnce && this.figures.outages === 0) {
          throw new Error(`client ${i} was not recovered though its session had been kept`);
        }
      }
      await pause(random.below(600));
    }
  }

  /** Cuts a client off, in one of five ways. */
  async #cut(wanderer: Drifter, how: number): Promise<void> {
    const random = this.#random;
    const { client, id, relay } = wanderer;
    if (!client.connected) return; // it was busy for so long that it was taken for dead
    this.figures.cuts++;
    const gone = signal();
    client.once("disconnect", () => gone.resolve());
    if (how === 0) wanderer.close();
    else if (how === 1) relay.tear(1 + random.below(20_000));
    else if (how === 2) {
      relay.stall();
      await pause(random.below(100));
      relay.tear();
    } else if (how === 3) {
      const server = this.cluster.nodes.findIndex(({ port }) => port === relay.target);
      const socket = this.cluster.io(server).sockets.sockets.get(id);
      if (socket === undefined) relay.tear();
      else socket.conn.close();
    } else relay.tear();
    await within(5_000, `a client that is cut (${how})`, gone.promise);
  }

  /** Reads on in the log, before it is emptied. */
  async readLog(): Promise<void> {
    const uids = this.cluster.nodes.map(({ adapter }) => adapter.stats().uid);
    const rows = await this.#sql<{ number: string; origin: string; frame: string }[]>`
      select number, origin, frame from socketio.recovery_packets
      where number > ${this.#read} and key like ${`${this.cluster.prefix}:%`} order by number`;
    for (const { number, origin, frame } of rows) {
      this.#read = Number(number);
      const server = uids.indexOf(origin.split(":")[0]!);
      for (let i = 0; i < messagesIn(frame); i++) {
        // What a server emits is logged in the order in which it is emitted.
        const emitted = this.#emittedBy(server, this.#logged[server]!++);
        assert.ok(emitted !== undefined, `the log has a packet ${origin} that was not emitted`);
        this.#numbers.set(emitted.id, this.#read + i);
      }
    }
  }

  /** Waits until everybody has everything, and compares. */
  async verify(): Promise<void> {
    const last = Array.from({ length: SERVERS }, (_, server) => {
      this.#emit(server, this.cluster.io(server), [], []);
      return this.#emitted.length - 1;
    });
    await until("all clients have the last packets", async () => {
      for (const each of this.#wanderers) if (!each.client.connected) await each.connect();
      return this.#wanderers.every(({ parts }) => {
        const ids = new Set(parts.at(-1)!.received.slice(-10_000).map(({ id }) => id));
        return last.every((id) => ids.has(id));
      });
    }, 30_000);
    await this.readLog();
    assert.equal(this.#numbers.size, this.#emitted.length, "packets in the log");
    const log = [...this.#numbers].sort(([, a], [, b]) => a - b).map(([id]) => id);
    const places = new Map(log.map((id, place) => [id, place]));
    for (const [i, { parts }] of this.#wanderers.entries()) {
      for (const [j, part] of parts.entries()) {
        const isLast = j === parts.length - 1;
        compare(`client ${i}, session ${j}`, part, log, places, this.#emitted, isLast);
        this.figures.received += part.received.length;
      }
    }
    this.figures.packets = log.length;
  }

  /** How far everybody is, for who reads a failure. */
  describe(): string {
    const clients = this.#wanderers.map(({ parts }, i) =>
      `client ${i}: ${parts.map(({ received }) => received.length).join("+")}`
    );
    return [...clients, ...this.#gaps].join(", ");
  }

  #welcome(server: number, socket: Socket): void {
    if (socket.recovered) return;
    const i = Number(socket.handshake.query["client"]);
    const wanderer = this.#wanderers.find(({ relay }) => relay.port === i);
    const { rooms } = wanderer ?? { rooms: [] };
    socket.join([...rooms]);
    this.#emit(server, socket, [socket.id], [], "start");
  }

  #emit(
    server: number,
    to: Pick<BroadcastOperator<Record<string, (...args: unknown[]) => void>, unknown>, "emit">,
    rooms: readonly string[],
    except: readonly string[],
    name = "packet",
  ): void {
    const id = this.#emitted.length;
    this.#emitted.push({ id, server, rooms, except });
    this.#byServer[server]!.push(id);
    to.emit(name, id, this.#payload(id));
  }

  readonly #byServer: number[][] = Array.from({ length: SERVERS }, () => []);

  #emittedBy(server: number, place: number): Emitted | undefined {
    const id = this.#byServer[server]?.[place];
    return id === undefined ? undefined : this.#emitted[id];
  }

  /** Small ones, those of several chunks, bytes, and a text that is no offset. */
  #payload(id: number): unknown {
    const what = this.#random.below(100);
    if (what < 3) return `${id};${"é".repeat(5_000 + this.#random.below(20_000))}`;
    if (what < 10) return { bytes: new Uint8Array(this.#random.below(300)).fill(id & 255) };
    if (what === 10) return { bytes: new Uint8Array(9_000 + id % 9_000).fill(id & 255) };
    if (what < 50) return `${id}`;
    return { id };
  }
}

/** A client with a way of its own to the servers. */
class Drifter {
  readonly relay: Relay;
  readonly rooms: readonly string[];
  readonly client: Client;
  readonly parts: Part[] = [];
  readonly #manager: Manager;

  constructor(relay: Relay, rooms: readonly string[]) {
    this.relay = relay;
    this.rooms = rooms;
    this.#manager = new Manager(`http://127.0.0.1:${relay.port}`, {
      transports: ["websocket"],
      reconnection: false,
      autoConnect: false,
      query: { client: String(relay.port) },
    });
    this.client = this.#manager.socket("/");
    this.client.on("connect", () => {
      if (!this.client.recovered) this.parts.push({ rooms, start: -1, received: [], returns: [] });
    });
    this.client.onAny((name: string, id: number, payload: unknown, offset?: string) => {
      if (name !== "packet" && name !== "start") return;
      check(id, payload);
      const part = this.parts.at(-1)!;
      if (name === "start") part.start = id;
      // What came before it was in its rooms may be anything.
      if (part.start >= 0) part.received.push({ id, offset });
    });
  }

  /** The id of its last session. */
  get id(): string {
    return this.#id;
  }
  #id = "";

  /** The offset that it tells. */
  get offset(): string | undefined {
    return (this.client as unknown as { _lastOffset?: string })._lastOffset;
  }

  /** Its private id. */
  get pid(): string {
    return (this.client as unknown as { _pid: string })._pid;
  }

  get isOpen(): boolean {
    return this.#manager._readyState !== "closed";
  }

  /** Says that it leaves the transport, and nothing to Socket.IO. */
  close(): void {
    this.#manager.engine.close();
  }

  /**
   * Connects, again where the connection is lost before it has begun: that is for a Manager to do, which does not
   * reconnect here. On a machine that is busy for seconds either side may take the other for dead.
   *
   * @returns Whether it took one attempt: what another one finds depends on what the first one took.
   */
  async connect(): Promise<boolean> {
    for (let isFirst = true;; isFirst = false) {
      if (await this.#tryToConnect()) return isFirst;
      await forgetUnheard(this.client);
    }
  }

  async #tryToConnect(): Promise<boolean> {
    const { client } = this;
    const { promise, resolve } = signal<Error | "connected" | "closed">();
    const succeed = () => resolve("connected");
    let isClosed = false;
    const close = () => {
      isClosed = true;
      resolve("closed");
    };
    this.#manager.once("close", close);
    client.once("connect", succeed);
    client.once("connect_error", resolve);
    client.connect();
    try {
      const end = await within(10_000, "coming back", promise);
      if (end instanceof Error) throw end;
      if (end === "closed") return false;
      this.#id = client.id!;
      // Until it is told that it is in its rooms.
      await until("it has begun", () => isClosed || this.parts.at(-1)!.start >= 0);
      return !isClosed;
    } finally {
      this.#manager.off("close", close);
      client.off("connect", succeed).off("connect_error", resolve);
    }
  }
}

/** Whether a payload is what was sent under this id. */
function check(id: number, payload: unknown): void {
  if (typeof payload === "string") {
    if (Number.parseInt(payload) !== id) throw new Error(`packet ${id} has the text of another`);
    return;
  }
  const { bytes, id: told = id } = payload as { bytes?: Uint8Array; id?: number };
  if (told !== id || bytes?.some((byte) => byte !== (id & 255))) {
    throw new Error(`packet ${id} has the data of another`);
  }
}

/** Compares what a session received with what the log has for it, from its start on. */
function compare(
  who: string,
  { rooms, start, received, returns }: Part,
  log: readonly number[],
  places: ReadonlyMap<number, number>,
  emitted: readonly Emitted[],
  isLast: boolean,
): void {
  if (start < 0) return;
  const [sid] = emitted[start]!.rooms;
  const isIn = (room: string) => room === sid || rooms.includes(room);
  const expected = log.slice(places.get(start)!).filter((id) => {
    const { rooms: to, except } = emitted[id]!;
    return (to.length === 0 || to.some(isIn)) && !except.some(isIn);
  });
  const at = received.findIndex(({ id }, i) => expected[i] !== id);
  const place = at >= 0 ? at : isLast ? received.length : expected.length;
  if (at < 0 && (!isLast || received.length === expected.length)) return;
  const got = received.map(({ id }) => id);
  const wanted = expected[place];
  const what = wanted !== undefined && !got.includes(wanted)
    ? "misses a packet"
    : got.indexOf(got[place]!) !== place
    ? "has a packet twice"
    : expected.includes(got[place]!)
    ? "has packets in another order"
    : "has a packet that is not for it";
  const around = (ids: readonly number[]) => ids.slice(Math.max(0, place - 3), place + 5).join(" ");
  throw new Error(
    `${who} ${what} at ${place} of ${expected.length} (received ${received.length}): ` +
      `received … ${around(got)} … instead of … ${around(expected)} …; offsets … ${
        received.slice(Math.max(0, place - 3), place + 5).map(({ offset }) => offset).join(" ")
      } …; packet ${wanted} is ${JSON.stringify(emitted[wanted ?? 0])}, ${got[place]} is ${
        JSON.stringify(emitted[got[place] ?? 0])
      }, ${got[place]} was at ${got.indexOf(got[place]!)}; it came back ${
        JSON.stringify(returns.filter(({ received }) => Math.abs(received - place) < 1_000))
      }`,
  );
}

/** How many messages a frame of the log ends. */
function messagesIn(payload: string): number {
  const { chunk, body } = decodeFrame(payload);
  return chunk === undefined ? [...decodeMessages(body)].length : 1;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * Runs servers and clients for a time.
 *
 * @param ms For how long.
 * @param hasFaults Whether the connections of the servers to PostgreSQL are ended now and then, too.
 * @throws {Away} When that may be so as a server was without PostgreSQL for too long.
 * @throws {Error} When a client has not received what the log has for it.
 */
export async function runRandom(
  scope: Scope,
  random: Random,
  ms: number,
  hasFaults: boolean,
): Promise<RandomFigures> {
  const maxDisconnectionDuration = random.pick([5_000, 60_000]);
  const cluster = await createRecoveryCluster(scope, {
    size: SERVERS,
    maxDisconnectionDuration,
    server: { pingInterval: 1_000, pingTimeout: 1_000 },
    adapter: { heartbeatInterval: 500, heartbeatTimeout: 3_000 },
  });
  const sql = connectSql(scope, cluster.uri);
  const run = new Run(cluster, random, sql);
  await run.start(scope);
  const over = pause(ms).then(() => run.end());
  const jobs = [
    ...cluster.nodes.map((_, server) => run.emitAll(server)),
    ...Array.from({ length: CLIENTS }, (_, i) => run.wander(i)),
    (async () => {
      while (!run.isOver) {
        await run.readLog();
        await pause(200);
      }
    })(),
    (async () => {
      while (hasFaults && !run.isOver) {
        await pause(random.below(2_000));
        const { uid } = random.pick(cluster.nodes).adapter.stats();
        const name = `socketio-pg:${random.pick(["listen", "publish"])}:${uid}`;
        await sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = ${name}`;
        run.figures.outages++;
      }
    })(),
  ];
  try {
    await Promise.all([over, ...jobs]);
    await run.verify();
  } catch (cause) {
    run.end();
    await Promise.allSettled(jobs);
    const message = `${(cause as Error).message} (${run.describe()})`;
    if (run.longestOutage > AWAY_MS) {
      throw new Away(`${message}; a server was without PostgreSQL for ${run.longestOutage} ms`, {
        cause,
      });
    }
    throw new Error(message, { cause });
  }
  if (hasFaults) {
    run.figures.failed = cluster.errors.filter(({ code }) => code === "RECOVERY_FAILED").length;
    // A connection that is lost again before it is ready is told of.
    cluster.errors = cluster.errors.filter(({ code }) => !OF_OUTAGES.includes(code));
  }
  return run.figures;
}
