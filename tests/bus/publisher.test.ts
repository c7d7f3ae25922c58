import assert from "node:assert/strict";
import { Publisher } from "../../src/bus/publisher.ts";
import { connectionSettings } from "../../src/bus/settings.ts";
import type { PgAdapterError } from "../../src/errors.ts";
import { createUid } from "../../src/wire/frame.ts";
import { databaseUri } from "../support/database.ts";
import type { Sql } from "postgres";
import { connectSql, createDatabase, listenTo } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";
import { until, within } from "../support/wait.ts";

const LIMITS = { connect: 5_000, statement: 5_000, isOwn: true };

function setUp(
  t: Scope,
  uri: string,
  maxBuffer: number,
  { limits = LIMITS, told = () => {} }: { limits?: typeof LIMITS; told?: () => void } = {},
) {
  const errors: PgAdapterError[] = [];
  const lost: PgAdapterError[] = [];
  const publisher = new Publisher(
    createUid(),
    connectionSettings(uri),
    limits,
    { maxPayload: 1_000_000, maxBuffer, replayWindow: 30_000, replayBuffer: 1_000_000 },
    undefined,
    {
      up: () => {},
      down: (error) => lost.push(error),
      failed: () => {},
      stuck: () => {},
      confirmed: () => {},
      sending: () => {},
      logged: () => {},
      refused: () => {},
      refusedFrame: () => {},
      unsent: () => {},
      error: (error) => {
        errors.push(error);
        told();
      },
    },
  );
  t.after(() => publisher.close());
  const publish = (value: string) =>
    publisher.publish("publisher_test", { type: 4, nsp: "/", value });
  return { publisher, publish, errors, lost };
}

test("what waits while the database is away is bounded: the oldest goes, and that is told once", (t) => {
  const { publisher, publish, errors } = setUp(t, "postgresql://u@127.0.0.1:1/d", 10_000);
  for (let i = 0; i < 100; i++) publish("x".repeat(1_000));
  assert.ok(publisher.queued.bytes <= 10_000, `${publisher.queued.bytes} bytes`);
  assert.equal(publisher.queued.messages + publisher.stats.dropped, 100);
  assert.deepEqual(errors.map(({ code }) => code), ["BUFFER_FULL"]);
});

/** A database with a function that is found instead of pg_notify, and may refuse before it does the same. */
async function createGate(
  t: Scope,
  tables: string,
  body: string,
): Promise<{ uri: string; sql: Sql }> {
  const { uri } = await createDatabase(t, await databaseUri());
  const sql = connectSql(t, uri);
  await sql.unsafe(`
    ${tables};
    create schema shadow;
    create function shadow.pg_notify(channel text, payload text) returns void language plpgsql as $$
    begin
      ${body};
      perform pg_catalog.pg_notify(channel, payload);
    end $$;
    do $$ begin execute format('alter database %I set search_path = shadow, pg_catalog, public', current_database()); end $$`);
  return { uri, sql };
}

