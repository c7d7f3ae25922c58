/** Several Socket.IO servers over one PostgreSQL, with clients, as every test of the contract needs them. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type Namespace, Server, type ServerOptions, type Socket } from "socket.io";
import { Manager, type ManagerOptions, type Socket as Client } from "socket.io-client";
import { pgAdapter, type PgAdapterOptions } from "../../mod.ts";
import { databaseUri } from "./database.ts";
import { Inbox, mark } from "./inbox.ts";
import { HAS_RECOVERY } from "./offset.ts";
import type { Scope } from "./test.ts";
import { next, signal, until, within } from "./wait.ts";

/** The adapter as `pgAdapter()` gives it. */
export type Adapter = ReturnType<typeof pgAdapter>;

/** What a cluster may differ in. */
export interface ClusterOptions {
  /** How many servers. @default 3 */
  size?: number;
  /** How many clients on each server. @default 1 */
  clients?: number;
  /** The namespace of the clients. @default "/" */
  namespace?: string;
  /** The database. @default the one of all tests */
  uri?: string;
  /** The channel prefix. @default a unique one */
  prefix?: string;
  /** Options of the adapter; a function gives each server its own. */
  adapter?: PgAdapterOptions | ((server: number) => PgAdapterOptions);
  /** Makes the adapter of a server, where it is not one of ours. */
  make?: (server: number, uri: string, prefix: string) => Adapter;
  /** Whether it waits until every server counts all of them. @default true */
  wait?: boolean;
  /** Options of the Socket.IO servers. */
  server?: Partial<ServerOptions>;
  /** Options of the clients. */
  client?: Partial<ManagerOptions>;
  /** `@socket.io/bun-engine` in place of Engine.IO; on Bun only. */
  bunEngine?: boolean;
}

/** One server of a cluster. */
export interface Node {
  readonly io: Server;
  readonly adapter: Adapter;
  readonly port: number;
  close(): Promise<void>;
}

let clusters = 0;
let markers = 0;

/** A prefix that no other cluster has. */
export function uniquePrefix(): string {
  const random = crypto.getRandomValues(new Uint32Array(1))[0];
  return `t${random?.toString(36)}${(clusters++).toString(36)}`;
}

/** Servers that know each other, and clients that are connected to them; see {@linkcode createCluster}. */
export class Cluster {
  /** What the adapters reported: whoever provokes an error takes it out of here. */
  readonly errors: Error[] = [];
  readonly #open: Set<Node>;
  readonly prefix: string;
  readonly uri: string;
  readonly namespace: string;
  readonly servers: readonly Node[];
  readonly clients: readonly Client[];
  readonly #inboxes: readonly Inbox[];

  constructor(
    given: { prefix: string; uri: string; namespace: string; servers: Node[]; clients: Client[] },
  ) {
    this.prefix = given.prefix;
    this.uri = given.uri;
    this.namespace = given.namespace;
    this.servers = given.servers;
    this.clients = given.clients;
    this.#open = new Set(given.servers);
    this.#inboxes = given.clients.map((client) => new Inbox(client));
    for (const { adapter } of given.servers) {
      adapter.on("error", (error: Error) => this.errors.push(error));
      adapter.on("gap", (gap: unknown) => {
        this.errors.push(new Error(`a gap: ${JSON.stringify(gap)}`));
      });
    }
  }

  /** The server of this number. */
  io(server: number): Server {
    return at(this.servers, server).io;
  }

  /** The port of the server of this number. */
  port(server: number): number {
    return at(this.servers, server).port;
  }

  /** The namespace of the clients on the server of this number. */
  nsp(server: number): Namespace {
    return this.io(server).of(this.namespace);
  }

  /** The adapter of the server of this number. */
  adapter(server: number): Adapter {
    return at(this.servers, server).adapter;
  }

  /** The client of this number; clients are numbered server by server. */
  client(client: number): Client {
    return at(this.clients, client);
  }

  /** What the client of this number received. */
  inbox(client: number): Inbox {
    return at(this.#inboxes, client);
  }

  /** The server's side of the client of this number. */
  socket(client: number): Socket {
    const id = this.client(client).id ?? "";
    for (const { io } of this.servers) {
      const socket = io.of(this.namespace).sockets.get(id);
      if (socket !== undefined) return socket;
    }
    throw new Error(`client ${client} is not connected`);
  }

  /**
   * Waits until every client has everything that any server sent before this call: each server sends one more message
   * to all, and what one server sends arrives in order. So what is not there afterwards does not come.
   */
  async settled(ms = 20_000): Promise<void> {
    const id = markers++;
    const senders = this.servers.flatMap((node, i) => this.#open.has(node) ? [i] : []);
    for (const i of senders) mark(this.nsp(i), id, i);
    await Promise.all(this.#inboxes.map(async (inbox, i) => {
      try {
        await inbox.marked(id, senders, ms);
      } catch (cause) {
        throw new Error(`client ${i}: ${(cause as Error).message}`, { cause });
      }
    }));
  }

