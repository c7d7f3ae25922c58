import { test as register } from "node:test";
import { within } from "./wait.ts";

/** What a test gets: a place for its clean-up. */
export interface Scope {
  /** Adds a step of the clean-up; steps run last to first, also when the test fails. */
  after(undo: () => unknown): void;
}

/** What a test may set. */
export interface TestOptions {
  /** How long the body may take, in milliseconds. */
  deadline?: number;
  /** Why the test cannot run here. */
  skip?: string | false;
}

// Bun and Node report these by themselves; Deno's runner swallows what is thrown in a timer.
const faults: unknown[] = [];
process.on("uncaughtException", (fault) => faults.push(fault));
process.on("unhandledRejection", (fault) => faults.push(fault));

/**
 * A test that fails, with a sentence that says where, when its body or its clean-up does not end in time, or when
 * anything is thrown or rejected unheard meanwhile.
 */
export function test(
  name: string,
  body: (scope: Scope) => unknown,
  { deadline = 30_000, skip = false }: TestOptions = {},
): void {
  register(name, { timeout: deadline + 40_000, skip }, async () => {
    const undos: (() => unknown)[] = [];
    const failures: unknown[] = [];
    try {
      await within(
        deadline,
        "the test",
        Promise.resolve(body({ after: (undo) => undos.push(undo) })),
      );
    } catch (failure) {
      failures.push(failure);
    }
    for (const undo of undos.reverse()) {
      try {
        await within(15_000, "a step of the clean-up", Promise.resolve(undo()));
      } catch (failure) {
        failures.push(failure);
      }
    }
    // One turn of the event loop, so that a rejection nobody heard of has been noticed.
    await new Promise((resolve) => setImmediate(resolve));
    failures.push(...faults.splice(0));
    if (failures.length === 1) throw failures[0];
    if (failures.length > 1) {
      throw new AggregateError(failures, failures.map((failure) => String(failure)).join("; "));
    }
  });
}
