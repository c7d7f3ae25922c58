/** Servers with connection state recovery in a database of their own, and clients that are cut off and come back. */
import type { ServerOptions } from "socket.io";
import { Manager, type Socket as Client } from "socket.io-client";
import { pgAdapter, type PgAdapterError, type PgAdapterOptions } from "../../mod.ts";
import { createNode, knowEachOther, type Node, uniquePrefix } from "./cluster.ts";
import { databaseUri } from "./database.ts";
import { createDatabase } from "./sql.ts";
import type { Scope } from "./test.ts";
import { withoutOffset } from "./offset.ts";
import { next, until, within } from "./wait.ts";

/** What a cluster with recovery may differ in. */
export interface RecoveryClusterOptions {
  size?: number;
  uri?: string;
  adapter?: PgAdapterOptions;
  server?: Partial<ServerOptions>;
  /** Milliseconds. @default 60000 */
  maxDisconnectionDuration?: number;
}

/** A client that may go from server to server, and everything that it has received. */
export class Wanderer {
  readonly client: Client;
  /** Events with their arguments, without offsets. */
  readonly received: unknown[][] = [];
  readonly #manager: Manager;
  #arrived: () => void = () => {};

  constructor(port: number, namespace = "/", options: object = {}) {
    this.#manager = new Manager(urlOf(port), {
      transports: ["websocket"],
      reconnection: false,
      ...options,
    });
    this.client = this.#manager.socket(namespace);
    this.client.onAny((event: string, ...args: unknown[]) => {
      this.received.push([event, ...withoutOffset(args)]);
      this.#arrived();
    });
  }

  /** The offset of the last packet. */
  get offset(): string | undefined {
    return (this.client as unknown as { _lastOffset?: string })._lastOffset;
  }

  set offset(offset: string | undefined) {
    (this.client as unknown as { _lastOffset: string | undefined })._lastOffset = offset;
  }

  /** Its private id. */
  get pid(): string | undefined {
    return (this.client as unknown as { _pid?: string })._pid;
  }

  set pid(pid: string | undefined) {
    (this.client as unknown as { _pid: string | undefined })._pid = pid;
  }

  /** What was received under a name. */
  of(event: string): unknown[][] {
    return this.received.filter(([name]) => name === event).map(([, ...args]) => args);
  }

  /** Cuts the connection as a network does, without a word. */
  async cut(): Promise<void> {
    const gone = next(this.client, "disconnect");
    this.#manager.engine.close();
    await gone;
    await forgetUnheard(this.client);
  }

  /** Closes what there is of a connection, whether it is connected or not. */
  close(): void {
    this.#manager._close();
  }

  /** From now on it connects to this server. */
  moveTo(port: number): void {
    (this.#manager as unknown as { uri: string }).uri = urlOf(port);
  }

  /** Comes back, to any server. */
  async comeTo(port: number): Promise<void> {
    this.moveTo(port);
    const there = next(this.client, "connect", 15_000);
    this.client.connect();
    await there;
  }

  /** Waits for an event. */
  async has(event: string, count = 1, ms = 15_000): Promise<unknown[][]> {
    const end = performance.now() + ms;
    let found = 0;
    // Each is looked at once: there may be ten thousand.
    for (let at = 0;;) {
      for (; at < this.received.length; at++) if (this.received[at]![0] === event) found++;
      if (found >= count) break;
      const arrived = new Promise<void>((resolve) => this.#arrived = resolve);
      await within(
        Math.max(1, end - performance.now()),
        `receiving ${count} times "${event}" (${found} so far)`,
        arrived,
      );
    }
    return this.of(event);
  }
}

/**
 * Who closes a connection itself may have decoded packets that it has not handed over yet: the client keeps them, and
 * hands them over when it is connected again, beside those that it gets once more. A network does not do that.
 */
export async function forgetUnheard(client: Client): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  client.receiveBuffer.length = 0;
}

function urlOf(port: number): string {
  return `http://127.0.0.1:${port}`;
}

/** Servers with recovery. */
export class RecoveryCluster {
  /** What the adapters reported: whoever provokes an error takes it out of here. */
  errors: PgAdapterError[] = [];
  readonly expired: unknown[] = [];
  readonly prefix: string = uniquePrefix();
  readonly uri: string;
  nodes: Node[] = [];
  readonly #scope: Scope;
  readonly #options: RecoveryClusterOptions;

  constructor(scope: Scope, uri: string, options: RecoveryClusterOptions) {
    this.#scope = scope;
    this.uri = uri;
    this.#options = options;
    scope.after(async () => {
      await Promise.all(this.nodes.map((node) => node.close()));
      if (this.errors.length > 0) throw new AggregateError(this.errors, this.errors.join("; "));
    });
  }

  /** Starts one more server. */
  async start(uri: string = this.uri, own: PgAdapterOptions = {}): Promise<Node> {
    const { adapter: options, server, maxDisconnectionDuration = 60_000 } = this.#options;
    const adapter = pgAdapter(uri, { prefix: this.prefix, ...options, ...own });
    adapter.on("error", (error) => this.errors.push(error));
    adapter.on("session-expired", (session) => this.expired.push(session));
    const node = await createNode(adapter, {
      server: { connectionStateRecovery: { maxDisconnectionDuration }, ...server },
    });
    this.nodes.push(node);
    await adapter.ready();
    return node;
  }

  /** Closes all servers. */
  async stop(): Promise<void> {
    await Promise.all(this.nodes.splice(0).map((node) => node.close()));
  }

  io(i: number): Node["io"] {
    return this.nodes[i]!.io;
  }

  port(i: number): number {
    return this.nodes[i]!.port;
  }

  /** A client of a server, which has an offset already. */
  async client(i: number, namespace = "/", options: object = {}): Promise<Wanderer> {
    const wanderer = new Wanderer(this.port(i), namespace, options);
    this.#scope.after(() => void wanderer.client.disconnect());
    await next(wanderer.client, "connect", 15_000);
    this.io(i).of(namespace).to(wanderer.client.id!).emit("welcome");
    await wanderer.has("welcome");
    wanderer.received.length = 0;
    return wanderer;
  }

  /** A client that says it had a session, whatever it says. */
  async stranger(i: number, pid: unknown, offset: unknown, namespace = "/"): Promise<Wanderer> {
    const wanderer = new Wanderer(this.port(i), namespace, { autoConnect: false });
    this.#scope.after(() => void wanderer.client.disconnect());
    Object.assign(wanderer.client, { _pid: pid, _lastOffset: offset });
    const there = next(wanderer.client, "connect", 15_000);
    wanderer.client.connect();
    await there;
    return wanderer;
  }

  /** Waits until a server knows that a client is gone. */
  async gone(i: number, id: string, namespace = "/"): Promise<void> {
    await until(`${id} is gone`, () => !this.io(i).of(namespace).sockets.has(id));
  }
}

/** Starts servers with recovery in a database of their own. */
export async function createRecoveryCluster(
  scope: Scope,
  options: RecoveryClusterOptions = {},
): Promise<RecoveryCluster> {
  const uri = options.uri ?? (await createDatabase(scope, await databaseUri())).uri;
  const cluster = new RecoveryCluster(scope, uri, options);
  for (let i = 0; i < (options.size ?? 3); i++) await cluster.start();
  await knowEachOther(cluster.nodes);
  return cluster;
}
