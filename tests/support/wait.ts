import { HAS_RECOVERY, withoutOffset } from "./offset.ts";

/** What events are waited for on: sockets, servers, adapters, sources of Node. */
export interface Source {
  // deno-lint-ignore no-explicit-any -- every source has its own types of listeners
  once(event: any, listener: any): unknown;
  // deno-lint-ignore no-explicit-any -- as above
  off(event: any, listener: any): unknown;
}

/** Waits for a promise, or fails with a sentence that says what did not happen. */
export async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The arguments of the next event of this name. */
export function next<Args extends unknown[] = unknown[]>(
  source: Source,
  event: string,
  ms = 10_000,
): Promise<Args> {
  return new Promise((resolve, reject) => {
    const listener = (...args: Args) => {
      clearTimeout(timer);
      resolve(HAS_RECOVERY ? withoutOffset(args) as Args : args);
    };
    const timer = setTimeout(() => {
      source.off(event, listener);
      reject(new Error(`no event "${event}" within ${ms} ms`));
    }, ms);
    source.once(event, listener);
  });
}

/** Waits until a condition holds, or fails with a sentence that says which and what it last was. */
export async function until(
  what: string,
  condition: () => unknown | Promise<unknown>,
  ms = 10_000,
): Promise<void> {
  const end = performance.now() + ms;
  for (;;) {
    const result = await condition();
    if (result) return;
    if (performance.now() > end) {
      throw new Error(`${what} did not become true within ${ms} ms`);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A promise and the function that settles it. */
export function signal<T = void>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((given) => {
    resolve = given;
  });
  return { promise, resolve };
}
