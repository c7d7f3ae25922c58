/** Keeping and taking sessions, against a publisher whose every answer the test decides. */
import assert from "node:assert/strict";
import { PgAdapterError } from "../../src/errors.ts";
import { Recovery } from "../../src/recovery/recovery.ts";
import { signal, until } from "../support/wait.ts";
import { test } from "../support/test.ts";

const OPTIONS = { maxDisconnectionDuration: 60_000, silence: 45_000, isDurable: false };

interface Asked {
  readonly text: string;
  readonly parameters: (string | null)[];
  answer(rows: Record<string, unknown>[]): void;
  fail(fault: unknown): void;
}

/** A publisher that does nothing by itself. */
class Puppet {
  readonly flushes: (() => void)[] = [];
  readonly asked: Asked[] = [];
  readonly errors: PgAdapterError[] = [];
  readonly recovery: Recovery = new Recovery("0123456789abcdef", OPTIONS, undefined, {
    flush: () => {
      const { promise, resolve } = signal();
      this.flushes.push(() => resolve());
      return promise;
    },
    query: (text, parameters) =>
      new Promise((answer, fail) => this.asked.push({ text, parameters, answer, fail })),
  }, (error) => this.errors.push(error));

  keep(pid: string, data: unknown = {}): void {
    this.recovery.keep({ sid: `s${pid}`, pid, rooms: [], data }, ["channel"]);
  }

  /** The next statement. */
  async next(): Promise<Asked> {
    await until("a statement", () => this.asked.length > 0);
    return this.asked.shift()!;
  }

  /** The next flush is over. */
  async flushed(): Promise<void> {
    await until("a flush", () => this.flushes.length > 0);
    this.flushes.shift()!();
  }
}

function kept({ parameters: [text] }: Asked): { pid: string; origin: string }[] {
  return JSON.parse(text!);
}

test("a session waits for what was sent before it, whatever else is being kept", async () => {
  const puppet = new Puppet();
  puppet.keep("one");
  // While what was sent before the first is on its way, something is sent, and a second client leaves.
  puppet.keep("two");
  await puppet.flushed();
  const first = await puppet.next();
  assert.deepEqual(kept(first).map(({ pid }) => pid), ["one"]);
  first.answer([]);
  await puppet.flushed();
  const second = await puppet.next();
  assert.deepEqual(kept(second).map(({ pid }) => pid), ["two"]);
  second.answer([]);
  await puppet.recovery.flush();
  assert.equal(puppet.recovery.stats.persisted, 2);
});
