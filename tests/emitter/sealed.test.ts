import assert from "node:assert/strict";
import { Emitter } from "../../src/emitter.ts";
import type { PgAdapterError } from "../../mod.ts";
import { both, emitterTo, receivedBy, twoSealedServers, twoServers } from "../support/emitting.ts";
import { listenTo } from "../support/sql.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

const secret = "known to all servers of the cluster";
const other = "the next secret of the same cluster";

for (const encrypt of [false, true]) {
  const mode = encrypt ? "encrypted" : "signed";

  test(`servers with a secret take what an emitter sends that has it (${mode})`, async (t) => {
    const cluster = await twoSealedServers(t, { secret, encrypt });
    const heard = await listenTo(t, cluster.uri, [`${cluster.prefix}:/`]);
    const emitter = emitterTo(t, cluster, undefined, { secret: [secret, other], encrypt });
    const large = "漢".repeat(300_000);
    for (let n = 0; n < 2_000; n++) emitter.emit("n", n, n % 500 ? "confidential" : large);
    await emitter.emit("bytes", new Uint8Array([1, 2, 3]));
    await emitter.batch((batch) => {
      batch.socketsJoin("room");
      batch.to("room").emit("n", 2_000);
    });
    const numbers = (await receivedBy(cluster, "n")).map((each) => each.map(([n]) => n));
    assert.deepEqual(numbers, both(Array.from({ length: 2_001 }, (_, n) => n)));
    assert.deepEqual(cluster.errors, []);
    await until("it was overheard", () => heard.length > 100);
    const own = heard.filter(({ payload }) => payload.includes("confidential"));
    assert.equal(own.length > 0, !encrypt);
  });

  test(`servers with a secret refuse an emitter that does not have it (${mode})`, async (t) => {
    const cluster = await twoSealedServers(t, { secret, encrypt });
    const wrong = [{}, { secret: other, encrypt }, ...encrypt ? [{ secret }] : []];
    for (const options of wrong) {
      const emitter = emitterTo(t, cluster, undefined, options);
      await emitter.emit("never");
      await emitter.emit("never", "x".repeat(20_000));
    }
    assert.deepEqual(await receivedBy(cluster, "never"), both([]));
    const codes = cluster.errors.splice(0).map((error) => (error as PgAdapterError).code);
    assert.deepEqual([...new Set(codes)], ["UNSIGNED"]);
  });
}

test("servers without a secret refuse what is sealed", async (t) => {
  const cluster = await twoServers(t);
  await emitterTo(t, cluster, undefined, { secret, encrypt: true }).emit("never");
  assert.deepEqual(await receivedBy(cluster, "never"), both([]));
  assert.equal(cluster.errors.splice(0).length, 2);
});

test("the bytes of a secret are its own copy, and text stands for its UTF-8", async (t) => {
  const text = "schlüssel, den alle kennen";
  const cluster = await twoSealedServers(t, { secret: text });
  const bytes = new TextEncoder().encode(text);
  const emitter = emitterTo(t, cluster, undefined, { secret: bytes });
  bytes.fill(0);
  await emitter.emit("hello");
  assert.deepEqual(await receivedBy(cluster, "hello"), both([[]]));
});

test("secrets that are none are refused, and not shown", () => {
  const make = (options: object) => () => new Emitter("postgresql://h/db", options);
  for (const odd of ["short", new Uint8Array(15), [], [secret, "short"], 7, null]) {
    assert.throws(make({ secret: odd }), (error: PgAdapterError) => {
      assert.equal(error.code, "INVALID_OPTION");
      assert.match(error.message, /^Cannot create emitter as "secret"/);
      assert.doesNotMatch(error.message, /"short"/);
      return true;
    });
  }
  assert.throws(make({ encrypt: true }), { code: "INVALID_OPTION" });
  assert.throws(make({ secret, encrypt: "yes" }), { code: "INVALID_OPTION" });
});
