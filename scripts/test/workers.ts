/**
 * How many files run at a time: most of them wait for most of their time, and how many processors bear of them differs
 * from machine to machine.
 *
 * @module
 */

import { availableParallelism, cpus } from "node:os";

/** The fewest and the most at a time. */
export interface Jobs {
  readonly least: number;
  readonly most: number;
}

/** For how many milliseconds processors are watched before there is one more file: what the last one takes has to show. */
const LOOK_MS = 2_000;

/** Up to which part of their time they may work for that. */
const BUSY = 0.9;

/**
 * Runs something for each item, in their order.
 *
 * @param items What the others have not taken yet is for the next one.
 * @param jobs How many at a time: one more, up to the most, whenever the processors have had time left, and one fewer,
 * down to the fewest, whenever they had not.
 * @param run Gets the place that an item has while it runs, from 0: no other one has it meanwhile.
 * @param look Tells which part of their time they have worked since it was called last.
 * @param interval Milliseconds after which it is called again.
 */
export async function runEach<T>(
  items: Iterable<T>,
  { least, most }: Jobs,
  run: (item: T, place: number) => Promise<void>,
  look: () => number = processors(),
  interval: number = LOOK_MS,
): Promise<void> {
  const waiting = items[Symbol.iterator]();
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
  const taken = new Set<number>();
  let wanted = least;
  const work = async (place: number) => {
    taken.add(place);
    while (taken.size <= wanted) {
      const next = waiting.next();
      if (next.done) break;
      await run(next.value, place);
    }
    taken.delete(place);
    if (taken.size === 0) resolve();
  };
  const fill = () => {
    for (let place = 0; place < most && taken.size < wanted; place++) {
      if (!taken.has(place)) work(place).catch(reject);
    }
  };
  fill();
  const timer = setInterval(() => {
    wanted = look() > BUSY ? Math.max(least, wanted - 1) : Math.min(most, wanted + 1);
    fill();
  }, interval);
  try {
    await ended;
  } finally {
    clearInterval(timer);
  }
}

function processors(): () => number {
  let before = times();
  return () => {
    const now = times(), last = before;
    before = now;
    const total = now.total - last.total;
    // A container may see those of its host: nobody can say then.
    if (total <= 0 || cpus().length !== availableParallelism()) return 1;
    return 1 - (now.idle - last.idle) / total;
  };
}

function times(): { idle: number; total: number } {
  let [idle, total] = [0, 0];
  for (const { times } of cpus()) {
    idle += times.idle;
    total += times.user + times.nice + times.sys + times.irq + times.idle;
  }
  return { idle, total };
}
