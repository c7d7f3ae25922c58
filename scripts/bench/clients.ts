/**
 * The clients of a benchmark, in a process of their own: they count what arrives, and see what is missing, comes twice
 * or out of order, and how long it took.
 *
 * @module
 */

import { obey } from "./child.ts";
import { LoadClient } from "./load_client.ts";

/** Where clients connect to. */
export interface Crowd {
  readonly ports: readonly number[];
  /** How many clients each server has. */
  readonly each: number;
}

/** What is about to be sent. */
export interface Expected {
  /** The number of the first message. */
  readonly from: number;
  readonly count: number;
  /** Whether they have bytes; text in their place is no message of the benchmark. */
  readonly isBinary: boolean;
  /** The rooms that messages go to in turn; all clients if there are none. */
  readonly rooms?: readonly string[];
}

/** What arrived of it. */
export interface Arrived {
  readonly lost: number;
  readonly duplicated: number;
  readonly disordered: number;
  /** Milliseconds from emit to arrival at clients of other servers than the first, where they are asked for. */
  readonly latencies: number[];
}

/** For how long something that does not arrive is waited for. */
const PATIENCE_MS = 30_000;

class Client {
  readonly connection: LoadClient;
  /** The server that it is connected to. */
  readonly server: number;
  readonly rooms: Set<string> = new Set();
  #isBinary = false;
  #from = 0;
  #seen = new Uint8Array(0);
  #missing = 0;
  #last = -1;
  duplicated = 0;
  disordered = 0;

  constructor(port: number, server: number, look: () => void) {
    this.server = server;
    this.connection = new LoadClient(port, {
      tick: (n, at, isBinary) => {
        if (isBinary !== this.#isBinary) return;
        const place = n - this.#from;
        // Of what was said before anything was expected.
        if (place < 0 || place >= this.#seen.length) return;
        if (this.#seen[place] !== 0) {
          if (this.#seen[place] === 2) this.duplicated++;
          return;
        }
        this.#seen[place] = 2;
        if (n < this.#last) this.disordered++;
        this.#last = n;
        // Those of the sender's own server need no database.
        if (server > 0) latencies?.push(performance.timeOrigin + performance.now() - at);
        if (--this.#missing === 0) look();
      },
    });
  }

  expect({ from, count, isBinary, rooms = [] }: Expected): void {
    this.#isBinary = isBinary;
    this.#from = from;
    this.#last = -1;
    this.duplicated = this.disordered = 0;
    this.#missing = 0;
    this.#seen = new Uint8Array(count);
    for (let n = 0; n < count; n++) {
      const isMine = rooms.length === 0 || this.rooms.has(rooms[(from + n) % rooms.length]!);
      if (isMine) this.#missing++;
      else this.#seen[n] = 1;
    }
  }

  get missing(): number {
    return this.#missing;
  }
}

const clients: Client[] = [];
let latencies: number[] | undefined;
let look: () => void = () => {};

/** What clients can be told to do. */
export const CLIENTS = {
  async connect({ ports, each }: Crowd): Promise<void> {
    for (const [server, port] of ports.entries()) {
      for (let n = 0; n < each; n++) {
        const client = new Client(port, server, () => look());
        clients.push(client);
        await client.connection.connected();
      }
    }
  },
  /** Lets all clients of a server join rooms. */
  async join({ server, rooms }: { server: number; rooms: string[] }): Promise<void> {
    for (const client of clients) {
      if (client.server !== server) continue;
      await client.connection.ask("join", rooms);
      for (const room of rooms) client.rooms.add(room);
    }
  },
  /** Says what is about to be sent. */
  expect(expected: Expected & { hasLatencies?: boolean }): void {
    for (const client of clients) client.expect(expected);
    latencies = expected.hasLatencies === true ? [] : undefined;
  },
  /** Settles when everybody has what is for them, or it does not come. */
  async arrived(ms: number = PATIENCE_MS): Promise<Arrived> {
    await everybody(ms ?? PATIENCE_MS);
    const sum = (pick: (client: Client) => number) =>
      clients.reduce((total, client) => total + pick(client), 0);
    return {
      lost: sum(({ missing }) => missing),
      duplicated: sum(({ duplicated }) => duplicated),
      disordered: sum(({ disordered }) => disordered),
      latencies: latencies ?? [],
    };
  },
};

function everybody(ms: number): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      look = () => {};
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(done, ms);
    look = () => {
      if (clients.every(({ missing }) => missing === 0)) done();
    };
    look();
  });
}

obey(CLIENTS);
