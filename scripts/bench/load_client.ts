/**
 * A client that reads no more of a packet than it must: a benchmark of servers is none of clients, all of which share
 * one process here. It speaks Engine.IO 4 and Socket.IO 5 over WebSocket.
 *
 * @see https://socket.io/docs/v4/engine-io-protocol/
 * @see https://socket.io/docs/v4/socket-io-protocol/
 *
 * @module
 */

import { WebSocket } from "ws";

/** What such a client tells. */
export interface LoadClientEvents {
  /**
   * A message of the benchmark came.
   *
   * @param n Its number.
   * @param at When it was emitted, in milliseconds since the epoch.
   * @param isBinary Whether bytes belong to it.
   */
  tick(n: number, at: number, isBinary: boolean): void;
}

const TICK = '["tick",';

/** One connection to a server. */
export class LoadClient {
  readonly #socket: WebSocket;
  readonly #connected: Promise<void>;
  readonly #acknowledged: (() => void)[] = [];
  #isEnded = false;

  constructor(port: number, events: LoadClientEvents) {
    const url = `ws://127.0.0.1:${port}/socket.io/?EIO=4&transport=websocket`;
    const socket = this.#socket = new WebSocket(url, { perMessageDeflate: false });
    let connected = () => {};
    this.#connected = new Promise((resolve, reject) => {
      connected = resolve;
      socket.on("error", reject);
    });
    socket.on("close", () => {
      if (!this.#isEnded) throw new Error("A server has hung up");
    });
    socket.on("message", (data: Uint8Array, isBinary: boolean) => {
      // The bytes of a packet, whose text has come before.
      if (isBinary) return;
      // Only its beginning is read.
      const text = ascii(data, 120);
      const start = text.indexOf(TICK);
      if (text.startsWith("4") && start >= 0) {
        const comma = text.indexOf(",", start + TICK.length);
        const n = Number(text.slice(start + TICK.length, comma));
        const at = Number.parseFloat(text.slice(comma + 1, comma + 24));
        return events.tick(n, at, text.startsWith("45"));
      }
      if (text === "2") socket.send("3");
      else if (text.startsWith("0")) socket.send("40");
      else if (text.startsWith("40")) connected();
      else if (text.startsWith("43")) this.#acknowledged.shift()?.();
    });
  }

  /** Settles when it is connected to the main namespace. */
  async connected(): Promise<void> {
    await this.#connected;
  }

  /** Emits something, and waits until the server acknowledges it. */
  ask(event: string, argument: unknown): Promise<void> {
    return new Promise((resolve) => {
      this.#acknowledged.push(resolve);
      this.#socket.send(`420${JSON.stringify([event, argument])}`);
    });
  }

  /** Hangs up. */
  end(): void {
    this.#isEnded = true;
    this.#socket.terminate();
  }
}

/** The first characters of a message. */
function ascii(data: Uint8Array, length: number): string {
  return (data as Uint8Array & { latin1Slice(start: number, end: number): string })
    .latin1Slice(0, Math.min(length, data.length));
}
