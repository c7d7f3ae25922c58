/**
 * One of those that are compared: servers of one kind with their clients, each in a process of its own.
 *
 * @module
 */

import { Child, type Runner, type Usage } from "./child.ts";
import type { Arrived, CLIENTS, Crowd } from "./clients.ts";
import type { Daemon } from "./daemons.ts";
import type { Kind, Requests, SERVER, ServerOptions } from "./server.ts";

/** How a cluster is made up. */
export interface ClusterOptions {
  /** What runs the servers. */
  readonly runner: Runner;
  /** What runs the clients. */
  readonly node: Runner;
  readonly servers: number;
  /** Clients of each server. */
  readonly clients: number;
  readonly server: ServerOptions;
  /** What carries their messages, if anything. */
  readonly daemon: Daemon | undefined;
}

/** What a cluster has used so far. */
export interface Used {
  readonly servers: readonly Usage[];
  /** Microseconds of processor time of the database. */
  readonly database: number;
}

/** What is sent, and how. */
export interface Sending extends Kind {
  readonly count: number;
  /** Messages a second; as fast as possible if there is none. */
  readonly rate?: number;
}

/** A room of its own for each of so many: room `n` has the clients of server `n % servers`. */
export function spreadRooms(count: number): string[] {
  return Array.from({ length: count }, (_, n) => `spread ${n}`);
}

/** How many times a server passes something on to its clients in one burst, at most. */
export const MOST_DELIVERIES = 50_000;

/** One of those that are compared. */
export interface Contender {
  /** Clients of each server. */
  readonly clients: number;
  /**
   * Starts it, and settles when what is sent arrives everywhere.
   *
   * @param rooms How many rooms are spread over the servers.
   */
  start(rooms: number): Promise<void>;
  /** Has the first server send messages, and waits until everybody has them. */
  send(sending: Sending): Promise<Arrived>;
  /** Has the first server ask the others; the milliseconds of each request. */
  ask(requests: Requests): Promise<number[]>;
  /** What it has used so far. */
  used(): Promise<Used>;
  /** Ends its processes, and settles when they are gone. */
  end(): Promise<void>;
}

/** Servers are not ready in the time that they are given. */
export class NotReadyError extends Error {
  override readonly name = "NotReadyError";
}

/** Servers with their clients. */
export class Cluster implements Contender {
  readonly clients: number;
  readonly #options: ClusterOptions;
  readonly #servers: readonly Child<typeof SERVER>[];
  readonly #clients: Child<typeof CLIENTS>;
  #sent = 0;

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.clients = options.clients;
    const { runner, node, servers } = options;
    this.#servers = Array.from({ length: servers }, () => new Child(runner, "./server.ts"));
    this.#clients = new Child(node, "./clients.ts");
  }

  async start(rooms: number): Promise<void> {
    const ports = await Promise.all(
      this.#servers.map((server) => server.tell("start", this.#options.server)),
    );
    await this.#clients.tell("connect", { ports, each: this.#options.clients } satisfies Crowd);
    // The clients of the second server have one room for themselves; in a cluster of one, those of the first.
    const single = Math.min(1, this.#servers.length - 1);
    await this.#clients.tell("join", { server: single, rooms: ["room"] });
    if (rooms > 0) {
      const names = spreadRooms(rooms);
      for (const server of this.#servers.keys()) {
        const own = names.filter((_, n) => n % this.#servers.length === server);
        await this.#clients.tell("join", { server, rooms: own });
      }
    }
    await this.#untilThere();
    // What is compiled once is compiled now.
    const count = Math.min(2_000, Math.floor(MOST_DELIVERIES / this.clients));
    for (let n = 0; n < 3; n++) await this.send({ size: 100, count });
  }

  async send(sending: Sending, ms?: number): Promise<Arrived> {
    const { rate } = sending;
    const from = this.#sent;
    this.#sent += sending.count;
    const { count, rooms } = sending;
    await this.#clients.tell("expect", {
      from,
      count,
      ...rooms !== undefined && { rooms },
      isBinary: sending.isBinary === true,
      hasLatencies: rate !== undefined,
    });
    const arrived = this.#clients.tell("arrived", ms);
    const [sender] = this.#servers;
    if (rate === undefined) await sender!.tell("burst", { ...sending, from });
    else await sender!.tell("stream", { ...sending, from, rate });
    return await arrived;
  }

  async ask(requests: Requests): Promise<number[]> {
    return await this.#servers[0]!.tell("ask", requests);
  }

  async used(): Promise<Used> {
    return {
      servers: await Promise.all(this.#servers.map((server) => server.tell("usage"))),
      database: this.#options.daemon?.processor() ?? 0,
    };
  }

  async end(): Promise<void> {
    await Promise.all([...this.#servers, this.#clients].map((child) => child.end()));
  }

  /** Adapters that lose what is sent before they know each other lose it now. */
  async #untilThere(): Promise<void> {
    for (let attempt = 0; attempt < 100; attempt++) {
      const known = await Promise.all(this.#servers.map((server) => server.tell("servers")));
      if (known.every((count) => count >= this.#servers.length)) {
        const { lost } = await this.send({ size: 100, count: 1 }, 500);
        if (lost === 0) return;
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new NotReadyError(
      `The servers of ${this.#options.server.peer} have not reached each other within the time for that`,
    );
  }
}
