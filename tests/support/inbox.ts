import type { Socket } from "socket.io-client";
import { HAS_RECOVERY, withoutOffset } from "./offset.ts";
import { signal, within } from "./wait.ts";

/** The event that proves that whatever was sent before it has arrived. */
const MARKER = "marker";

/** Everything that a client received, in the order of arrival. */
export class Inbox {
  readonly #messages: { event: string; args: unknown[] }[] = [];
  readonly #counts = new Map<string, number>();
  readonly #markers = new Map<number, Set<number>>();
  readonly #client: Socket;
  #arrived = signal();

  constructor(client: Socket) {
    this.#client = client;
    client.on("disconnect", () => this.#arrived.resolve());
    client.onAny((event: string, ...args: unknown[]) => {
      if (event === MARKER) {
        const [id, server] = args as [number, number];
        this.#markers.set(id, (this.#markers.get(id) ?? new Set()).add(server));
      } else {
        this.#messages.push({ event, args: HAS_RECOVERY ? withoutOffset(args) : args });
        this.#counts.set(event, (this.#counts.get(event) ?? 0) + 1);
      }
      this.#arrived.resolve();
      this.#arrived = signal();
    });
  }

  /** The arguments of each event of this name so far. */
  of(event: string): unknown[][] {
    return this.#messages.filter((message) => message.event === event).map(({ args }) => args);
  }

  /** The names of all events so far. */
  get events(): string[] {
    return this.#messages.map(({ event }) => event);
  }

  /** Waits until so many events of this name are there, and gives the arguments of each. */
  async count(event: string, count: number, ms = 20_000): Promise<unknown[][]> {
    await this.#until(
      () => (this.#counts.get(event) ?? 0) >= count,
      () => `receiving ${count} times "${event}" (${this.#counts.get(event) ?? 0} so far)`,
      ms,
    );
    return this.of(event);
  }

  /** Waits for the markers that these servers sent under this id, or for the end of the connection. */
  async marked(id: number, servers: readonly number[], ms: number): Promise<void> {
    const missing = () => servers.filter((server) => !this.#markers.get(id)?.has(server));
    await this.#until(
      () => missing().length === 0 || !this.#client.connected,
      () => `receiving the marker of server ${missing().join(" and ")}`,
      ms,
    );
    this.#markers.delete(id);
  }

  async #until(condition: () => boolean, what: () => string, ms: number): Promise<void> {
    const end = performance.now() + ms;
    while (!condition()) {
      await within(Math.max(1, end - performance.now()), "it", this.#arrived.promise).catch(() => {
        throw new Error(`${what()} took longer than ${ms} ms`);
      });
    }
  }
}

/** Sends a marker: see {@linkcode Inbox.marked}. */
export function mark(
  emitter: { emit(event: string, ...args: unknown[]): unknown },
  id: number,
  server: number,
): void {
  emitter.emit(MARKER, id, server);
}
