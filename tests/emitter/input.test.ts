import assert from "node:assert/strict";
import { Emitter, type PgAdapterError } from "../../src/emitter.ts";
import { both, emitterTo, receivedBy, twoServers } from "../support/emitting.ts";
import { test } from "../support/test.ts";

/** As applications that are not checked by a compiler call it. */
interface Loose {
  emit(...args: unknown[]): Promise<void>;
  serverSideEmit(...args: unknown[]): Promise<void>;
  socketsJoin(rooms: unknown): Promise<void>;
  socketsLeave(rooms: unknown): Promise<void>;
}

/** Nested arrays, made without recursion. */
function nested(levels: number): unknown {
  let value: unknown = 0;
  for (let n = 0; n < levels; n++) value = [value];
  return value;
}

test("what servers or clients would refuse is refused at once, and nobody hears of it", async (t) => {
  const cluster = await twoServers(t);
  const emitter = emitterTo(t, cluster);
  const loose = emitter as unknown as Loose;
  const long = "x".repeat(20_000);
  const cases: Record<string, [() => Promise<void>, RegExp]> = {
    "no name": [() => loose.emit(), /name of an event must be a string.*undefined/],
    "a number": [() => loose.emit(7), /must be a string.*number/],
    "a symbol": [() => loose.emit(Symbol("s")), /must be a string.*symbol/],
    "an object": [() => loose.serverSideEmit({}), /must be a string.*object/],
    ...Object.fromEntries(
      ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"]
        .map((name) => [name, [() => emitter.emit(name), new RegExp(`"${name}" as Socket.IO`)]]),
    ),
    ...Object.fromEntries(
      ["connect", "connection", "new_namespace", "newListener", "removeListener"]
        .map((name) => [
          `${name} of servers`,
          [() => emitter.serverSideEmit(name), new RegExp(`"${name}" as Socket.IO`)],
        ]),
    ),
    "a BigInt": [() => emitter.emit("odd", 1n), /"odd"/],
    "a cycle": [() => {
      const cycle: unknown[] = [];
      cycle.push(cycle);
      return emitter.emit("odd", cycle);
    }, /"odd"/],
    "toJSON() that throws": [() =>
      emitter.emit("odd", {
        toJSON() {
          throw new Error("not me");
        },
      }), /"odd".*not me/],
    "too many arguments": [
      () => emitter.emit("odd", ...Array.from({ length: 10_000 }, () => 0)),
      /10000 arguments/,
    ],
    "nested too deeply": [() => emitter.emit("odd", nested(1_001)), /1000 levels/],
    "nested beyond the stack": [() => emitter.emit("odd", nested(200_000)), /"odd"/],
    "a long room": [() => emitter.to(long).emit("odd"), /16384/],
    "a long exception": [() => emitter.except(long).emit("odd"), /16384/],
    "a long namespace": [() => emitter.of(long).emit("odd"), /20001 characters/],
    "too many rooms": [
      () => emitter.to(Array.from({ length: 100_001 }, (_, i) => `${i}`)).emit("odd"),
      /100001 rooms/,
    ],
    "a room that is none": [() => loose.socketsJoin(undefined), /socketsJoin.*room must be/],
    "a room among others that is none": [() => loose.socketsLeave(["a", {}]), /room must be/],
  };
  for (const [name, [call, message]] of Object.entries(cases)) {
    await assert.rejects(call(), { code: "NOT_ENCODABLE", message }, name);
    // A rejection that nobody hears ends no process.
    void call();
  }
  await emitter.emit("next");
  for (const client of [0, 1]) {
    await receivedBy(cluster, "next");
    const strange = cluster.inbox(client).events.filter((event) => !/^(next|last )/.test(event));
    assert.deepEqual(strange, []);
  }
  assert.deepEqual(await receivedBy(cluster, "next"), both([[]]));
});

test("the limits themselves are within them", async (t) => {
  const cluster = await twoServers(t);
  const emitter = emitterTo(t, cluster);
  const numbers = Array.from({ length: 9_999 }, (_, n) => n);
  await emitter.emit("arguments", ...numbers);
  await emitter.emit("nested", nested(999));
  await emitter.socketsJoin("r".repeat(16_384));
  await emitter.to("r".repeat(16_384)).emit("room");
  await emitter.to(Array.from({ length: 100_000 }, (_, i) => `${i}`)).emit("nobody");
  assert.deepEqual(await receivedBy(cluster, "arguments"), both([numbers]));
  assert.deepEqual(await receivedBy(cluster, "room"), both([[]]));
  assert.equal((await receivedBy(cluster, "nested")).flat().length, 2);
});

test("options and targets that are none are refused", () => {
  const make = (target: unknown, options?: object) => () =>
    new Emitter(target as string, options as ConstructorParameters<typeof Emitter>[1]);
  for (const target of [undefined, null, 7, {}, [], () => {}, Symbol("s")]) {
    assert.throws(make(target), { code: "INVALID_OPTION", message: /target must be/ });
  }
  const uri = "postgresql://h/db";
  const odd: Record<string, unknown[]> = {
    prefix: ["", "x".repeat(30), "a\0b", 7],
    maxPayload: [0, -1, 1.5, "1", 257 * 1024 * 1024, NaN],
    maxBuffer: [-1, 1.5, "1", Infinity],
    connectTimeout: [0, -1, 2 ** 31, "1"],
    statementTimeout: [0, null],
    closeTimeout: [0],
    unknown: [1],
  };
  for (const [name, values] of Object.entries(odd)) {
    for (const value of values) {
      assert.throws(make(uri, { [name]: value }), (error: PgAdapterError) => {
        assert.equal(error.code, "INVALID_OPTION");
        assert.match(error.message, new RegExp(`^Cannot create emitter as .*"${name}"`));
        return true;
      });
    }
  }
  new Emitter(uri, { prefix: undefined, maxBuffer: 0, connectTimeout: 1 });
});
