/**
 * The bus of a process that moves a cluster of `@socket.io/postgres-adapter` over: a whole member of our own wire, which
 * also speaks theirs. What it says on theirs is marked, and passed over there by all who hear it on our own.
 */
import { Bus, type Route } from "../bus/bus.ts";
import type { Logging } from "../bus/publisher.ts";
import type { ConnectionSettings } from "../bus/settings.ts";
import type { PgAdapterStats } from "../bus/stats.ts";
import type { Events } from "../events.ts";
import type { ResolvedOptions } from "../options.ts";
import type { Message } from "../wire/message.ts";
import type { OfficialOptions } from "./options.ts";
import { isOfficial } from "./servers.ts";
import { OfficialWire } from "./wire.ts";

/** How long a request waits for a connection that is being replaced: a blip is over by then. */
const RECONNECT_PATIENCE_MS = 250;

/** The bus of a process that speaks both wires. */
export class TransitionalBus extends Bus {
  readonly #wire: OfficialWire;
  readonly #routes: Map<string, Route> = new Map();
  #ends: Promise<void> | undefined;

  constructor(
    options: ResolvedOptions,
    official: OfficialOptions,
    listen: ConnectionSettings,
    publish: ConnectionSettings,
    events: Events,
  ) {
    super(options, listen, publish, events);
    const limits = {
      connect: options.connectTimeout,
      statement: options.statementTimeout,
      isOwn: true,
    };
    this.#wire = new OfficialWire(this.uid, listen, limits, options, official, {
      receive: (key, message) => this.receive(key, message),
      gone: (key, nsp) => this.requests.release(key, nsp),
      eventOf: (message) => this.#routes.get(message.nsp ?? "/")?.eventOf(message),
      error: (error) => this.report(error),
    });
  }

  /** Starts connecting, both wires. */
  override start(): void {
    super.start();
    if (this.#ends === undefined) this.#wire.start();
  }

  /** Settles when both wires work. */
  override ready(): Promise<void> {
    const ready = Promise.all([super.ready(), this.#wire.ready()]).then(() => {});
    // Who does not await it hears of the failure through `error`; it must not end the process.
    ready.catch(() => {});
    return ready;
  }

  /** Takes a namespace in, on both wires. */
  override async attach(nsp: string, route: Route): Promise<void> {
    if (this.#ends !== undefined) return;
    this.#routes.set(nsp, route);
    await Promise.all([super.attach(nsp, route), this.#wire.attach(nsp)]);
  }

  /** Lets a namespace go, on both wires. */
  override async detach(nsp: string, route: Route): Promise<void> {
    if (this.#routes.get(nsp) === route) {
      this.#routes.delete(nsp);
      this.#wire.detach(nsp);
    }
    await super.detach(nsp, route);
  }

  /** Who has a namespace, on both wires. */
  override having(nsp: string): string[] {
    return [...super.having(nsp), ...this.#wire.having(nsp)];
  }

  /** Whether the others are known and can be asked, on both wires. */
  override acquainted(): Promise<void> | undefined {
    const [ours, theirs] = [super.acquainted(), this.#wire.acquainted(RECONNECT_PATIENCE_MS)];
    return ours === undefined ? theirs : Promise.all([ours, theirs]).then(() => {});
  }

  /** Sends a message on both wires, but for what only this process is to hear. */
  override publish(channel: string, message: Message, logging?: Logging): boolean {
    const isSent = super.publish(channel, message, logging);
    if (isSent && channel !== this.privateChannel) this.#wire.send(message);
    return isSent;
  }

  /** Sends an answer on the wire of who asked. */
  override answer(uid: string, message: Message): void {
    if (!isOfficial(uid)) return super.answer(uid, message);
    // Theirs knows no answer that says why there is none.
    if (typeof message.value !== "string") this.#wire.send(message);
  }

  /** Counts of both wires. */
  override stats(): PgAdapterStats {
    return { ...super.stats(), official: this.#wire.stats };
  }

  /** Flushes, says goodbye and closes the connections of both wires. */
  override close(): Promise<void> {
    return this.#ends ??= Promise.all([super.close(), this.#wire.close()]).then(() => {});
  }
}
