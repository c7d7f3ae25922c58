/**
 * The clients of a benchmark, in a process of their own: they count what arrives, and see whether it is in order.
 *
 * @module
 */

import process from "node:process";
import { io, type Socket } from "socket.io-client";
import { obey } from "./child.ts";

/** Where clients connect to. */
export interface Crowd {
  readonly ports: readonly number[];
  /** How many clients each server has. */
  readonly each: number;
}

/** For how long something that does not arrive is waited for. */
const PATIENCE_MS = 60_000;

const sockets: Socket[] = [];
/** How many messages each client has. */
const counts: number[] = [];
let wrong = 0;
let look: () => void = () => {};

/** What clients can be told to do. */
export const CLIENTS = {
  async connect({ ports, each }: Crowd): Promise<void> {
    for (const port of ports) {
      for (let n = 0; n < each; n++) {
        const socket = io(`http://127.0.0.1:${port}`, {
          transports: ["websocket"],
          forceNew: true,
        });
        const at = sockets.push(socket) - 1;
        counts[at] = 0;
        socket.on("tick", (number: number) => {
          if (number !== counts[at]) wrong++;
          counts[at] = number + 1;
          look();
        });
        await new Promise<void>((resolve) => socket.once("connect", () => resolve()));
      }
    }
  },
  /** Which message is the next that nobody has. */
  next: () => Math.max(...counts),
  /** Takes it that all have everything so far: servers that have just started may have missed something. */
  align(): void {
    counts.fill(Math.max(...counts));
    wrong = 0;
  },
  /** Settles when everybody has so many messages. */
  until(count: number): Promise<void> {
    return everybody(count);
  },
  /** Whether everybody has so many messages soon. */
  soon: (count: number) => everybody(count, 500).then(() => true, () => false),
  /** Has messages sent, each when everybody has the one before; the milliseconds of each. */
  async alone({ count, size }: { count: number; size: number }): Promise<number[]> {
    const times: number[] = [];
    for (let n = 0; n < count; n++) {
      const start = performance.now();
      sockets[0]!.emit("say", size);
      await everybody(CLIENTS.next() + 1);
      times.push(performance.now() - start);
    }
    return times;
  },
  /** How many messages were missing or not in order. */
  wrong: () => wrong,
  /** Microseconds of processor time so far. */
  processor(): number {
    const { user, system } = process.cpuUsage();
    return user + system;
  },
};

function everybody(count: number, ms = PATIENCE_MS): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      look = () => {};
      reject(new Error(`Cannot get ${count} messages in ${ms} ms: there are ${counts.join(", ")}`));
    }, ms);
    look = () => {
      if (counts.some((each) => each < count)) return;
      look = () => {};
      clearTimeout(timer);
      resolve();
    };
    look();
  });
}

obey(CLIENTS);