test("a statement that PostgreSQL refuses for now is sent again, in order, and told once", async (t) => {
  // As NOTIFY does while a stranger holds its lock.
  const { uri, sql } = await createGate(
    t,
    "create table gate (refuses boolean); insert into gate values (true)",
    "if (select refuses from public.gate) then raise exception 'not now' using errcode = '55P03'; end if",
  );
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

test("flush() settles under load: when what was published before it is committed, and no later", async (t) => {
  const { uri, sql } = await createGate(
    t,
    "create table sent (payload text)",
    "if channel = 'marks' then insert into public.sent values (payload); end if",
  );
  const { publisher, publish } = setUp(t, uri, 10_000_000);
  publisher.start();
  let isLoading = true;
  t.after(() => isLoading = false);
  const load = () => {
    if (!isLoading) return;
    while (publisher.queued.bytes < 1_000_000) publish("load".repeat(500));
    setImmediate(load);
  };
  load();
  for (let i = 0; i < 20; i++) {
    publisher.publish("marks", { type: 4, nsp: "/", value: `marker ${i};` });
    await within(5_000, "flushing", publisher.flush());
    assert.ok(!publisher.isIdle, "it is under load");
    const rows = await sql`select from sent where payload like ${`%marker ${i};%`}`;
    assert.equal(rows.length, 1, `marker ${i}`);
  }
});

test("flush() waits for what goes before everything else", async (t) => {
  const { uri, sql } = await createGate(
    t,
    "create table sent (payload text)",
    `insert into public.sent values (payload);
      if payload like '%urgent%' then perform pg_sleep(0.2); end if`,
  );
  const { publisher, publish } = setUp(t, uri, 10_000_000);
  publisher.start();
  publish("first");
  await publisher.flush();
  for (let i = 0; i < 3; i++) {
    publish("under way");
    // It is sent by then.
    await Promise.resolve();
    publisher.control("publisher_test", "q", `urgent ${i};`);
    await within(5_000, "flushing", publisher.flush());
    const rows = await sql`select from sent where payload like ${`%urgent ${i};%`}`;
    assert.equal(rows.length, 1, `urgent ${i}`);
  }
});

/** The numbers of messages, as they arrived. */
function numbersIn(payloads: readonly { payload: string }[]): number[] {
  return payloads.flatMap(({ payload }) =>
    [...payload.matchAll(/"v":"(\d+);/g)].map(([, number]) => Number(number))
  );
}

for (const [code, isPassing] of [["55P03", true], ["22023", false]] as const) {
  test(
    `what PostgreSQL refuses (${code}) is not overtaken by what is under way behind it`,
    async (t) => {
      // A sequence counts on also when its transaction is rolled back: what is sent again gets through.
      const { uri } = await createGate(
        t,
        "create sequence calls",
        `if nextval('public.calls') % 211 = 0 then
        raise exception 'not this one' using errcode = '${code}';
      end if`,
      );
      const heard = await listenTo(t, uri, ["publisher_test"]);
      const { publisher, publish, errors } = setUp(t, uri, 100_000_000);
      publisher.start();
      const count = 9_000;
      // Of several statements each; the first time each statement is prepared.
      for (let n = 0, round = 0; round < 3; round++) {
        for (; n < count * (round + 1) / 3; n++) publish(`${n};${"x".repeat(n % 1_000)}`);
        await within(30_000, "flushing", publisher.flush());
      }
      await until("it has come", () => heard.length >= publisher.stats.frames);
      const numbers = numbersIn(heard);
      assert.deepEqual(numbers, [...numbers].sort((a, b) => a - b));
      assert.equal(new Set(numbers).size, numbers.length);
      if (isPassing) assert.equal(numbers.length, count);
      else assert.equal(numbers.length, count - publisher.stats.dropped);
      assert.ok(errors.length > 0, "it was refused");
    },
    { deadline: 60_000 },
  );
}

test("a refusal for good of what is under way behind one for now costs nothing else", async (t) => {
  const { uri, sql } = await createGate(
    t,
    "create table gate (refuses boolean); insert into gate values (false)",
    "if (select refuses from public.gate) then raise exception 'not now' using errcode = '55P03'; end if",
  );
  const heard = await listenTo(t, uri, ["publisher_test"]);
  const { publisher, publish, errors } = setUp(t, uri, 100_000_000);
  publisher.start();
  let n = 0;
  const publishMuch = () => {
    for (let i = 0; i < 400; i++) publish(`${n++};${"x".repeat(1_000)}`);
  };
  // Each statement is prepared first.
  publishMuch();
  await within(10_000, "flushing", publisher.flush());
  await sql`update gate set refuses = true`;
  publishMuch();
  // PostgreSQL cannot even read it.
  publisher.publish("no\0channel", { type: 4, nsp: "/", value: "lost" });
  publishMuch();
  await until("both are refused", () => errors.length > 0);
  await sql`update gate set refuses = false`;
  await within(10_000, "flushing", publisher.flush());
  await until("it has come", () => heard.length >= publisher.stats.frames);
  const numbers = numbersIn(heard);
  assert.deepEqual(numbers, [...numbers].sort((a, b) => a - b));
  assert.equal(new Set(numbers).size, numbers.length);
  // Some were in one statement with it.
  assert.equal(numbers.length, n + 1 - publisher.stats.dropped);
  assert.deepEqual(errors.map(({ message }) => /not now/.test(message)), [true, false]);
});

test("what is published as a refusal is told comes in its turn", async (t) => {
  // The queue is full once, so that statements are small, and one at a time.
  const { uri } = await createGate(
    t,
    "create sequence full_calls; create sequence bad_calls",
    `if channel = 'full' and nextval('public.full_calls') = 1 then
        raise exception 'full' using errcode = '54000';
      end if;
      if channel = 'bad' and nextval('public.bad_calls') = 1 then
        raise exception 'bad' using errcode = '22023';
      end if`,
  );
  const heard = await listenTo(t, uri, ["publisher_test"]);
  const dropped = await listenTo(t, uri, ["bad"]);
  let n = 0;
  const { publisher, publish, errors } = setUp(t, uri, 100_000_000, {
    told: () => publish(`${n++};told`),
  });
  publisher.start();
  publisher.publish("full", { type: 4, nsp: "/", value: "full" });
  await within(10_000, "flushing", publisher.flush());
  publisher.publish("bad", { type: 4, nsp: "/", value: "bad" });
  for (let i = 0; i < 900; i++) publish(`${n++};${"x".repeat(1_000)}`);
  await within(20_000, "flushing", publisher.flush());
  await within(10_000, "flushing", publisher.flush());
  await until("it has come", () => numbersIn(heard).length >= n);
  assert.deepEqual(numbersIn(heard), Array.from({ length: n }, (_, i) => i));
  assert.equal(errors.length, 2);
  assert.equal(publisher.stats.dropped, 1);
  assert.deepEqual(dropped, []);
});

test("each statement has its own time, also behind others", async (t) => {
  const { uri, sql } = await createGate(
    t,
    "create table slow (at timestamptz)",
    `if channel = 'slow' then
      perform pg_sleep(0.9);
      insert into public.slow values (clock_timestamp());
    end if`,
  );
  const limits = { ...LIMITS, statement: 2_000 };
  const { publisher, publish, errors, lost } = setUp(t, uri, 100_000_000, { limits });
  publisher.start();
  await until("it is connected", () => publisher.isUp);
  for (let i = 0; i < 4; i++) {
    publisher.publish("slow", { type: 4, nsp: "/", value: "slow" });
    for (let j = 0; j < 300; j++) publish("x".repeat(1_000));
  }
  await within(15_000, "flushing", publisher.flush());
  assert.equal((await sql`select from slow`).length, 4);
  assert.deepEqual([...errors, ...lost], []);
});

test("a loop that publishes much is on its way before it is over", async (t) => {
  const { uri, sql } = await createGate(
    t,
    "create table sent (at timestamptz)",
    "insert into public.sent values (clock_timestamp())",
  );
  const { publisher, publish } = setUp(t, uri, 100_000_000);
  publisher.start();
  await until("it is connected", () => publisher.isUp);
  const loop = () => {
    for (let n = 0; n < 200; n++) publish("x".repeat(5_000));
  };
  // Each statement is prepared first.
  loop();
  await publisher.flush();
  await sql`truncate sent`;
  loop();
  const end = performance.now() + 1_000;
  while (performance.now() < end);
  const [row] = await sql<{ early: number }[]>`
    select count(*)::integer as early from sent where at < clock_timestamp() - interval '0.5 s'`;
  assert.ok(row!.early > 0);
  await publisher.flush();
});
