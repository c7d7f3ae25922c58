/** Rooms that come and go while others emit to them: whoever is known to be in a room gets what is emitted to it. */
import assert from "node:assert/strict";
import type { Socket } from "socket.io";
import type { PgAdapterOptions } from "../../mod.ts";
import { HAS_RECOVERY } from "../support/offset.ts";
import { type Cluster, createCluster } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { FaultProxy } from "../support/fault_proxy.ts";
import { record } from "../support/figures.ts";
import { type Scope, test } from "../support/test.ts";
import { until } from "../support/wait.ts";

const LONG = { deadline: 90_000 };

/** A pseudo-random sequence: the same each time. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor(state / 2 ** 31 * below);
  };
}

/**
 * Three servers with numbered messages: each server counts what it emits, to whatever room. Clients must get the numbers
 * of a server in ascending order, each once, and those that were promised to them.
 */
class Rooms {
  readonly cluster: Cluster;
  readonly counts: [number, number, number] = [0, 0, 0];
  /** By client: what it must get, as `server:number`. */
  readonly promised: [Set<string>, Set<string>, Set<string>] = [new Set(), new Set(), new Set()];

  constructor(cluster: Cluster) {
    this.cluster = cluster;
  }

  static async start(t: Scope, adapter: PgAdapterOptions = {}): Promise<Rooms> {
    return new Rooms(
      await createCluster(t, { adapter: { subscriptionMode: "dynamic", ...adapter } }),
    );
  }

  /** A server emits to a room, which these clients are in for certain. */
  emit(server: number, room: string | undefined, clients: readonly number[]): void {
    const n = this.counts[server]!++;
    for (const client of clients) this.promised[client]!.add(`${server}:${n}`);
    const nsp = this.cluster.nsp(server);
    (room === undefined ? nsp : nsp.to(room)).emit("n", server, n);
  }

  /** Requires that all promises were kept. */
  async check(): Promise<{ received: number; promised: number }> {
    const received = await this.cluster.received("n");
    let [total, promised] = [0, 0];
    received.forEach((messages, client) => {
      const last = [-1, -1, -1];
      const seen = new Set<string>();
      for (const [server, n] of messages as [number, number][]) {
        assert.ok(n > last[server]!, `${n} of ${server} at ${client} after ${last[server]}`);
        last[server] = n;
        seen.add(`${server}:${n}`);
      }
      const missing = [...this.promised[client]!].filter((each) => !seen.has(each));
      assert.deepEqual(missing, [], `client ${client}`);
      total += messages.length;
      promised += this.promised[client]!.size;
    });
    return { received: total, promised };
  }
}

test(
  "what is emitted to a room after its emitter was told that somebody joined arrives",
  async (t) => {
    const rooms = await Rooms.start(t);
    const { cluster } = rooms;
    const pick = random(1);
    for (const server of [0, 1, 2]) {
      // Told that a client has joined a room, or left it.
      cluster.io(server).on(
        "joined",
        (room: string, client: number, answer: (n: number) => void) => {
          rooms.emit(server, room, [client]);
          answer(server);
          // Who was answered by all may have left by now.
          rooms.emit(server, room, []);
        },
      );
      cluster.io(server).on("left", (room: string, client: number, answer: (n: number) => void) => {
        rooms.emit(server, room, []);
        answer(client);
      });
    }
    // Somebody emits to these rooms all the time, whoever is in them.
    const talking = setInterval(() => {
      for (const server of [0, 1, 2]) rooms.emit(server, `room ${pick(6)}`, []);
      for (const server of [0, 1, 2]) rooms.emit(server, undefined, [0, 1, 2]);
    }, 5);
    t.after(() => clearInterval(talking));
    const wander = async (client: number, mine: readonly string[]) => {
      const socket: Socket = cluster.socket(client);
      for (let round = 0; round < 60; round++) {
        const room = mine[round % mine.length]!;
        const joined = socket.join(room);
        // Every other time it does not wait until the room is listened to.
        if (round % 2 === 0) await joined;
        await cluster.io(client).serverSideEmitWithAck("joined", room, client);
        if (round % 3 === 0) await joined;
        void socket.leave(room);
        await cluster.io(client).serverSideEmitWithAck("left", room, client);
      }
    };
    // Rooms of its own and rooms that others come to and leave, too.
    await Promise.all(
      [0, 1, 2].map((client) =>
        wander(client, ["room 0", `room ${client + 1}`, "room 5", `only ${client}`])
      ),
    );
    clearInterval(talking);
    const { received, promised } = await rooms.check();
    record(41, {
      test: "told of joins",
      emitted: rooms.counts.reduce((a, b) => a + b),
      received,
      promised,
    });
    assert.ok(promised > 3 * 60 * 3);
  },
  LONG,
);

