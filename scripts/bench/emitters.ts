/**
 * How many messages a second emitters bring to whoever listens: ours, and those of Socket.IO for PostgreSQL and Redis. A
 * raw listener counts what arrives, so that no Socket.IO server is part of the figures. Run by `deno task bench
 * emitters`, in each runtime.
 *
 * @module
 */

import { Emitter as PostgresEmitter } from "@socket.io/postgres-emitter";
import { Emitter as RedisEmitter } from "@socket.io/redis-emitter";
import pg from "pg";
import postgres from "postgres";
import { createClient } from "redis";
import { Emitter } from "../../src/emitter.ts";
import { obey } from "./child.ts";

/** How many messages a burst has. */
const BURST = 20_000;

const DATA = {
  id: 7,
  text: "a message of about a hundred bytes, as people send them",
  at: 1764100000,
};

/** Where an emitter sends to, and for how long it is measured. */
export interface EmitterRun {
  readonly uri: string;
  readonly ms: number;
}

/** Messages a second. */
export interface EmitterRates {
  /** In bursts, without waiting. */
  readonly notAwaited: number;
  /** Each when the promise of the one before has settled, where there is one. */
  readonly awaited?: number;
  /** Each when the one before was heard. */
  readonly heard: number;
}

interface Contender {
  /** Emits, without waiting. */
  emit(): unknown;
  /** How many messages have arrived at the listener. */
  arrived(): number;
  close(): Promise<unknown>;
}

/** What this program can be told to do. */
export const EMITTERS = {
  ours: async ({ uri, ms }: EmitterRun) => await measure(await ours(uri), ms),
  signed: async ({ uri, ms }: EmitterRun) =>
    await measure(await ours(uri, "known to all servers of the cluster"), ms),
  postgres: async ({ uri, ms }: EmitterRun) => await measure(await theirs(uri), ms),
  redis: async ({ uri, ms }: EmitterRun) => await measure(await redis(uri), ms),
};

async function ours(uri: string, secret?: string): Promise<Contender> {
  const emitter = new Emitter(uri, { secret });
  const listener = postgres(uri, { max: 1, onnotice: () => {} });
  let count = 0;
  await listener.listen("socket.io:/", (payload) => {
    count += payload.split('"tick"').length - 1;
  });
  return {
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
    emit: () => emitter.emit("tick", DATA),
    arrived: () => count,
    close: () => Promise.all([pool.end(), listener.end()]),
  };
}

async function redis(url: string): Promise<Contender> {
  const client = createClient({ url });
  const subscriber = client.duplicate();
  for (const each of [client, subscriber]) {
    each.on("error", (error) => console.error(`${error}`));
    await each.connect();
  }
  const emitter = new RedisEmitter(client);
  let count = 0;
  await subscriber.subscribe("socket.io#/#", () => count++, true);
  return {
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
async function bursts(contender: Contender, ms: number): Promise<number> {
  const start = performance.now();
  let sent = contender.arrived();
  const before = sent;
  while (performance.now() - start < ms) {
    for (let n = 0; n < BURST; n++) contender.emit();
    await until(contender, sent += BURST);
  }
  return (sent - before) / (performance.now() - start) * 1_000;
}

/** One by one, each when the one before is done. */
async function oneByOne(ms: number, done: (count: number) => Promise<unknown>): Promise<number> {
  const start = performance.now();
  let count = 0;
  while (performance.now() - start < ms) await done(++count);
  return count / (performance.now() - start) * 1_000;
}

async function measure(contender: Contender, ms: number): Promise<EmitterRates> {
  const isAwaitable = contender.emit() instanceof Promise;
  await until(contender, 1);
  const notAwaited = await bursts(contender, ms);
  const awaited = isAwaitable ? await oneByOne(ms, async () => await contender.emit()) : undefined;
  await new Promise((resolve) => setTimeout(resolve, 200));
  const before = contender.arrived();
  const heard = await oneByOne(ms, (count) => {
    contender.emit();
    return until(contender, before + count);
  });
  await contender.close();
  return { notAwaited, ...awaited !== undefined && { awaited }, heard };
}

obey(EMITTERS);
