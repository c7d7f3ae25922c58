/** The statements that notify and keep: one order of numbers, rows and notifications, whichever form they have. */
import assert from "node:assert/strict";
import { type Loggable, loggedNumbers, logStatement } from "../../src/recovery/log_statement.ts";
import { recoverySqlText } from "../../src/recovery/schema.ts";
import { databaseUri } from "../support/database.ts";
import { connectSql, createDatabase, listenTo } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";
import { until } from "../support/wait.ts";

const UID = "0123456789abcdef";
const CHANNEL = "socket.io:/";

/** A database with a log, and what one process does with it. */
async function createLog(scope: Scope) {
  const { uri } = await createDatabase(scope, await databaseUri());
  const sql = connectSql(scope, uri);
  await sql.unsafe(recoverySqlText());
  const heard = await listenTo(scope, uri, [CHANNEL, "socket.io:~"]);
  return {
    heard,
    /** Sends frames by one statement, as a publisher does. */
    async send(frames: readonly Loggable[]): Promise<(number | undefined)[]> {
      const { text, parameters } = logStatement(UID, frames);
      const [row = {}] = await sql.unsafe(text, parameters, { prepare: true });
      return loggedNumbers(row, frames.length);
    },
    rows: () =>
      sql<{ number: number; key: string; channel: string; origin: string; frame: string }[]>`
        select number::float8, key, channel, origin, frame from socketio.recovery_packets order by number`,
  };
}

/** Every third one is not kept, and payloads have what needs care where texts are put together. */
function frameOf(sequence: number): Loggable {
  const isKept = sequence % 3 !== 0;
  return {
    channel: isKept ? CHANNEL : "socket.io:~",
    payload: `${sequence} {"a",NULL,\\} 漢🙂`,
    sequence,
    ...isKept && { key: sequence % 2 === 0 ? CHANNEL : `socket.io:/:{"room" ${sequence},}#` },
  };
}

for (const count of [1, 7, 8, 128]) {
  test(`${count} frames are numbered, kept and notified in their order`, async (t) => {
    const { heard, send, rows } = await createLog(t);
    const frames = Array.from({ length: count }, (_, i) => frameOf(i + 1));
    const numbers = [...await send(frames), ...await send([frameOf(count + 1)])];
    const all = [...frames, frameOf(count + 1)];
    await until("all is heard", () => heard.length === all.length);
    assert.deepEqual(
      heard,
      all.map(({ channel, payload }, i) => ({
        channel,
        payload: numbers[i] === undefined ? payload : `@${numbers[i]};${payload}`,
      })),
    );
    assert.deepEqual(
      [...await rows()],
      all.flatMap(({ key, channel, payload, sequence }, i) =>
        key === undefined
          ? []
          : { number: numbers[i], key, channel, origin: `${UID}:${sequence}`, frame: payload }
      ),
    );
    const given = numbers.filter((number) => number !== undefined);
    assert.deepEqual(given, given.toSorted((a, b) => a - b));
    assert.equal(new Set(given).size, all.filter(({ key }) => key !== undefined).length);
  });
}

test("what is sent again finds its number, and what is new among it gets one", async (t) => {
  const { heard, send, rows } = await createLog(t);
  const [before = 0] = await send([frameOf(1)]);
  const committed = [2, 3, 4, 5].map(frameOf);
  const numbers = await send(committed);
  // From 6 on they were in a statement that was not committed.
  const again = [...committed, frameOf(6), frameOf(7), frameOf(8), frameOf(9)].map((frame) => ({
    ...frame,
    after: before,
  }));
  const found = await send(again);
  assert.deepEqual(found.slice(0, 4), numbers);
  const last = numbers.findLast((number) => number !== undefined)!;
  assert.deepEqual(found.slice(4), [undefined, last + 128, last + 256, undefined]);
  assert.equal((await rows()).length, 6);
  await until("all is heard", () => heard.length === 1 + 4 + 8);
  assert.deepEqual(
    heard.slice(-8).map(({ payload }) => payload),
    again.map(({ payload }, i) => found[i] === undefined ? payload : `@${found[i]};${payload}`),
  );
});

test("statements of several processes do not mix: numbers come in the order in which all is heard", async (t) => {
  const { uri } = await createDatabase(t, await databaseUri());
  await connectSql(t, uri).unsafe(recoverySqlText());
  const heard = await listenTo(t, uri, [CHANNEL]);
  let sent = 0;
  const writers = Array.from({ length: 4 }, () => connectSql(t, uri));
  await Promise.all(writers.map(async (sql, writer) => {
    for (let n = 0; n < 20; n++) {
      const frames = Array.from({ length: 1 + n % 16 }, (_, i): Loggable => ({
        channel: CHANNEL,
        payload: `${writer} ${n} ${i}`,
        sequence: n * 16 + i + 1,
        key: CHANNEL,
      }));
      const { text, parameters } = logStatement(`${UID}${writer}`, frames);
      await sql.unsafe(text, parameters, { prepare: true });
      sent += frames.length;
    }
  }));
  await until("all is heard", () => heard.length === sent);
  const numbers = heard.map(({ payload }) => Number(/^@(\d+);/.exec(payload)?.[1]));
  assert.deepEqual(numbers, numbers.toSorted((a, b) => a - b));
});
