/** Keeping and taking sessions, against a publisher whose every answer the test decides. */
import assert from "node:assert/strict";
import { PgAdapterError } from "../../src/errors.ts";
import { Recovery } from "../../src/recovery/recovery.ts";
import { encodeSession } from "../../src/recovery/session.ts";
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
  isUnclear = false;
  readonly recovery: Recovery = new Recovery("0123456789abcdef", OPTIONS, undefined, {
    isUnclear: () => this.isUnclear,
    flush: () => {
      const { promise, resolve } = signal();
      this.flushes.push(() => resolve());
      return promise;
    },
    query: (text, parameters) =>
      new Promise((answer, fail) => this.asked.push({ text, parameters, answer, fail })),
  }, (error) => this.errors.push(error));

  keep(pid: string, data: unknown = {}, keys: string[] = ["channel"]): void {
    this.recovery.keep({ sid: `s${pid}`, pid, rooms: [], data }, keys);
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

test("a session that nobody knows was kept is kept once more, and is still the same", async () => {
  const puppet = new Puppet();
  puppet.keep("one");
  await puppet.flushed();
  const first = await puppet.next();
  first.fail(new PgAdapterError("CONNECTION_LOST", "the connection is lost"));
  await puppet.recovery.flush();
  assert.equal(puppet.recovery.stats.persisted, 0);
  puppet.recovery.resume();
  await puppet.flushed();
  const second = await puppet.next();
  assert.deepEqual(
    kept(second).map(({ origin }) => origin),
    kept(first).map(({ origin }) => origin),
  );
  second.answer([]);
  await puppet.recovery.flush();
  assert.equal(puppet.recovery.stats.persisted, 1);
  assert.deepEqual(puppet.errors, []);
});

test("a connection that is back before the loss of the last one was felt is used", async () => {
  const puppet = new Puppet();
  puppet.keep("one");
  await puppet.flushed();
  const first = await puppet.next();
  puppet.recovery.resume();
  first.fail(new PgAdapterError("CONNECTION_LOST", "the connection is lost"));
  await puppet.flushed();
  (await puppet.next()).answer([]);
  await puppet.recovery.flush();
  assert.equal(puppet.recovery.stats.persisted, 1);
});

test("a session that is refused is told of, and the next one is kept", async () => {
  const puppet = new Puppet();
  puppet.keep("one");
  await puppet.flushed();
  (await puppet.next()).fail(Object.assign(new Error("no such function"), { code: "42883" }));
  await puppet.recovery.flush();
  assert.deepEqual(puppet.errors.map(({ code }) => code), ["RECOVERY_FAILED"]);
  puppet.keep("two");
  await puppet.flushed();
  (await puppet.next()).answer([]);
  await puppet.recovery.flush();
  const { persisted, failed } = puppet.recovery.stats;
  assert.deepEqual({ persisted, failed }, { persisted: 1, failed: 1 });
});

test("a session that is refused for the moment is kept when the moment is over, and before later ones", async () => {
  const puppet = new Puppet();
  puppet.keep("one");
  await puppet.flushed();
  const first = await puppet.next();
  puppet.keep("two");
  // The lock is somebody's.
  first.fail(Object.assign(new Error("canceling statement"), { code: "55P03" }));
  await puppet.flushed();
  const second = await puppet.next();
  assert.deepEqual(kept(second).map(({ pid }) => pid), ["one", "two"]);
  assert.deepEqual(kept(second)[0]!.origin, kept(first)[0]!.origin);
  second.answer([]);
  await puppet.recovery.flush();
  const { persisted, failed } = puppet.recovery.stats;
  assert.deepEqual({ persisted, failed, errors: puppet.errors }, {
    persisted: 2,
    failed: 0,
    errors: [],
  });
});

test("what is refused again and again is given up in the end, and told of", async () => {
  const puppet = new Puppet();
  puppet.keep("one");
  while (puppet.errors.length === 0) {
    await until("an attempt", () => puppet.flushes.length > 0 || puppet.errors.length > 0);
    if (puppet.errors.length > 0) break;
    await puppet.flushed();
    (await puppet.next()).fail(Object.assign(new Error("canceling"), { code: "55P03" }));
  }
  assert.deepEqual(puppet.errors.map(({ code }) => code), ["RECOVERY_FAILED"]);
  await puppet.recovery.flush();
  assert.equal(puppet.recovery.stats.failed, 1);
});

test("on a server that has become a standby sessions wait for the next connection", async () => {
  const puppet = new Puppet();
  puppet.keep("one");
  await puppet.flushed();
  (await puppet.next()).fail(Object.assign(new Error("read-only"), { code: "25006" }));
  await puppet.recovery.flush();
  assert.equal(puppet.asked.length + puppet.flushes.length, 0);
  puppet.recovery.resume();
  await puppet.flushed();
  (await puppet.next()).answer([]);
  await puppet.recovery.flush();
  assert.equal(puppet.recovery.stats.persisted, 1);
  assert.deepEqual(puppet.errors, []);
});

test("all clients of a large server may leave at once", async () => {
  const puppet = new Puppet();
  for (let i = 0; i < 30_000; i++) puppet.keep(`p${i}`);
  const pids = new Set<string>();
  while (pids.size < 30_000) {
    await puppet.flushed();
    const asked = await puppet.next();
    for (const { pid } of kept(asked)) pids.add(pid);
    asked.answer([]);
  }
  await puppet.recovery.flush();
  const { persisted, failed } = puppet.recovery.stats;
  assert.deepEqual({ persisted, failed }, { persisted: 30_000, failed: 0 });
});

test("past the bound the first to leave are dropped, counted, and told of once", async () => {
  const puppet = new Puppet();
  const data = "x".repeat(1_000_000);
  for (let i = 0; i < 70; i++) puppet.keep(`p${i}`, data);
  assert.deepEqual(puppet.errors.map(({ code }) => code), ["BUFFER_FULL"]);
  const { failed } = puppet.recovery.stats;
  assert.ok(failed > 0 && failed < 10, `${failed}`);
  const pids: string[] = [];
  while (pids.length < 70 - failed) {
    await puppet.flushed();
    const asked = await puppet.next();
    pids.push(...kept(asked).map(({ pid }) => pid));
    asked.answer([]);
  }
  await puppet.recovery.flush();
  // The first one was on its way.
  const left = Array.from({ length: 70 }, (_, i) => `p${i}`);
  assert.deepEqual(pids, [pids[0]!, ...left.slice(-(70 - failed - 1))]);
  // What is no more is not counted any more.
  for (let i = 0; i < 60; i++) puppet.keep(`q${i}`, data);
  assert.equal(puppet.recovery.stats.failed, failed);
});

test("many sessions go in statements of a bounded size, whatever makes them large", async () => {
  const puppet = new Puppet();
  const channels = Array.from({ length: 3_000 }, (_, i) => `channel ${i}`.padEnd(60));
  for (let i = 0; i < 100; i++) {
    if (i % 2 === 0) puppet.keep(`p${i}`, "x".repeat(50_000));
    else puppet.keep(`p${i}`, {}, channels);
  }
  const pids: string[] = [];
  while (pids.length < 100) {
    await puppet.flushed();
    const asked = await puppet.next();
    assert.ok(asked.parameters[0]!.length < 3_000_000, `${asked.parameters[0]!.length}`);
    pids.push(...kept(asked).map(({ pid }) => pid));
    asked.answer([]);
  }
  assert.deepEqual(pids, Array.from({ length: 100 }, (_, i) => `p${i}`));
  await puppet.recovery.flush();
});

test("who asks for a session asks again as the same one when the connection is lost", async () => {
  const puppet = new Puppet();
  const restoring = puppet.recovery.restore("one", "channel", 7);
  const first = await puppet.next();
  first.fail(new PgAdapterError("CONNECTION_LOST", "the connection is lost"));
  const second = await puppet.next();
  assert.deepEqual(second.parameters, first.parameters);
  second.fail(new PgAdapterError("DISCONNECTED", "there is no connection"));
  const third = await puppet.next();
  third.fail(Object.assign(new Error("no such function"), { code: "42883" }));
  assert.equal(await restoring, undefined);
  assert.deepEqual(puppet.errors.map(({ code }) => code), ["RECOVERY_FAILED"]);
});

test("who asks while the database does not answer gives up, and stops asking", async () => {
  const puppet = new Puppet();
  const start = performance.now();
  assert.equal(await puppet.recovery.restore("one", "channel", 7), undefined);
  assert.ok(performance.now() - start < 4_000);
  (await puppet.next()).fail(new PgAdapterError("CONNECTION_LOST", "the connection is lost"));
  await until("a time in which it would have asked", () => performance.now() - start > 2_300);
  assert.equal(puppet.asked.length, 0);
  assert.deepEqual(puppet.errors.map(({ code }) => code), ["RECOVERY_FAILED"]);
});

/** The rows of a session without rooms, and of messages of SQL that it has missed. */
function sessionRows(...messages: [number: number, text: string][]): Record<string, unknown>[] {
  const session = { sid: "socket", pid: "one", rooms: [], data: {} };
  return [
    { number: null, channel: null, frame: encodeSession(session, "0123456789abcdef", undefined) },
    ...messages.map(([number, text]) => ({
      number: String(number),
      channel: "channel",
      frame: JSON.stringify({ emit: [text] }),
    })),
  ];
}

test("who waited for what was sent before, and waits no longer, takes no session", async () => {
  const puppet = new Puppet();
  const behind = puppet.recovery.restore("one", "channel", 7, true);
  puppet.isUnclear = true;
  const unclear = puppet.recovery.restore("two", "channel", 7);
  assert.deepEqual(await Promise.all([behind, unclear]), [undefined, undefined]);
  assert.deepEqual(puppet.errors.map(({ code }) => code), ["RECOVERY_FAILED", "RECOVERY_FAILED"]);
  // PostgreSQL is back.
  puppet.isUnclear = false;
  for (const settle of puppet.flushes.splice(0)) settle();
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(puppet.asked.length, 0);
});

test("who comes back waits for what may be committed, or be sent again", async () => {
  const puppet = new Puppet();
  const restoring = puppet.recovery.restore("one", "channel", 7);
  puppet.isUnclear = true;
  (await puppet.next()).fail(new PgAdapterError("CONNECTION_LOST", "the connection is lost"));
  await until("a flush", () => puppet.flushes.length > 0);
  assert.equal(puppet.asked.length, 0);
  puppet.isUnclear = false;
  await puppet.flushed();
  (await puppet.next()).answer(sessionRows([8, "sent again"]));
  assert.deepEqual((await restoring)?.packets.map(({ number }) => number), [8]);
});

test("PostgreSQL has few questions of those who come back at once, and each in its turn", async () => {
  const puppet = new Puppet();
  const restoring = Array.from(
    { length: 200 },
    (_, n) => puppet.recovery.restore(`pid${n}`, "channel", 7),
  );
  const order: (string | null)[] = [];
  for (let n = 0; n < 200; n++) {
    const asked = await puppet.next();
    assert.ok(puppet.asked.length < 64, `${puppet.asked.length}`);
    order.push(asked.parameters[0]!);
    // Whatever the answer is: one is refused.
    if (n === 50) asked.fail(Object.assign(new Error("no such function"), { code: "42883" }));
    else asked.answer(sessionRows());
  }
  const restored = await Promise.all(restoring);
  assert.equal(restored.filter((each) => each !== undefined).length, 199);
  assert.deepEqual(order, Array.from({ length: 200 }, (_, n) => `pid${n}`));
  assert.deepEqual(puppet.errors.map(({ code }) => code), ["RECOVERY_FAILED"]);
});

test("who has waited in vain for a turn takes no session", async () => {
  const puppet = new Puppet();
  const restoring = Array.from(
    { length: 70 },
    (_, n) => puppet.recovery.restore(`pid${n}`, "channel", 7),
  );
  await Promise.all(restoring);
  assert.equal(puppet.asked.length, 64);
  // PostgreSQL is back.
  for (const asked of puppet.asked.splice(0)) asked.answer(sessionRows());
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(puppet.asked.length, 0);
  assert.equal(puppet.errors.length, 70);
});
