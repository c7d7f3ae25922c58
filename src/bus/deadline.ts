/** A timer that is later than this was held up by a blocked event loop, or a process that was stopped. */
const HELD_UP_MS = 50;

/** How long an answer may take then: it waits in the socket, or the server waited for us. */
const GRACE_MS = 250;

/**
 * Settles as the promise does, or rejects when that takes too long. It judges in two phases: after the time is up the
 * event loop gets one more turn, so that an answer which waited in the socket while the loop was blocked still counts;
 * after it was blocked for long, some turns more.
 *
 * @param ms Milliseconds.
 * @param late Makes the error.
 */
export function withDeadline<T>(promise: Promise<T>, ms: number, late: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    let judge: ReturnType<typeof setTimeout> | undefined;
    const due = performance.now() + ms;
    const timer = setTimeout(() => {
      const isHeldUp = performance.now() - due > HELD_UP_MS;
      judge = setTimeout(() => reject(late()), isHeldUp ? GRACE_MS : 0);
    }, ms);
    const settle = () => {
      clearTimeout(timer);
      clearTimeout(judge);
    };
    promise.then((value) => {
      settle();
      resolve(value);
    }, (fault) => {
      settle();
      reject(fault);
    });
  });
}

/** A promise with its two ends. */
export interface Deferred<T> {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (fault: unknown) => void;
}

/** `Promise.withResolvers()`, which Node 20 does not have. */
export function deferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (fault: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
