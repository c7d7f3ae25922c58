/** Making a connection ready for the log: what is tried again, and what is told. */
import assert from "node:assert/strict";
import type { Rows, Session } from "../../src/bus/session.ts";
import { beginLog } from "../../src/recovery/schema.ts";
import { test } from "../support/test.ts";

/** A connection on which making the tables fails with these conditions, one after the other. */
function connection(codes: string[]): { session: Session; made: () => number } {
  let [isMade, made] = [false, 0];
  const query = (text: string): Promise<Rows> => {
    if (text.includes("recovery_begin(") && text.startsWith("select")) {
      return Promise.resolve([{ last: "7" }] as unknown as Rows);
    }
    if (text.startsWith("select")) {
      if (isMade) return Promise.resolve([{ version: 1, durable: false }] as unknown as Rows);
      return Promise.reject(Object.assign(new Error("missing"), { code: "3F000" }));
    }
    made++;
    const code = codes.shift();
    if (code !== undefined) return Promise.reject(Object.assign(new Error("refused"), { code }));
    isMade = true;
    return Promise.resolve([] as unknown as Rows);
  };
  return { session: { query } as unknown as Session, made: () => made };
}

test("a lock that others hold, and a deadlock with them, is tried again", async () => {
  const { session, made } = connection(["40P01", "55P03", "40P01"]);
  assert.equal(await beginLog(session, 1_000, false), 7);
  assert.equal(made(), 4);
});

test("it is not tried for ever: with another connection it may succeed", async () => {
  const { session, made } = connection(Array.from({ length: 50 }, () => "40P01"));
  await assert.rejects(beginLog(session, 1_000, false), { code: "40P01" });
  assert.equal(made(), 10);
});

test("what another attempt would not change is told at once, with the remedy", async () => {
  const { session, made } = connection(["42501"]);
  await assert.rejects(beginLog(session, 1_000, false), {
    code: "RECOVERY_UNAVAILABLE",
    message: /install-sql --recovery --print/,
  });
  assert.equal(made(), 1);
});
