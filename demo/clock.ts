/**
 * The wall clock with a finer resolution than `Date.now()`, so that stamps of several processes of
 * one machine can be subtracted. `performance.now()` alone starts anywhere and stops while a laptop
 * sleeps: the result is held within the millisecond that `Date.now()` names.
 */
export function now(): number {
  const wall = Date.now();
  const fine = performance.now();
  const drift = fine + offset - wall;
  if (drift < 0) offset -= drift;
  else if (drift >= 1) offset -= drift - 0.999;
  return fine + offset;
}

let offset = performance.timeOrigin;
