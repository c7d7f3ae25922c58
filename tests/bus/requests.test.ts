import assert from "node:assert/strict";
import { test } from "node:test";
import { Requests } from "../../src/bus/requests.ts";
import type { PgAdapterError } from "../../src/errors.ts";

/** All processes are there. */
const nobody = () => Promise.resolve([]);

function ask(requests: Requests, uids: string[], timeout = 60_000) {
  const outcome: { error: PgAdapterError | null; answers: unknown[] }[] = [];
  const id = requests.open(
    "fetchSockets()",
    "/",
    uids,
    timeout,
    (error, answers) => outcome.push({ error, answers }),
  );
  return { id: id ?? "", outcome };
}

test("a request is complete when everybody has answered, once each", () => {
  const requests = new Requests(nobody, 60_000);
  const { id, outcome } = ask(requests, ["a", "b"]);
  requests.answer("a", id, { ok: true, value: [1] });
  requests.answer("a", id, { ok: true, value: [1] });
  requests.answer("stranger", id, { ok: true, value: [9] });
  assert.deepEqual(outcome, []);
  requests.answer("b", id, { ok: true, value: [2, 3] });
  requests.answer("b", id, { ok: true, value: [4] });
  assert.deepEqual(outcome, [{ error: null, answers: [1, 2, 3] }]);
});

test("with nobody to ask it is complete at once", () => {
  const { outcome } = ask(new Requests(nobody, 60_000), []);
  assert.deepEqual(outcome, [{ error: null, answers: [] }]);
});

test("who leaves owes no answer, who closes another namespace does", () => {
  const requests = new Requests(nobody, 60_000);
  const { id, outcome } = ask(requests, ["a", "b"]);
  requests.answer("a", id, { ok: true, value: [1] });
  requests.release("b", "/other");
  assert.deepEqual(outcome, []);
  requests.release("b");
  assert.deepEqual(outcome, [{ error: null, answers: [1] }]);
});

test("who cannot answer fails the request, with the reason", () => {
  const requests = new Requests(nobody, 60_000);
  const { id, outcome } = ask(requests, ["a", "b"]);
  requests.answer("b", id, { ok: false, error: "a cycle" });
  assert.equal(outcome[0]?.error?.code, "REQUEST_FAILED");
  assert.match(outcome[0]?.error?.message ?? "", /server b .*a cycle/);
});

test("who does not answer in time fails the request, by name, and what came is handed over", async () => {
  const requests = new Requests(nobody, 60_000);
  const { promise, resolve } = Promise.withResolvers<
    { error: PgAdapterError | null; answers: unknown[] }
  >();
  const id = requests.open(
    "fetchSockets()",
    "/",
    ["a", "b"],
    1,
    (error, answers) => resolve({ error, answers }),
  ) ?? "";
  requests.answer("a", id, { ok: true, value: [1] });
  const { error, answers } = await promise;
  assert.equal(error?.code, "REQUEST_TIMEOUT");
  assert.match(error?.message ?? "", /only 1 responses received out of 2 .* missing b/);
  assert.deepEqual(answers, [1]);
});

test("closing fails what is open, and leaves no timer behind", () => {
  const requests = new Requests(nobody, 60_000);
  const { outcome } = ask(requests, ["a"]);
  requests.close();
  assert.equal(outcome[0]?.error?.code, "CLOSED");
});

test("who is absent and does not go either is not waited for any longer than it would count as gone", async () => {
  const requests = new Requests((uids) => Promise.resolve([...uids]), 300);
  const { promise, resolve } = Promise.withResolvers<PgAdapterError | null>();
  requests.open("fetchSockets()", "/", ["a"], 1, (error) => resolve(error));
  assert.equal((await promise)?.code, "REQUEST_TIMEOUT");
});
