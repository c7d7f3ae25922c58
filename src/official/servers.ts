/**
 * The servers of theirs. Each namespace of a server is one by itself, with an id and heartbeats of its own.
 */

/** How many there may be in a namespace: anybody may say that they are there. */
const MAX_SERVERS = 1_000;

/** What stands before the id of a server of theirs, where it is beside those of ours. */
const KEY = "official:";

/** What a server of theirs is called among those who owe an answer. */
export function keyOfServer(uid: string): string {
  return KEY + uid;
}

/** Whether one of those who owe an answer is a server of theirs. */
export function isOfficial(key: string): boolean {
  return key.startsWith(KEY);
}

/** Who is there. */
export class Servers {
  readonly #timeout: number;
  readonly #gone: (nsp: string, uid: string) => void;
  /** When each was last heard of, by namespaces. */
  readonly #namespaces: Map<string, Map<string, number>> = new Map();

  /**
   * @param timeout Milliseconds without a sign of life after which one counts as gone.
   * @param gone Called for one that is gone.
   */
  constructor(timeout: number, gone: (nsp: string, uid: string) => void) {
    this.#timeout = timeout;
    this.#gone = gone;
  }

  /** Those that have a namespace. */
  having(nsp: string): string[] {
    return [...this.#namespaces.get(nsp)?.keys() ?? []];
  }

  /** Whether one is known. */
  has(nsp: string, uid: string): boolean {
    return this.#namespaces.get(nsp)?.has(uid) ?? false;
  }

  /** The most that any namespace has. */
  get count(): number {
    let count = 0;
    for (const servers of this.#namespaces.values()) count = Math.max(count, servers.size);
    return count;
  }

  /** Takes note of a sign of life. */
  heard(nsp: string, uid: string): void {
    let servers = this.#namespaces.get(nsp);
    if (servers === undefined) this.#namespaces.set(nsp, servers = new Map());
    if (servers.size < MAX_SERVERS || servers.has(uid)) servers.set(uid, performance.now());
  }

  /** One has left. */
  left(nsp: string, uid: string): void {
    if (this.#namespaces.get(nsp)?.delete(uid)) this.#gone(nsp, uid);
  }

  /** A namespace is closed here. */
  forget(nsp: string): void {
    this.#namespaces.delete(nsp);
  }

  /** After an outage all have time to be heard of again. */
  refresh(): void {
    const now = performance.now();
    for (const servers of this.#namespaces.values()) {
      for (const uid of servers.keys()) servers.set(uid, now);
    }
  }

  /** Lets go of those that were silent for too long. */
  sweep(): void {
    const before = performance.now() - this.#timeout;
    for (const [nsp, servers] of this.#namespaces) {
      for (const [uid, heard] of servers) if (heard < before) this.left(nsp, uid);
    }
  }
}
