/** Two servers with clients, for whatever emits to them. */
import { Emitter } from "../../src/emitter.ts";
import { type Cluster, type ClusterOptions, createCluster } from "./cluster.ts";
import type { Scope } from "./test.ts";

/** What an emitter can be given. */
export type Target = ConstructorParameters<typeof Emitter>[0];

/** Two servers with a client each. */
export function twoServers(t: Scope, options: ClusterOptions = {}): Promise<Cluster> {
  return createCluster(t, { size: 2, ...options });
}

/** An emitter to a cluster, which ends with the test. */
export function emitterTo(
  t: Scope,
  { uri, prefix }: Cluster,
  target: Target = uri,
  options: ConstructorParameters<typeof Emitter>[1] = {},
): Emitter {
  const emitter = new Emitter(target, { prefix, ...options });
  t.after(() => emitter.close());
  return emitter;
}

/**
 * What each client received under this name, once everything that was committed before has arrived: notifications come
 * in the order of their commits.
 */
export async function receivedBy(
  cluster: Cluster,
  event: string,
  ms?: number,
): Promise<unknown[][][]> {
  const last = `last ${crypto.randomUUID()}`;
  // Not by `await using`, which Node 22 does not have.
  const emitter = new Emitter(cluster.uri, { prefix: cluster.prefix, ...sealing(cluster) });
  await emitter.of(cluster.namespace).emit(last);
  await emitter.close();
  return await Promise.all(cluster.clients.map(async (_client, i) => {
    await cluster.inbox(i).count(last, 1, ms);
    return cluster.inbox(i).of(event);
  }));
}

const secrets: WeakMap<Cluster, { secret: string; encrypt?: boolean }> = new WeakMap();

/** Two servers with a secret, for {@linkcode receivedBy}. */
export async function twoSealedServers(
  t: Scope,
  sealed: { secret: string; encrypt?: boolean },
  options: ClusterOptions = {},
): Promise<Cluster> {
  const cluster = await twoServers(t, { ...options, adapter: sealed });
  secrets.set(cluster, sealed);
  return cluster;
}

function sealing(cluster: Cluster): { secret?: string; encrypt?: boolean } {
  return secrets.get(cluster) ?? {};
}

/** The same for both clients of {@linkcode twoServers}. */
export function both<T>(value: T): [T, T] {
  return [value, value];
}
