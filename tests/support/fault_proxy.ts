/**
 * A TCP proxy between one adapter and PostgreSQL that does to connections what networks do.
 *
 * Connections are told apart by the application name in their first packet, so that one proxy can hurt the listening
 * or the publishing connection alone. It reads clear text: the adapter must not use TLS for that.
 *
 * @module
 */

import { connect, createServer, type Server, type Socket } from "node:net";
import { freePort } from "./postgres.ts";

/** Which way bytes go: `up` to the server, `down` to the adapter. */
export type Direction = "up" | "down";

/** Which connections of an adapter are meant. */
export type Kind = "listen" | "publish";

/** How a connection is cut: with a reset, where the runtime can, or politely. */
export type Cut = "rst" | "fin";

/** Which connections a fault is for: without a kind all. */
export interface Only {
  readonly only?: Kind;
}

/** How bytes are slowed down. */
export interface Shape {
  /** Milliseconds from reading to writing. */
  readonly latency?: number;
  /** Written in slices of 1 to so many bytes. */
  readonly slice?: number;
  /** Bytes per second, in each direction. */
  readonly bandwidth?: number;
}

/** When a connection is cut by itself. */
export interface CutRule extends Only {
  /**
   * Where the text passes, or so many bytes of the connection have passed. A prepared statement shows its text once per
   * connection; its parameters (channel, payload) pass each time.
   */
  readonly on: string | number;
  /** @default "up" */
  readonly direction?: Direction;
  /**
   * `before`: what would pass is not sent on. `within`: it is cut `more` bytes after the start of the text. `replied`:
   * the server gets it and answers, which the adapter never learns.
   *
   * @default "before"
   */
  readonly at?: "before" | "within" | "replied";
  /** @default 1 */
  readonly more?: number;
  /** @default "rst" */
  readonly how?: Cut;
  /** How often. @default 1 */
  readonly times?: number;
}

/** A rule that is in force. */
export interface ActiveCut {
  /** How often it has cut so far. */
  readonly count: number;
  /** Ends it. */
  cancel(): void;
}

/** How long a source may run ahead of what is written. */
const HIGH_WATER = 256 * 1024;
/** Slices per turn when nothing bounds the bandwidth. */
const SLICES_PER_TURN = 64;
/** ReadyForQuery, the end of every answer. */
const READY_FOR_QUERY = Buffer.from([0x5a, 0, 0, 0, 5]);

type Treatment = "pass" | "swallow" | "hold";

/** A fault proxy, see {@linkcode FaultProxy.start}. */
export class FaultProxy implements AsyncDisposable {
  /** The server's uri, with the proxy in place of the server. */
  readonly uri: string;
  readonly port: number;
  readonly #target: { host: string; port: number };
  readonly #connections: Set<Connection> = new Set();
  readonly #treatments: { only: Kind | undefined; direction: Direction; treatment: Treatment }[] =
    [];
  readonly #rules: Set<Rule> = new Set();
  #server: Server | undefined;
  #turnsAway: Cut | undefined;
  #shape: Shape = {};
  #forgets = Infinity;
  #accepted = 0;
  #closed = false;

  private constructor(uri: string, port: number) {
    const url = new URL(uri);
    this.#target = { host: url.hostname, port: Number(url.port || 5432) };
    url.hostname = "127.0.0.1";
    url.port = `${port}`;
    this.uri = url.href;
    this.port = port;
  }

  /**
   * Starts a proxy that passes everything.
   *
   * @param uri Where the server is.
   */
  static async start(uri: string): Promise<FaultProxy> {
    // Outside the range of outgoing connections: the port must still be free after a time of not listening.
    const proxy = new FaultProxy(uri, await freePort());
    await proxy.accept();
    return proxy;
  }

  /** How many connections it has accepted so far, those that it turned away at once included. */
  get accepted(): number {
    return this.#accepted;
  }

  /** How many connections are open, on either side. */
  get open(): number {
    return this.#connections.size;
  }

  /** How many bytes have come in each direction, swallowed ones included. */
  readonly passed: Record<Direction, number> = { up: 0, down: 0 };

