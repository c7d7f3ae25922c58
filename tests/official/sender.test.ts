import assert from "node:assert/strict";
import { PgAdapterError } from "../../src/errors.ts";
import type { OfficialNotification } from "../../src/official/message.ts";
import { Sender } from "../../src/official/sender.ts";
import type { OfficialStatement } from "../../src/official/statement.ts";
import { test } from "../support/test.ts";

/** A connection whose statements end when the test says how. */
class Connection {
  isUp = true;
  readonly running: { statement: OfficialStatement; end(fault?: unknown): Promise<void> }[] = [];

  run(statement: OfficialStatement): Promise<Record<string, unknown>[]> {
    return new Promise((resolve, reject) => {
      this.running.push({
        statement,
        end: async (fault) => {
          if (fault === undefined) resolve([]);
          else reject(fault);
          await turn();
        },
      });
    });
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function message(payload: string, attachment?: Uint8Array): OfficialNotification {
  return { channel: "c", payload, bytes: 10, ...attachment && { attachment } };
}

/** What PostgreSQL refuses something with. */
function refusal(code: string): Error {
  return Object.assign(new Error(`refused with ${code}`), { code });
}

function create(maxBuffer = 1_000) {
  const connection = new Connection();
  const errors: PgAdapterError[] = [];
  const sender = new Sender(connection, "t", maxBuffer, (error) => errors.push(error));
  /** The payloads of each statement so far. */
  const sent = () =>
    connection.running.map(({ statement }) => statement.parameters.filter((text) => text !== "c"));
  return { connection, errors, sender, sent };
}

test("one statement at a time; what was emitted meanwhile goes with the next one", async () => {
  const { connection, sender, sent } = create();
  sender.send(message("1"));
  sender.send(message("2"));
  await turn();
  sender.send(message("3"));
  sender.send(message("4", new Uint8Array([0])));
  sender.send(message("5"));
  sender.send(message("6"));
  await turn();
  assert.deepEqual(sent(), [["1", "2"]]);
  for (let i = 0; i < 4; i++) await connection.running[i]!.end();
  assert.deepEqual(sent(), [["1", "2"], ["3"], ["AA==", "4"], ["5", "6"]]);
  await sender.flush();
  assert.deepEqual(sender.stats, { sent: 6, dropped: 0 });
});

test("what is refused takes nothing else with it, and what passes is tried again", async () => {
  const { connection, sender, errors, sent } = create();
  sender.send(message("1"));
  await turn();
  sender.send(message("2"));
  await connection.running[0]!.end(refusal("22000"));
  assert.deepEqual(errors.map(({ code }) => code), ["PUBLISH_FAILED"]);
  await connection.running[1]!.end(refusal("55P03"));
  while (connection.running.length < 3) await turn();
  assert.deepEqual(sent(), [["1"], ["2"], ["2"]]);
  await connection.running[2]!.end();
  assert.deepEqual(sender.stats, { sent: 1, dropped: 1 });
  assert.equal(errors.length, 1);
});

test("a statement whose connection was lost is not sent again; what waits is, later", async () => {
  const { connection, sender, errors, sent } = create();
  sender.send(message("1"));
  await turn();
  sender.send(message("2"));
  connection.isUp = false;
  await connection.running[0]!.end(new PgAdapterError("CONNECTION_LOST", "lost"));
  sender.send(message("3"));
  await turn();
  assert.deepEqual(sent(), [["1"]]);
  connection.isUp = true;
  sender.resume();
  await turn();
  assert.deepEqual(sent(), [["1"], ["2", "3"]]);
  await connection.running[1]!.end();
  assert.deepEqual(sender.stats, { sent: 2, dropped: 1 });
  assert.deepEqual(errors, []);
});

test("the table is made once, and who may not is told", async () => {
  const { connection, sender, errors } = create();
  sender.send(message("1", new Uint8Array([1])));
  await turn();
  await connection.running[0]!.end(refusal("42P01"));
  assert.match(connection.running[1]!.statement.text, /^create table if not exists t /);
  // Another server was faster.
  await connection.running[1]!.end(refusal("23505"));
  await connection.running[2]!.end();
  sender.send(message("2", new Uint8Array([1])));
  await turn();
  await connection.running[3]!.end(refusal("42P01"));
  await connection.running[4]!.end(refusal("42501"));
  assert.deepEqual(sender.stats, { sent: 1, dropped: 1 });
  assert.deepEqual(errors.map(({ code }) => code), ["ATTACHMENTS_UNAVAILABLE"]);
});

test("past maxBuffer the oldest are dropped, and that is told once an outage", async () => {
  const { connection, sender, errors, sent } = create(30);
  connection.isUp = false;
  for (const payload of ["1", "2", "3", "4", "5"]) sender.send(message(payload));
  assert.deepEqual(errors.map(({ code }) => code), ["BUFFER_FULL"]);
  connection.isUp = true;
  sender.resume();
  await turn();
  assert.deepEqual(sent(), [["3", "4", "5"]]);
  await connection.running[0]!.end();
  assert.deepEqual(sender.stats, { sent: 3, dropped: 2 });
});