test(
  "a socket that another server makes join a room gets what that server emits to it right after",
  async (t) => {
    const rooms = await Rooms.start(t);
    const { cluster } = rooms;
    const { id } = cluster.socket(1);
    const since = performance.now();
    for (let i = 0; i < 300; i++) {
      rooms.emit(0, undefined, [0, 1, 2]);
      cluster.io(0).in(id).socketsJoin(`r${i}`);
      rooms.emit(0, `r${i}`, [1]);
      rooms.emit(0, undefined, [0, 1, 2]);
      rooms.emit(0, `r${i}`, [1]);
      // Some in bursts, some one by one.
      if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
      if (i % 50 === 0) await cluster.settled();
    }
    const { received, promised } = await rooms.check();
    const took = performance.now() - since;
    const { repaired } = cluster.adapter(1).stats().received;
    record(41, { test: "socketsJoin", rooms: 300, received, promised, repaired, took });
    assert.equal(received, promised);
    // Each waits for one answer of the emitter, and for nothing else.
    assert.ok(took < 15_000, `${took} ms`);
  },
  LONG,
);

test("crossing the bound of room channels up and down loses nothing", async (t) => {
  const rooms = await Rooms.start(t, { maxRoomChannels: 5 });
  const { cluster } = rooms;
  const socket = cluster.socket(1);
  for (const server of [0, 2]) {
    cluster.io(server).on("joined", (room: string, answer: (n: number) => void) => {
      rooms.emit(server, room, [1]);
      answer(server);
      rooms.emit(server, room, []);
    });
  }
  await socket.join("always");
  await cluster.socket(2).join("always");
  const talking = setInterval(() => {
    rooms.emit(0, "always", [1, 2]);
    rooms.emit(2, "always", [1, 2]);
    rooms.emit(1, "always", [1, 2]);
    rooms.emit(0, undefined, [0, 1, 2]);
  }, 3);
  t.after(() => clearInterval(talking));
  let [most, least] = [0, Infinity];
  for (let round = 0; round < 12; round++) {
    for (let i = 0; i < 12; i++) {
      const room = `round ${round % 3} room ${i}`;
      const joined = socket.join(room);
      if (i % 3 === round % 3) await joined;
      await cluster.io(1).serverSideEmitWithAck("joined", room);
    }
    most = Math.max(most, cluster.adapter(1).stats().channels);
    for (let i = 0; i < 12; i++) void socket.leave(`round ${round % 3} room ${i}`);
    // Every other time it is over the bound again before it was really below.
    if (round % 2 === 0) {
      await until("rooms have channels again", () => cluster.adapter(1).stats().channels <= 5);
      const { frames } = cluster.adapter(1).stats().received;
      await until("more has come", () => cluster.adapter(1).stats().received.frames > frames + 20);
    }
    least = Math.min(least, cluster.adapter(1).stats().channels);
  }
  clearInterval(talking);
  const { received, promised } = await rooms.check();
  record(41, { test: "maxRoomChannels 5", rounds: 12, received, promised, most, least });
  assert.ok(most <= 3 + 5 && least < most, `${least} to ${most} channels`);
}, { ...LONG, skip: HAS_RECOVERY && "rooms have no channels with recovery" });

