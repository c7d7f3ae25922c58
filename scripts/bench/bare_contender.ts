/**
 * Three processes with nothing but postgres.js: one notifies, two listen.
 *
 * @module
 */

import type { BARE } from "./bare.ts";
import { Child, type Runner } from "./child.ts";
import type { Arrived } from "./clients.ts";
import type { Contender, Sending, Used } from "./cluster.ts";
import type { Daemon } from "./daemons.ts";

/** The floor: what NOTIFY does without an adapter. */
export class BareContender implements Contender {
  readonly clients = 1;
  readonly #daemon: Daemon;
  readonly #sender: Child<typeof BARE>;
  readonly #receivers: readonly Child<typeof BARE>[];
  #sent = 0;

  constructor(runner: Runner, daemon: Daemon) {
    this.#daemon = daemon;
    const [sender, ...receivers] = [0, 1, 2].map(() => new Child<typeof BARE>(runner, "./bare.ts"));
    this.#sender = sender!;
    this.#receivers = receivers;
  }

  async start(): Promise<void> {
    const { uri } = this.#daemon;
    await this.#sender.tell("start", { uri, isListening: false });
    for (const each of this.#receivers) await each.tell("start", { uri, isListening: true });
    await this.send({ size: 100, count: 2_000 });
  }

  async send({ size, count, rate }: Sending): Promise<Arrived> {
    const from = this.#sent;
    this.#sent += count;
    const arrived = this.#receivers.map((each) => each.tell("arrived", this.#sent));
    if (rate === undefined) await this.#sender.tell("burst", { from, count, size });
    else await this.#sender.tell("stream", { from, count, size, rate });
    const latencies = (await Promise.all(arrived)).flat();
    return { lost: 0, duplicated: 0, disordered: 0, latencies };
  }

  ask(): Promise<number[]> {
    return Promise.reject(new Error("There is nobody to ask without an adapter"));
  }

  async used(): Promise<Used> {
    const processes = [this.#sender, ...this.#receivers];
    return {
      servers: await Promise.all(processes.map((each) => each.tell("usage"))),
      database: this.#daemon.processor(),
    };
  }

  async end(): Promise<void> {
    await Promise.all([this.#sender, ...this.#receivers].map((each) => each.end()));
  }
}
