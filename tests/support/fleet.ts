/**
 * Servers that come and go while all of them talk: each with a client that writes down what it gets. A server is
 * promised what others emit from when they know each other until it is closed, and what it emitted before it was closed
 * is promised to those that stay.
 *
 * @module
 */

import type { Socket as Client } from "socket.io-client";
import { pgAdapter, type PgAdapterOptions } from "../../mod.ts";
import { connected, createClient, createNode, type Node, uniquePrefix } from "./cluster.ts";
import type { Scope } from "./test.ts";
import type { Told } from "./traffic.ts";
import { until } from "./wait.ts";

/** One server of a fleet. */
export interface Member extends Node {
  readonly uid: string;
  readonly client: Client;
  /** What its adapter told. */
  readonly told: Told[];
  /** How many messages it has emitted. */
  sent: number;
  isOpen: boolean;
  /** The numbers of what its client got, by sender. */
  readonly received: Map<string, number[]>;
  /** How many messages of each other member there were when they knew each other. */
  readonly since: Map<string, number>;
}

/** What a fleet came to, in deliveries. */
export interface FleetFindings {
  sent: number;
  received: number;
  lost: number;
  doubled: number;
  reordered: number;
  altered: number;
}

const ROOM = "room";
/** Characters. */
const SIZES = [0, 10, 300, 40, 2_000, 5, 9_000, 80, 20_000, 1];
const TICK_MS = 10;

/** Servers that come and go. */
export class Fleet {
  readonly prefix: string = uniquePrefix();
  /** All there ever were. */
  readonly members: Member[] = [];
  /** Contents that were not what was sent. */
  readonly #altered: string[] = [];
  readonly #scope: Scope;
  readonly #uri: string;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(scope: Scope, uri: string) {
    this.#scope = scope;
    this.#uri = uri;
    scope.after(() => this.pause());
  }

  /** Those that are open. */
  get open(): Member[] {
    return this.members.filter(({ isOpen }) => isOpen);
  }

  /**
   * Starts a server, which talks once it and all others know each other.
   *
   * @param prepare Sets the server up before others know it.
   */
  async start(
    options: PgAdapterOptions = {},
    prepare: (node: Node) => void = () => {},
  ): Promise<Member> {
    const adapter = pgAdapter(this.#uri, { prefix: this.prefix, ...options });
    const node = await createNode(adapter);
    prepare(node);
    node.io.on("connection", (socket) => void socket.join(ROOM));
    const client = createClient(node.port);
    const member: Member = {
      ...node,
      uid: adapter.stats().uid,
      client,
      told: [],
      sent: 0,
      isOpen: true,
      received: new Map(),
      since: new Map(),
    };
    for (
      const event of ["error", "gap", "disconnect", "reconnect", "node-up", "node-down"] as const
    ) {
      adapter.on(event, (detail?: unknown) => {
        member.told.push({ at: performance.now(), event, detail });
      });
    }
    client.on("n", (sender: string, n: number, content: string) => {
      member.received.set(sender, [...member.received.get(sender) ?? [], n]);
      if (content !== contentOf(n)) this.#altered.push(`${n} of ${sender} at ${member.uid}`);
    });
    this.#scope.after(() => this.close(member));
    await connected(client);
    await adapter.ready();
    const others = this.open;
    await until("all know each other", async () => {
      const counts = await Promise.all(
        [member, ...others].map(({ io }) => io.of("/").adapter.serverCount()),
      );
      return counts.every((count) => count === others.length + 1);
    });
    for (const other of this.members) member.since.set(other.uid, other.sent);
    this.members.push(member);
    return member;
  }

  /** Closes a server; settles when its adapter is closed. */
  async close(member: Member): Promise<void> {
    if (!member.isOpen) return;
    member.isOpen = false;
    await member.close();
    member.client.disconnect();
  }

  /** All that are open talk, each so many times a second. */
  run(rate: number): void {
    this.pause();
    const start = performance.now();
    let done = 0;
    this.#timer = setInterval(() => {
      const due = Math.floor((performance.now() - start) * rate / 1_000);
      for (; done < due; done++) this.emit();
    }, TICK_MS);
  }

  /** Talks no more; `run()` goes on. */
  pause(): void {
    clearInterval(this.#timer);
  }

  /** One message of each that is open, now. */
  emit(): void {
    for (const member of this.open) {
      const n = member.sent++;
      const to = n % 3 === 1 ? member.io.to(ROOM) : member.io;
      to.emit("n", member.uid, n, contentOf(n));
    }
  }

  /** Waits until at least so many more messages were sent, all together. */
  async more(count: number): Promise<void> {
    const sum = () => this.members.reduce((total, { sent }) => total + sent, 0);
    const goal = sum() + count;
    await until(`${count} more messages are sent`, () => sum() >= goal, 30_000);
  }

  /**
   * Stops talking, and waits for what is still on its way.
   *
   * @returns What there was, and what was wrong with it.
   */
  async stop(ms = 10_000): Promise<FleetFindings> {
    this.pause();
    // What comes twice comes before what is sent now.
    this.emit();
    const isComplete = () =>
      this.open.every(({ received }) =>
        this.open.every(({ uid, sent }) => received.get(uid)?.at(-1) === sent - 1)
      );
    // What does not come is for the findings to tell.
    await until("all has arrived", isComplete, ms).catch(() => {});
    return this.#examine();
  }

  #examine(): FleetFindings {
    const found = {
      sent: this.members.reduce((sum, { sent }) => sum + sent, 0),
      received: 0,
      lost: 0,
      doubled: 0,
      reordered: 0,
      altered: this.#altered.length,
    };
    for (const receiver of this.members) {
      for (const sender of this.members) {
        const numbers = receiver.received.get(sender.uid) ?? [];
        const distinct = new Set(numbers);
        found.received += numbers.length;
        found.doubled += numbers.length - distinct.size;
        found.reordered += numbers.filter((n, i) => i > 0 && n < numbers[i - 1]!).length;
        const from = receiver.since.get(sender.uid) ?? 0;
        // Who is closed is promised nothing from then on, but nothing may be missing in what it got.
        const until = receiver.isOpen ? sender.sent : (numbers.at(-1) ?? -1) + 1;
        for (let n = from; n < until; n++) if (!distinct.has(n)) found.lost++;
      }
    }
    return found;
  }
}

function contentOf(n: number): string {
  return `${n}é`.repeat(SIZES[n % SIZES.length]! / 2);
}
