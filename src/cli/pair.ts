/**
 * Two servers in this process, as far as the database is concerned: their buses, without Socket.IO and clients.
 */
import { Bus } from "../bus/bus.ts";
import type { ConnectionSettings } from "../bus/settings.ts";
import type { PgAdapterError } from "../errors.ts";
import { Events } from "../events.ts";
import { type PgAdapterOptions, resolveOptions } from "../options.ts";
import { namespaceChannel } from "../wire/channel.ts";
import { type Message, MessageType } from "../wire/message.ts";

const NSP = "/";

/** How many messages are under way from one to the other, at most: as many as fill a statement. */
const MAX_UNDER_WAY = 1_000;

/** How many bytes of them. */
const MAX_BYTES_UNDER_WAY = 1_000_000;

/** How long what is under way may take to arrive, in milliseconds. */
const DRAIN_MS = 5_000;

/** How often that is looked at. */
const LOOK_MS = 10;

/** What they did. */
export interface Exchange {
  /** How many messages arrived, at either of them. */
  readonly messages: number;
  readonly ms: number;
}

/** What one of them sends to the other. */
interface Direction {
  readonly bus: Bus;
  sent: number;
  received: number;
}

/** Two buses that send to each other. */
export class Pair {
  readonly #channel: string;
  readonly #directions: readonly [Direction, Direction];
  #message: Message | undefined;
  #window = 0;
  #fault: PgAdapterError | undefined;

  /** @param options Those of both, with a prefix that nobody else has. */
  constructor(settings: ConnectionSettings, options: PgAdapterOptions & { prefix: string }) {
    this.#channel = namespaceChannel(options.prefix, NSP);
    const make = (): Direction => {
      const events = new Events();
      events.on("error", (error) => this.#fault ??= error);
      const resolved = resolveOptions({ subscriptionMode: "static", ...options });
      return { bus: new Bus(resolved, settings, settings, events), sent: 0, received: 0 };
    };
    this.#directions = [make(), make()];
  }

  /**
   * Connects both, and waits until they know each other.
   *
   * @throws PgAdapterError when one of them cannot connect.
   */
  async open(): Promise<void> {
    const [first, second] = this.#directions;
    await Promise.all([this.#attach(first.bus, second), this.#attach(second.bus, first)]);
  }

  /**
   * Sends as much as arrives, both ways, for a while.
   *
   * @param bytes How many bytes each packet has.
   * @param ms For how long.
   * @param pause Waits for so many milliseconds, or less when it is to end.
   * @throws PgAdapterError when one of them reports an error.
   */
  async exchange(
    bytes: number,
    ms: number,
    pause: (ms: number) => Promise<void>,
  ): Promise<Exchange> {
    this.#window = Math.max(2, Math.min(MAX_UNDER_WAY, Math.floor(MAX_BYTES_UNDER_WAY / bytes)));
    this.#message = { type: MessageType.BROADCAST, nsp: NSP, parts: [packet(bytes)] };
    for (const direction of this.#directions) this.#fill(direction);
    // Until the first ones have arrived, connections and code are not warm.
    await pause(Math.min(ms / 5, 500));
    const before = this.#received;
    const start = performance.now();
    await pause(ms);
    // Nothing at all would say nothing.
    await this.#until(() => this.#received > before);
    const exchanged = { messages: this.#received - before, ms: performance.now() - start };
    this.#message = undefined;
    await this.#drain();
    if (this.#fault !== undefined) throw this.#fault;
    return exchanged;
  }

  /** Closes both. Never rejects. */
  async close(): Promise<void> {
    this.#message = undefined;
    await Promise.all(this.#directions.map(({ bus }) => bus.close()));
  }

  get #received(): number {
    return this.#directions[0].received + this.#directions[1].received;
  }

  /** What a bus receives comes from the other one. */
  async #attach(bus: Bus, from: Direction): Promise<void> {
    // It never rejects; what goes wrong rejects the other one.
    void bus.attach(NSP, {
      receive: () => {
        from.received++;
        if (from.sent - from.received <= this.#window / 2) this.#fill(from);
      },
      waiting: () => [],
      eventOf: () => [],
    });
    await bus.ready();
  }

  #fill(direction: Direction): void {
    while (this.#message !== undefined && direction.sent - direction.received < this.#window) {
      if (!direction.bus.publish(this.#channel, this.#message)) return;
      direction.sent++;
    }
  }

  /** What is left of one size is not counted with the next one. */
  async #drain(): Promise<void> {
    await this.#until(() => this.#directions.every(({ sent, received }) => sent <= received));
  }

  /** Waits, for as long as something may take to arrive. */
  async #until(condition: () => boolean): Promise<void> {
    const end = performance.now() + DRAIN_MS;
    while (!condition() && this.#fault === undefined && performance.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }
}

/** A packet of an event, as Socket.IO's parser encodes it, of so many bytes. */
function packet(bytes: number): string {
  const empty = '2["bench",""]';
  return `${empty.slice(0, -2)}${"x".repeat(Math.max(0, bytes - empty.length))}"]`;
}
