/**
 * Settles as the promise does, or rejects when that takes too long. It judges in two phases: after the time is up the
 * event loop gets one more turn, so that an answer which waited in the socket while the loop was blocked still counts.
 *
 * @param ms Milliseconds.
 * @param late Makes the error.
 */
export function withDeadline<T>(promise: Promise<T>, ms: number, late: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    let judge: ReturnType<typeof setTimeout> | undefined;
    const timer = setTimeout(() => {
      judge = setTimeout(() => reject(late()), 0);
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
