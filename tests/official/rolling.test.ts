/** A cluster that is moved over, server by server, while all of them talk: and back. */
import assert from "node:assert/strict";
import type { Socket as Client } from "socket.io-client";
import {
  connected,
  createClient,
  createNode,
  type Node,
  uniquePrefix,
} from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { adapterOf, type Kind } from "../support/official.ts";
import { type Scope, test } from "../support/test.ts";
import { until } from "../support/wait.ts";

/** Milliseconds between two messages of a server. */
const EVERY_MS = 4;

/** A server that talks, with a client that listens to all. */
interface Talker {
  readonly name: string;
  readonly kind: Kind;
  readonly node: Node;
  readonly client: Client;
  /** What the client got of each talker, as often as it got it. */
  readonly received: Map<string, Map<number, number>>;
  /** How many messages each talker had sent before the client was there. */
  readonly before: ReadonlyMap<string, number>;
  readonly errors: Error[];
  sent: number;
  timer: ReturnType<typeof setInterval> | undefined;
}

/** Three servers, of which each may be replaced by another one. */
class Fleet {
  readonly #scope: Scope;
  readonly #uri: string;
  readonly #prefix: string;
  readonly #talkers: Talker[] = [];
  readonly #all: Talker[] = [];

  constructor(scope: Scope, uri: string, prefix: string) {
    this.#scope = scope;
    this.#uri = uri;
    this.#prefix = prefix;
  }

  /** Starts a server in a place. */
  async start(place: number, kind: Kind): Promise<void> {
    const adapter = adapterOf(kind, this.#uri, this.#prefix);
    const errors: Error[] = [];
    adapter.on("error", (error: Error) => errors.push(error));
    const node = await createNode(adapter);
    this.#scope.after(() => node.close());
    node.io.on("connection", (socket) => void socket.join("room"));
    await adapter.ready();
    if (kind === "theirs") {
      // It does not say when it listens: once it hears of the others it does.
      await until(
        "it hears the others",
        async () => await node.io.of("/").adapter.serverCount() === this.#others(place).length + 1,
      );
    }
    const client = createClient(node.port);
    this.#scope.after(() => client.disconnect());
    const received = new Map<string, Map<number, number>>();
    client.on("n", (name: string, n: number) => {
      const numbers = received.get(name) ?? new Map<number, number>();
      received.set(name, numbers.set(n, (numbers.get(n) ?? 0) + 1));
    });
    await connected(client);
    await until(
      "it is in the room",
      () => node.io.sockets.sockets.get(client.id!)?.rooms.has("room") ?? false,
    );
    const talker: Talker = {
      name: `${place} ${kind} ${this.#all.length}`,
      kind,
      node,
      client,
      received,
      before: new Map(this.#talkers.filter(Boolean).map(({ name, sent }) => [name, sent])),
      errors,
      sent: 0,
      timer: undefined,
    };
    this.#talkers[place] = talker;
    this.#all.push(talker);
    talker.timer = setInterval(() => this.#talk(talker), EVERY_MS);
    this.#scope.after(() => clearInterval(talker.timer));
  }

  /** Replaces the server in a place by one of another kind. */
  async replace(place: number, kind: Kind): Promise<void> {
    const talker = this.#talkers[place]!;
    clearInterval(talker.timer);
    await this.#complete([talker]);
    talker.client.disconnect();
    await talker.node.close();
    await this.start(place, kind);
    // Some traffic of the new cluster.
    const counts = this.#talkers.map(({ sent }) => sent);
    await until(
      "all have talked",
      () => this.#talkers.every(({ sent }, i) => sent > counts[i]! + 20),
    );
  }

  /** Stops talking, and checks what everybody got. */
  async finish(): Promise<void> {
    for (const { timer } of this.#talkers) clearInterval(timer);
    await this.#complete(this.#talkers);
    // What comes twice comes before what is sent now.
    for (const talker of this.#talkers) this.#talk(talker);
    await this.#complete(this.#talkers);
    for (const { name, received, errors } of this.#all) {
      for (const [sender, numbers] of received) {
        for (const [n, times] of numbers) {
          assert.equal(times, 1, `client of ${name} got message ${n} of ${sender} ${times} times`);
        }
      }
      assert.deepEqual(errors, [], name);
    }
  }

  /** Waits until these clients have all that was sent so far since they were there. */
  async #complete(talkers: readonly Talker[]): Promise<void> {
    const goals = this.#all.map(({ name, sent }) => ({ name, sent }));
    for (const { name, received, before } of talkers) {
      const missing = () =>
        goals.flatMap(({ name: sender, sent }) => {
          // What is before its time is nothing to it.
          const isEarlier = !before.has(sender) && !this.#isAfter(sender, name);
          const numbers = received.get(sender);
          const list: string[] = [];
          for (let n = isEarlier ? sent : before.get(sender) ?? 0; n < sent; n++) {
            if (!numbers?.has(n)) list.push(`${n} of ${sender}`);
          }
          return list;
        });
      try {
        await until("it has all", () => missing().length === 0);
      } catch (cause) {
        const list = missing();
        throw new Error(
          `client of ${name} misses ${list.length}: ${list.slice(0, 5).join(", ")}`,
          { cause },
        );
      }
    }
  }

  /** Whether a talker started after another one, or is that one. */
  #isAfter(name: string, other: string): boolean {
    const names = this.#all.map((talker) => talker.name);
    return names.indexOf(name) >= names.indexOf(other);
  }

  #others(place: number): Talker[] {
    return this.#talkers.filter((talker, i) => talker !== undefined && i !== place);
  }

  #talk(talker: Talker): void {
    const n = talker.sent++;
    const content = n % 25 === 24
      ? "x".repeat(20_000)
      : n % 10 === 9
      ? Buffer.alloc(50, n)
      : "text";
    const { io } = talker.node;
    (n % 3 === 0 ? io.to("room") : io).emit("n", talker.name, n, content);
  }
}

test(
  "theirs, both wires, ours, and back, one server at a time: nothing is lost or doubled",
  async (t) => {
    const fleet = new Fleet(t, await databaseUri(), uniquePrefix());
    for (const place of [0, 1, 2]) await fleet.start(place, "theirs");
    for (const kind of ["both", "ours", "both", "theirs"] as const) {
      for (const place of [0, 1, 2]) await fleet.replace(place, kind);
    }
    await fleet.finish();
  },
  { deadline: 90_000 },
);
