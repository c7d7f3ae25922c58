/**
 * What a benchmark has started, and ends however it ends.
 *
 * @module
 */

/** Something that was started. */
export type Closable = { end(): Promise<void> } | { stop(): Promise<void> };

const open = new Set<Closable>();
let closing: Promise<unknown> = Promise.resolve();
let isOver = false;

/** Has something ended by {@linkcode closeAll}; at once where that was the last time. */
export function keep<T extends Closable>(each: T): T {
  open.add(each);
  // What was being started when the benchmark was interrupted.
  if (isOver) void closeAll();
  return each;
}

/** Ends one thing before the others. */
export async function close(each: Closable): Promise<void> {
  open.delete(each);
  await ("end" in each ? each.end() : each.stop());
}

/**
 * Ends everything, and settles when all of it is gone: also what another call has begun to end.
 *
 * @param forGood Whether nothing is to be started any more.
 */
export async function closeAll(forGood = false): Promise<void> {
  isOver ||= forGood;
  const all = [...open];
  const users = all.filter((each) => "end" in each).map(close);
  // Databases go when those who use them are gone.
  const databases = all.filter((each) => "stop" in each);
  for (const each of databases) open.delete(each);
  closing = Promise.allSettled([closing, ...users])
    .then(() => Promise.allSettled(databases.map(close)));
  await closing;
}

/** Whether the benchmark was interrupted. */
export function isInterrupted(): boolean {
  return isOver;
}
