/**
 * How many messages a second emitters bring to whoever listens: ours, and those of Socket.IO for PostgreSQL and Redis.
 *
 *     deno run -A scripts/bench/emitters.ts
 *     node scripts/bench/emitters.ts
 *     bun scripts/bench/emitters.ts
 *
 * Redis is measured where `redis-server` is installed. A raw listener counts what arrives, so that no Socket.IO server is
 * part of the figures.
 *
 * @module
 */
import { Emitter as PostgresEmitter } from "@socket.io/postgres-emitter";
import { Emitter as RedisEmitter } from "@socket.io/redis-emitter";
import { spawn, spawnSync } from "node:child_process";
import process from "node:process";
import pg from "pg";
import postgres from "postgres";
import { createClient } from "redis";
import { Emitter } from "../../src/emitter.ts";
import { freePort, startPostgres } from "../../tests/support/postgres.ts";

/** For how long something is measured. */
const MS = 3_000;
/** How many messages a burst has. */
const BURST = 20_000;

const DATA = {
  id: 7,
  text: "a message of about a hundred bytes, as people send them",
  at: 1764100000,
};

/** What is measured. */
interface Contender {
  readonly name: string;
  /** Emits, without waiting. */
  emit(): unknown;
  /** How many messages have arrived at the listener. */
  arrived(): number;
  close(): Promise<unknown>;
}

async function ours(uri: string, secret?: string): Promise<Contender> {
  const emitter = new Emitter(uri, { secret });
  const listener = postgres(uri, { max: 1, onnotice: () => {} });
  let count = 0;
  await listener.listen("socket.io:/", (payload) => {
    count += payload.split('"tick"').length - 1;
  });
  return {
    name: secret === undefined ? "socketio-pg" : "socketio-pg, signed",
    emit: () => emitter.emit("tick", DATA),
    arrived: () => count,
    close: () => Promise.all([emitter.close(), listener.end()]),
  };
}

async function theirs(uri: string): Promise<Contender> {
  const pool = new pg.Pool({ connectionString: uri });
  // Its idle connections end with the server.
  pool.on("error", () => {});
  const emitter = new PostgresEmitter(pool);
  const listener = postgres(uri, { max: 1, onnotice: () => {} });
  let count = 0;
  await listener.listen("socket.io#/", () => count++);
  return {
    name: "@socket.io/postgres-emitter",
    emit: () => emitter.emit("tick", DATA),
    arrived: () => count,
    close: () => Promise.all([pool.end(), listener.end()]),
  };
}

async function redis(port: number): Promise<Contender> {
  const client = createClient({ url: `redis://127.0.0.1:${port}` });
  const subscriber = client.duplicate();
  // Until the server is up they try again.
  for (const each of [client, subscriber]) each.on("error", () => {});
  await client.connect();
  await subscriber.connect();
  const emitter = new RedisEmitter(client);
  let count = 0;
  await subscriber.subscribe("socket.io#/#", () => count++, true);
  return {
    name: "@socket.io/redis-emitter",
    emit: () => emitter.emit("tick", DATA),
    arrived: () => count,
    close: () => Promise.all([client.close(), subscriber.close()]),
  };
}

/** Waits until so many have arrived. */
async function until(contender: Contender, count: number): Promise<void> {
  while (contender.arrived() < count) await new Promise((resolve) => setImmediate(resolve));
}

/** Bursts, each of which has arrived before the next one. */
async function bursts(contender: Contender): Promise<number> {
  const start = performance.now();
  let sent = contender.arrived();
  const before = sent;
  while (performance.now() - start < MS) {
    for (let n = 0; n < BURST; n++) contender.emit();
    await until(contender, sent += BURST);
  }
  return (sent - before) / (performance.now() - start) * 1_000;
}

/** One by one, each when the one before is done. */
async function oneByOne(done: (count: number) => Promise<unknown>): Promise<number> {
  const start = performance.now();
  let count = 0;
  while (performance.now() - start < MS) await done(++count);
  return count / (performance.now() - start) * 1_000;
}

async function measure(contender: Contender): Promise<void> {
  const isAwaitable = contender.emit() instanceof Promise;
  await until(contender, 1);
  const figures = {
    "not awaited": await bursts(contender),
    "awaited one by one": isAwaitable ? await oneByOne(async () => await contender.emit()) : NaN,
    "heard one by one": NaN,
  };
  await new Promise((resolve) => setTimeout(resolve, 200));
  const before = contender.arrived();
  figures["heard one by one"] = await oneByOne((count) => {
    contender.emit();
    return until(contender, before + count);
  });
  const row = Object.entries(figures).map(([name, rate]) =>
    `${name} ${Number.isNaN(rate) ? "-" : Math.round(rate).toLocaleString("en")}`
  );
  console.log(`${contender.name}: messages/s ${row.join(", ")}`);
  await contender.close();
}

const server = await startPostgres();
try {
  await measure(await ours(server.uri));
  await measure(await ours(server.uri, "known to all servers of the cluster"));
  await measure(await theirs(server.uri));
} finally {
  await server.stop();
}

if (spawnSync("redis-server", ["--version"]).status === 0) {
  const port = await freePort();
  const child = spawn("redis-server", ["--port", `${port}`, "--save", "", "--appendonly", "no"], {
    stdio: "ignore",
  });
  try {
    await measure(await redis(port));
  } finally {
    child.kill();
  }
} else console.log("Redis is not measured as there is no redis-server");
process.exit();