  /** What each client received under this name once everything sent so far has arrived. */
  async received(event: string): Promise<unknown[][][]> {
    await this.settled();
    return this.#inboxes.map((inbox) => inbox.of(event));
  }

  /** Which clients received something under this name once everything sent so far has arrived. */
  async receivers(event: string): Promise<number[]> {
    const received = await this.received(event);
    return received.flatMap((messages, i) => messages.map(() => i));
  }

  /** Closes one server, and its clients with it. */
  async closeServer(server: number): Promise<void> {
    const node = at(this.servers, server);
    this.#open.delete(node);
    await node.close();
  }

  /** Closes everything; fails when an adapter reported an error that the test did not take. */
  async close(): Promise<void> {
    for (const client of this.clients) client.disconnect();
    await within(
      10_000,
      "closing the servers",
      Promise.all(this.servers.map((node) => node.close())),
    );
    if (this.errors.length > 0) {
      throw new AggregateError(this.errors, `the adapter reported: ${this.errors.join("; ")}`);
    }
  }
}

/** Starts servers and clients, and returns once every client is connected and every server knows all others. */
export async function createCluster(
  scope: Scope,
  options: ClusterOptions = {},
): Promise<Cluster> {
  const { size = 3, clients: perServer = 1, namespace = "/", prefix = uniquePrefix() } = options;
  const uri = options.uri ?? await databaseUri();
  const servers: Node[] = [];
  for (let i = 0; i < size; i++) {
    const given = typeof options.adapter === "function" ? options.adapter(i) : options.adapter;
    const adapter = options.make?.(i, uri, prefix) ?? pgAdapter(uri, { prefix, ...given });
    const node = await createNode(adapter, options);
    node.io.of(namespace);
    servers.push(node);
  }
  const clients = servers.flatMap(({ port }) =>
    Array.from({ length: perServer }, () => createClient(port, namespace, options.client))
  );
  const cluster = new Cluster({ prefix, uri, namespace, servers, clients });
  scope.after(() => cluster.close());
  await Promise.all(servers.map(({ adapter }) => adapter.ready()));
  await Promise.all(clients.map(connected));
  if (options.wait !== false) await knowEachOther(cluster.servers, namespace);
  return cluster;
}

/** Waits until every server counts all of them. */
export async function knowEachOther(servers: readonly Node[], namespace = "/"): Promise<void> {
  await until(`every server knows all ${servers.length}`, async () => {
    const counts = await Promise.all(
      servers.map(({ io }) => io.of(namespace).adapter.serverCount()),
    );
    return counts.every((count) => count === servers.length);
  });
}

/** One server on a free port. */
export async function createNode(
  adapter: Adapter,
  { server, bunEngine = false }: Pick<ClusterOptions, "server" | "bunEngine"> = {},
): Promise<Node> {
  if (HAS_RECOVERY) server = { connectionStateRecovery: {}, ...server };
  if (bunEngine) return await createBunNode(adapter, server);
  const http = createServer();
  const io = new Server(http, { adapter, serveClient: false, ...server });
  http.listen(0, "127.0.0.1");
  await next(http, "listening");
  const { port } = http.address() as AddressInfo;
  return { io, adapter, port, close: () => closeNode(io, adapter) };
}

declare const Bun: {
  serve(options: object): { port: number; stop(closeConnections?: boolean): Promise<void> };
};

async function createBunNode(adapter: Adapter, options?: Partial<ServerOptions>): Promise<Node> {
  const { Server: Engine } = await import("@socket.io/bun-engine");
  const io = new Server({ adapter, ...options });
  const engine = new Engine({ path: "/socket.io/" });
  io.bind(engine);
  const http = Bun.serve({ port: 0, hostname: "127.0.0.1", ...engine.handler() });
  const close = async () => {
    await closeNode(io, adapter);
    await http.stop(true);
  };
  return { io, adapter, port: http.port, close };
}

async function closeNode(io: Server, adapter: Adapter): Promise<void> {
  await io.close();
  await adapter.close();
}

/** A client that connects by itself, over a connection of its own. */
export function createClient(
  port: number,
  namespace = "/",
  options: Partial<ManagerOptions> = {},
): Client {
  const manager = new Manager(`http://127.0.0.1:${port}`, {
    transports: ["websocket"],
    reconnection: false,
    ...options,
  });
  return manager.socket(namespace);
}

/** Waits until a client is connected. */
export async function connected(client: Client): Promise<void> {
  if (client.connected) return;
  const { promise, resolve } = signal<Error | undefined>();
  const succeed = () => resolve(undefined);
  client.once("connect", succeed);
  client.once("connect_error", resolve);
  try {
    const error = await within(15_000, "connecting a client", promise);
    if (error !== undefined) throw error;
  } finally {
    client.off("connect", succeed);
    client.off("connect_error", resolve);
  }
}

function at<T>(list: readonly T[], index: number): T {
  const item = list[index];
  if (item === undefined) throw new RangeError(`there is no number ${index} of ${list.length}`);
  return item;
}
