import assert from "node:assert/strict";
import { Publisher } from "../../src/bus/publisher.ts";
import { connectionSettings } from "../../src/bus/settings.ts";
import type { PgAdapterError } from "../../src/errors.ts";
import { createUid } from "../../src/wire/frame.ts";
import { databaseUri } from "../support/database.ts";
import { connectSql, createDatabase, listenTo } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";
import { until, within } from "../support/wait.ts";

const LIMITS = { connect: 5_000, statement: 5_000, isOwn: true };

function setUp(t: Scope, uri: string, maxBuffer: number) {
  const errors: PgAdapterError[] = [];
  const publisher = new Publisher(
    createUid(),
    connectionSettings(uri),
    LIMITS,
    { maxPayload: 1_000_000, maxBuffer, replayWindow: 30_000, replayBuffer: 1_000_000 },
    undefined,
    {
      up: () => {},
      down: () => {},
      failed: () => {},
      stuck: () => {},
      confirmed: () => {},
      sending: () => {},
      logged: () => {},
      refused: () => {},
      refusedFrame: () => {},
      unsent: () => {},
      error: (error) => errors.push(error),
    },
  );
  t.after(() => publisher.close());
  const publish = (value: string) =>
    publisher.publish("publisher_test", { type: 4, nsp: "/", value });
  return { publisher, publish, errors };
}

test("what waits while the database is away is bounded: the oldest goes, and that is told once", (t) => {
  const { publisher, publish, errors } = setUp(t, "postgresql://u@127.0.0.1:1/d", 10_000);
  for (let i = 0; i < 100; i++) publish("x".repeat(1_000));
  assert.ok(publisher.queued.bytes <= 10_000, `${publisher.queued.bytes} bytes`);
  assert.equal(publisher.queued.messages + publisher.stats.dropped, 100);
  assert.deepEqual(errors.map(({ code }) => code), ["BUFFER_FULL"]);
});

test("a statement that PostgreSQL refuses for now is sent again, in order, and told once", async (t) => {
  // A function of this name that is found first, and refuses as NOTIFY does while a stranger holds its lock.
  const { uri } = await createDatabase(t, await databaseUri());
  const sql = connectSql(t, uri);
  await sql.unsafe(`
    create table gate (refuses boolean); insert into gate values (true);
    create schema shadow;
    create function shadow.pg_notify(channel text, payload text) returns void language plpgsql as $$
    begin
      if (select refuses from public.gate) then raise exception 'not now' using errcode = '55P03'; end if;
      perform pg_catalog.pg_notify(channel, payload);
    end $$;
    do $$ begin execute format('alter database %I set search_path = shadow, pg_catalog, public', current_database()); end $$`);
  const heard = await listenTo(t, uri, ["publisher_test"]);
  const { publisher, publish, errors } = setUp(t, uri, 10_000);
  publisher.start();
  for (let i = 0; i < 5; i++) publish(`first ${i}`);
  await until("it is stuck", () => publisher.isStuck);
  // The bound holds meanwhile.
  for (let i = 0; i < 100; i++) publish("x".repeat(1_000));
  assert.ok(publisher.queued.bytes <= 10_000, `${publisher.queued.bytes} bytes`);
  await sql`update gate set refuses = false`;
  await within(10_000, "flushing", publisher.flush());
  await until("it has come", () => heard.length >= publisher.stats.frames);
  const all = heard.map(({ payload }) => payload).join("");
  const places = [0, 1, 2, 3, 4].map((i) => all.indexOf(`first ${i}`));
  assert.ok(places.every((place, i) => place > (places[i - 1] ?? 0)), String(places));
  assert.deepEqual(errors.map(({ code }) => code).sort(), ["BUFFER_FULL", "PUBLISH_FAILED"]);
});

test("flush() settles under load: it waits for what was published before it, and no longer", async (t) => {
  const { publisher, publish } = setUp(t, await databaseUri(), 10_000_000);
  publisher.start();
  let isLoading = true;
  t.after(() => isLoading = false);
  const load = () => {
    if (!isLoading) return;
    for (let i = 0; i < 20; i++) publish("load");
    setImmediate(load);
  };
  load();
  for (let i = 0; i < 5; i++) await within(5_000, "flushing", publisher.flush());
  isLoading = false;
});