/** Emits numbers to a room, and something else to everybody in between, as fast as others can follow. */
function talk(t: Scope, cluster: Cluster, room: string) {
  let n = 0;
  const timer = setInterval(() => {
    for (let i = 0; i < 5; i++) cluster.io(0).to(room).emit("n", n++);
    cluster.io(0).emit("else");
  }, 2);
  t.after(() => clearInterval(timer));
  return {
    get count(): number {
      return n;
    },
    stop: () => clearInterval(timer),
  };
}

/** Whoever is in a room gets all that comes after the first thing it gets. */
function isWhole(numbers: readonly unknown[], count: number): void {
  const from = Number(numbers[0]);
  assert.deepEqual(numbers, Array.from({ length: count - from }, (_, i) => from + i));
}

test("who joins a room does not get what was said in it long before", async (t) => {
  const cluster = await createCluster(t, { size: 2, adapter: { heartbeatInterval: 5_000 } });
  await cluster.settled();
  for (let n = 0; n < 5; n++) cluster.io(0).to("room").emit("n", n);
  const since = performance.now();
  await until("that is a while ago", () => performance.now() - since > 500);
  await cluster.socket(1).join("room");
  cluster.io(0).to("room").emit("n", "now");
  assert.deepEqual((await cluster.received("n"))[1], [["now"]]);
});

for (const latency of [0, 30]) {
  test(
    `a room that is joined past the bound misses nothing of what waits already, ${latency} ms away`,
    async (t) => {
      const proxy = await FaultProxy.start(await databaseUri());
      t.after(() => proxy.close());
      const cluster = await createCluster(t, {
        size: 2,
        adapter: (server) => server === 0 ? { publish: proxy.uri } : { maxRoomChannels: 1 },
      });
      if (latency > 0) proxy.slow({ latency });
      const talker = talk(t, cluster, "r2");
      await until("there is a queue", () => talker.count > 500);
      await cluster.socket(1).join("r1");
      await cluster.socket(1).join("r2");
      const joined = talker.count;
      await until("it goes on", () => talker.count > joined + 1_000);
      talker.stop();
      isWhole((await cluster.received("n"))[1]!.flat(), talker.count);
    },
    LONG,
  );
}

test(
  "a room that is joined while the listening connection is made anew misses nothing",
  async (t) => {
    const uri = await databaseUri();
    const listen = await FaultProxy.start(uri);
    t.after(() => listen.close());
    const cluster = await createCluster(t, {
      size: 2,
      adapter: (server) => server === 1 ? { listen: listen.uri, publish: uri } : {},
    });
    // Answers overtake it by far.
    listen.slow({ latency: 200 });
    const passed = listen.passed.up;
    listen.cut("rst");
    await until("it is lost", () => cluster.adapter(1).stats().phase === "disconnected");
    const talker = talk(t, cluster, "late");
    // Whatever of it: LISTEN of all that was wanted before is on its way then, or has been.
    await until("it listens again", () => listen.passed.up > passed + 1_200);
    const socket = cluster.socket(1);
    const joined = talker.count;
    socket.join("late");
    await until("it is back", () => cluster.adapter(1).stats().phase === "ready");
    const back = talker.count;
    await until("it goes on", () => talker.count > back + 500);
    talker.stop();
    await until(
      "the last one arrives",
      () => cluster.inbox(1).of("n").some(([n]) => n === talker.count - 1),
      20_000,
    );
    const numbers = cluster.inbox(1).of("n").flat();
    assert.ok(
      Number(numbers[0]) <= joined + 5,
      `${numbers[0]} is the first, ${joined} was the next`,
    );
    isWhole(numbers, talker.count);
  },
  LONG,
);