  /** Ends all faults but a stop of listening; connections that bytes were taken from are reset. */
  pass(): void {
    this.#turnsAway = undefined;
    this.#treatments.length = 0;
    for (const rule of this.#rules) rule.cancel();
    this.#shape = {};
    this.#forgets = Infinity;
    for (const connection of [...this.#connections]) connection.recover();
  }

  /** Listens (again). */
  async accept(): Promise<void> {
    this.#turnsAway = undefined;
    if (this.#server !== undefined) return;
    const server = createServer((socket) => this.#accept(socket));
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.port, "127.0.0.1", () => {
        server.off("error", reject);
        resolve();
      });
    });
  }

  /** Stops listening, so that connections are refused; those that are open stay. */
  async refuse(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    // Its callback would wait for the connections that stay.
    server?.close();
    await until(() => server?.listening !== true);
  }

  /** Accepts connections from now on and ends them at once. */
  turnAway(how: Cut = "rst"): void {
    this.#turnsAway = how;
  }

  /**
   * Cuts what is open.
   *
   * @returns How many connections that were.
   */
  cut(how: Cut = "rst", { only }: Only = {}): number {
    const meant = [...this.#connections].filter((each) => each.is(only));
    for (const connection of meant) connection.cut(how);
    return meant.length;
  }

  /** Swallows bytes, and the ends of connections: nobody is told anything. */
  blackhole(direction: Direction | "both" = "both", only: Only = {}): void {
    this.#treat("swallow", direction, only);
  }

  /** Holds bytes back; `pass()` lets them go on, so nothing is lost but time. */
  hold(direction: Direction | "both" = "both", only: Only = {}): void {
    this.#treat("hold", direction, only);
  }

  /** Slows everything down from now on. */
  slow(shape: Shape): void {
    this.#shape = shape;
  }

  /** Swallows from now on what comes on a connection that was idle for so long, as a router does that forgets it. */
  forgetIdle(ms: number): void {
    this.#forgets = ms;
  }

  /** Swallows from now on what comes on the connections that are open, as a router does that was replaced; new ones pass. */
  forget({ only }: Only = {}): void {
    for (const connection of this.#connections) if (connection.is(only)) connection.forget();
  }

  /** Cuts connections by what passes. */
  cutOn(rule: CutRule): ActiveCut {
    const active = new Rule(rule, () => this.#rules.delete(active));
    this.#rules.add(active);
    return active;
  }

  /** Stops listening and ends all connections. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.refuse();
    for (const rule of this.#rules) rule.cancel();
    for (const connection of [...this.#connections]) connection.cut("rst");
    await until(() => this.#connections.size === 0);
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #treat(treatment: Treatment, direction: Direction | "both", { only }: Only): void {
    for (const each of ["up", "down"] as const) {
      if (direction === each || direction === "both") {
        this.#treatments.push({ only, direction: each, treatment });
      }
    }
  }

  #accept(client: Socket): void {
    this.#accepted++;
    client.on("error", () => {});
    if (this.#turnsAway !== undefined || this.#server === undefined) {
      return end(client, this.#turnsAway ?? "rst");
    }
    const connection: Connection = new Connection(client, this.#target, {
      shape: () => this.#shape,
      forgets: () => this.#forgets,
      passed: (direction, bytes) => this.passed[direction] += bytes,
      rules: () => this.#rules,
      treatment: (kind, direction) =>
        this.#treatments.findLast((each) =>
          each.direction === direction && (each.only === undefined || each.only === kind)
        )?.treatment ?? "pass",
      over: () => this.#connections.delete(connection),
    });
    this.#connections.add(connection);
  }
}

/** What a connection asks its proxy. */
interface Surroundings {
  shape(): Shape;
  forgets(): number;
  passed(direction: Direction, bytes: number): void;
  rules(): Iterable<Rule>;
  treatment(kind: Kind | undefined, direction: Direction): Treatment;
  over(): void;
}

class Rule implements ActiveCut {
  readonly rule: CutRule;
  readonly #cancel: () => void;
  count = 0;

  constructor(rule: CutRule, cancel: () => void) {
    this.rule = rule;
    this.#cancel = cancel;
  }

  cancel(): void {
    this.#cancel();
  }

  hit(): void {
    if (++this.count >= (this.rule.times ?? 1)) this.cancel();
  }
}

/** A pair of sockets. */
class Connection {
  readonly #client: Socket;
  readonly #target: { host: string; port: number };
  readonly #around: Surroundings;
  readonly #up: Flow;
  readonly #down: Flow;
  #server: Socket | undefined;
  #kind: Kind | undefined;
  /** Set when bytes or an end were swallowed: what comes later makes no sense any more. */
  #isBroken = false;
  #isForgotten = false;
  #lastActive = performance.now();
  /** A rule that cuts as soon as the server has answered. */
  #awaiting: Rule | undefined;
  #replies: Buffer = Buffer.alloc(0);
  #isOver = false;

  constructor(client: Socket, target: { host: string; port: number }, around: Surroundings) {
    this.#client = client;
    this.#target = target;
    this.#around = around;
    this.#up = new Flow(client, () => this.#connect(), around.shape);
    this.#down = new Flow(undefined, () => client, around.shape);
    client.setNoDelay(true);
    client.on("data", (data) => this.#passes("up", bytesOf(data)));
    client.on("close", () => this.#ended("up"));
  }

  is(kind: Kind | undefined): boolean {
    return kind === undefined || this.#kind === kind;
  }

  cut(how: Cut): void {
    this.#up.stop();
    this.#down.stop();
    end(this.#client, how);
    if (this.#server !== undefined) end(this.#server, how);
    if (how === "rst") this.#finish();
  }

  forget(): void {
    this.#isForgotten = true;
  }

  /** The fault is over. */
  recover(): void {
    if (this.#isBroken) return this.cut("rst");
    this.#up.release();
    this.#down.release();
  }

  /** The server is connected to with the first byte for it: what is swallowed makes no session there. */
  #connect(): Socket {
    if (this.#server !== undefined) return this.#server;
    const server = connect(this.#target.port, this.#target.host);
    this.#server = server;
    server.setNoDelay(true);
    server.on("error", () => {});
    server.on("data", (data) => this.#passes("down", bytesOf(data)));
    server.on("close", () => this.#ended("down"));
    this.#down.source = server;
    return server;
  }

  #passes(direction: Direction, data: Buffer): void {
    if (this.#isOver) return;
    const flow = direction === "up" ? this.#up : this.#down;
    if (direction === "up" && flow.total === 0) this.#kind = kindOf(data);
    this.#around.passed(direction, data.length);
    const cut = this.#search(direction, flow, data);
    flow.total += data.length;
    if (this.#isOver) return;
    if (cut !== undefined) {
      flow.last = data;
      if (cut.keep > 0) flow.push(data.subarray(0, cut.keep));
      return flow.after(() => this.cut(cut.how));
    }
    flow.last = data.subarray(Math.max(0, data.length - 1_000));
    if (direction === "down" && this.#awaiting !== undefined) return this.#swallowReply(data);
    switch (this.#treatment(direction)) {
      case "swallow":
        this.#isBroken = true;
        break;
      case "hold":
        flow.hold(data);
        break;
      case "pass":
        flow.push(data);
    }
  }

  /** Whether a rule applies, and how many of these bytes still pass. */
  #search(
    direction: Direction,
    flow: Flow,
    data: Buffer,
  ): { keep: number; how: Cut } | undefined {
    for (const active of this.#around.rules()) {
      const { on, direction: wanted = "up", at = "before", more = 1, how = "rst", only } =
        active.rule;
      if (wanted !== direction || !this.is(only) || this.#awaiting !== undefined) continue;
      let start: number;
      if (typeof on === "number") {
        if (flow.total + data.length < on) continue;
        start = Math.max(0, on - flow.total);
      } else {
        // The text may begin in the bytes before.
        const before = flow.last.subarray(Math.max(0, flow.last.length - on.length + 1));
        const found = Buffer.concat([before, data]).indexOf(on);
        if (found < 0) continue;
        start = Math.max(0, found - before.length);
      }
      active.hit();
      if (at === "replied") {
        this.#awaiting = active;
        return undefined;
      }
      return { keep: at === "within" ? Math.min(data.length, start + more) : start, how };
    }
    return undefined;
  }

  #treatment(direction: Direction): Treatment {
    const now = performance.now();
    this.#isForgotten ||= now - this.#lastActive > this.#around.forgets();
    this.#lastActive = now;
    return this.#isForgotten ? "swallow" : this.#around.treatment(this.#kind, direction);
  }

  #swallowReply(data: Buffer): void {
    this.#replies = Buffer.concat([this.#replies, data]);
    if (this.#replies.includes(READY_FOR_QUERY)) this.cut(this.#awaiting?.rule.how ?? "rst");
  }

  /** A side has ended: the other one is told, unless the fault is that it is not. */
  #ended(direction: Direction): void {
    if (this.#isOver) return;
    const flow = direction === "up" ? this.#up : this.#down;
    if (this.#client.destroyed && (this.#server?.destroyed ?? true)) return this.#finish();
    if (this.#treatment(direction) === "swallow") {
      this.#isBroken = true;
      return;
    }
    flow.after(() => {
      if (direction === "down") this.#client.end();
      else if (this.#server !== undefined) this.#server.end();
    });
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#up.stop();
    this.#down.stop();
    this.#around.over();
  }
}

/** The bytes in one direction. */
class Flow {
  source: Socket | undefined;
  /** How many bytes have come so far. */
  total = 0;
  /** The end of what came last. */
  last: Buffer = Buffer.alloc(0);
  readonly #sink: () => Socket;
  readonly #shape: () => Shape;
  #queue: { data: Buffer; due: number }[] = [];
  #queued = 0;
  #held: Buffer[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #afterwards: (() => void) | undefined;
  #credit = 0;
  #lastTurn = 0;
  #slices = 0;
  #isStopped = false;

  constructor(source: Socket | undefined, sink: () => Socket, shape: () => Shape) {
    this.source = source;
    this.#sink = sink;
    this.#shape = shape;
  }

  push(data: Buffer): void {
    if (this.#held.length > 0) return this.hold(data);
    const { latency = 0, slice, bandwidth } = this.#shape();
    if (this.#queue.length === 0 && latency === 0 && slice === undefined && !bandwidth) {
      return this.#write(data);
    }
    this.#queue.push({ data, due: performance.now() + latency });
    this.#queued += data.length;
    if (this.#queued > HIGH_WATER) this.source?.pause();
    if (this.#timer === undefined) {
      this.#lastTurn = performance.now();
      this.#turn();
    }
  }

  hold(data: Buffer): void {
    this.#held.push(data);
  }

  release(): void {
    const held = this.#held;
    this.#held = [];
    for (const data of held) this.push(data);
    this.#settle();
  }

  /** Does something once all that came before is written. */
  after(then: () => void): void {
    this.#afterwards ??= then;
    this.#settle();
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.#queue = [];
    this.#held = [];
    this.#afterwards = undefined;
  }

  #settle(): void {
    if (this.#queue.length > 0 || this.#held.length > 0 || this.#isStopped) return;
    const then = this.#afterwards;
    this.#afterwards = undefined;
    then?.();
  }

  /** Writes what is due and affordable, and comes back for the rest. */
  #turn(): void {
    this.#timer = undefined;
    if (this.#isStopped) return;
    const now = performance.now();
    const { slice = Infinity, bandwidth = Infinity } = this.#shape();
    // A late turn may catch up, but not with a flood.
    this.#credit = bandwidth === Infinity
      ? Infinity
      : this.#credit + bandwidth * Math.min(100, now - this.#lastTurn) / 1_000;
    this.#lastTurn = now;
    let slices = 0;
    while (this.#queue.length > 0 && slices < SLICES_PER_TURN && this.#credit >= 1) {
      const first = this.#queue[0]!;
      if (first.due > now) break;
      const size = Math.min(
        first.data.length,
        slice === Infinity ? Infinity : 1 + (this.#slices++ * 5 + 3) % slice,
        this.#credit,
      );
      const whole = Math.max(1, Math.floor(size));
      this.#write(first.data.subarray(0, whole));
      this.#credit -= whole;
      this.#queued -= whole;
      if (whole === first.data.length) this.#queue.shift();
      else first.data = first.data.subarray(whole);
      slices++;
    }
    if (this.#queued <= HIGH_WATER) this.source?.resume();
    const next = this.#queue[0];
    if (next === undefined) {
      this.#credit = 0;
      return this.#settle();
    }
    this.#timer = setTimeout(() => this.#turn(), Math.max(1, next.due - now));
  }

  #write(data: Buffer): void {
    const sink = this.#sink();
    if (sink.destroyed || sink.writableEnded) return;
    if (sink.write(data)) return;
    this.source?.pause();
    sink.once("drain", () => {
      if (this.#queued <= HIGH_WATER) this.source?.resume();
    });
  }
}

/** The adapter's two connections say in their first packet what they are. */
function kindOf(packet: Buffer): Kind | undefined {
  const kind = /socketio-pg:(listen|publish)/.exec(packet.toString("latin1"))?.[1];
  return kind as Kind | undefined;
}

function bytesOf(data: Buffer | string): Buffer {
  return typeof data === "string" ? Buffer.from(data) : data;
}

function end(socket: Socket, how: Cut): void {
  if (how === "fin") {
    socket.end();
    // What the other side still sends is not wanted, and must not keep the socket open.
    socket.resume();
    return;
  }
  // A socket that is not connected yet has nothing to reset. While one is being ended, Node cannot reset it (EINVAL), then
  // takes it for closed, and at the end of the process waits for it in a loop that never ends.
  const canBeReset = !socket.connecting && socket.writableEnded === socket.writableFinished;
  if (canBeReset && typeof socket.resetAndDestroy === "function") socket.resetAndDestroy();
  else socket.destroy();
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}
