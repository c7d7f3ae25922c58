/** What PostgreSQL refuses for a while is sent again after a pause, and never once the connection is closed. */
import assert from "node:assert/strict";
import { Refusals } from "../../src/bus/refusals.ts";
import type { Session } from "../../src/bus/session.ts";
import { QUEUE_FULL } from "../../src/bus/sql_state.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

function setUp() {
  const told: string[] = [];
  const refusals = new Refusals({
    refused: () => told.push("refused"),
    stuck: () => told.push("stuck"),
    again: () => told.push("again"),
  });
  const asked: string[] = [];
  const session = {
    query: (text: string) => {
      asked.push(text);
      return Promise.reject(new Error("lost"));
    },
  } as unknown as Session;
  const add = (code: string) => refusals.add(session, Object.assign(new Error(code), { code }));
  return { refusals, told, asked, add };
}

test("a refusal that passes is told once, and tried again after a look at the queue", async () => {
  const { refusals, told, asked, add } = setUp();
  assert.ok(add(QUEUE_FULL));
  assert.ok(refusals.isPausing);
  await until("it is tried again", () => told.includes("again"));
  assert.ok(!refusals.isPausing);
  assert.equal(asked.length, 1);
  assert.ok(add(QUEUE_FULL));
  assert.deepEqual(told, ["refused", "again"]);
  refusals.close();
});

test("what is refused for good is not tried again", () => {
  const { refusals, told, add } = setUp();
  assert.ok(!add("42501"));
  assert.ok(!refusals.isPausing);
  assert.deepEqual(told, []);
});

test("an answer that comes while the connection is closed starts no pause", () => {
  const { refusals, told, add } = setUp();
  refusals.close();
  assert.ok(add(QUEUE_FULL));
  assert.ok(!refusals.isPausing);
  assert.deepEqual(told, ["refused"]);
});
