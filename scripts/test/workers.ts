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

/** Up to which part of their time they may work for that: what faults are judged by are limits of time. */
const BUSY = 0.5;

/**
 * Runs something for each item, in their order.
 *
 * @param items What the others have not taken yet is for the next one.
 * @param jobs How many at a time: more than the fewest while the processors have nothing to do for half of their time.
 * @param look Tells which part of their time they have worked since it was called last.
 * @param interval Milliseconds after which it is called again.
 */
export async function runEach<T>(
  items: Iterable<T>,
  { least, most }: Jobs,
  run: (item: T) => Promise<void>,
  look: () => number = processors(),
  interval: number = LOOK_MS,
): Promise<void> {
  const waiting = [...items].values();
  const workers = new Set<Promise<void>>();
  const add = (work: () => Promise<void>) => {
    const worker = work().finally(() => workers.delete(worker));
    workers.add(worker);
  };
  for (let n = 0; n < least; n++) {
    add(async () => {
      for (const item of waiting) await run(item);
    });
  }
  const timer = setInterval(() => {
    const isBusy = look() > BUSY;
    if (isBusy || workers.size >= most || workers.size === 0) return;
    const { value, done } = waiting.next();
    if (!done) add(() => run(value));
  }, interval);
  try {
    while (workers.size > 0) await Promise.all(workers);
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
