import assert from "node:assert/strict";
import { createCluster, knowEachOther } from "../support/cluster.ts";
import { test } from "../support/test.ts";
import { within } from "../support/wait.ts";

type Answer = (value?: unknown) => void;

test("serverSideEmit() reaches the other servers, not its own", async (t) => {
  const cluster = await createCluster(t);
  const seen: unknown[][] = [];
  for (const i of [0, 1, 2]) {
    cluster.io(i).on("hello", (...args: unknown[]) => seen.push([i, ...args]));
  }
  cluster.io(0).serverSideEmit("hello", 1, "2", { 3: [4] }, null);
  cluster.io(0).serverSideEmit("hello");
  await cluster.settled();
  const args = [1, "2", { 3: [4] }, null];
  assert.deepEqual(seen.sort(), [[1], [1, ...args], [2], [2, ...args]]);
});

test("serverSideEmit() goes to its namespace alone, and to no client", async (t) => {
  const cluster = await createCluster(t);
  const seen: string[] = [];
  for (const i of [0, 1, 2]) {
    cluster.io(i).on("hello", () => seen.push(`${i} main`));
    cluster.io(i).of("/other").on("hello", () => seen.push(`${i} other`));
  }
  await knowEachOther(cluster.servers, "/other");
  cluster.io(2).of("/other").serverSideEmit("hello");
  assert.deepEqual(await cluster.receivers("hello"), []);
  assert.deepEqual(seen.sort(), ["0 other", "1 other"]);
});

test("serverSideEmit() keeps its order, whatever the size", async (t) => {
  const cluster = await createCluster(t);
  const seen: number[] = [];
  cluster.io(1).on("n", (n: number) => seen.push(n));
  for (let n = 0; n < 200; n++) {
    cluster.io(0).serverSideEmit("n", n, n % 10 === 0 ? "x".repeat(20_000) : "");
  }
  await cluster.settled();
  assert.deepEqual(seen, Array.from({ length: 200 }, (_, n) => n));
});

test("serverSideEmitWithAck() gives the answers of the other servers", async (t) => {
  const cluster = await createCluster(t);
  for (const i of [0, 1, 2]) {
    cluster.io(i).on("double", (n: number, answer: Answer) => answer([i, n * 2]));
  }
  const answers = await cluster.io(1).serverSideEmitWithAck("double", 21);
  assert.deepEqual(answers.sort(), [[0, 42], [2, 42]]);
});

test("serverSideEmit() with a callback gives no error and the answers", async (t) => {
  const cluster = await createCluster(t);
  for (const i of [0, 1, 2]) cluster.io(i).on("who", (answer: Answer) => answer(i));
  const [error, answers] = await within(
    10_000,
    "the callback",
    new Promise<[Error | null, number[]]>((resolve) => {
      cluster.io(0).serverSideEmit("who", (error: Error | null, answers: number[]) => {
        resolve([error, answers]);
      });
    }),
  );
  assert.equal(error, null);
  assert.deepEqual(answers.sort(), [1, 2]);
});

test("a server that answers twice counts once, and may answer nothing", async (t) => {
  const cluster = await createCluster(t);
  cluster.io(1).on("ask", (answer: Answer) => {
    answer("first");
    answer("second");
  });
  cluster.io(2).on("ask", (answer: Answer) => answer());
  const answers = await cluster.io(0).serverSideEmitWithAck("ask");
  assert.equal(answers.length, 2);
  assert.deepEqual(answers.filter((answer: unknown) => typeof answer === "string"), ["first"]);
});

test("a server that does not answer: an error in time, with the answers of the others", async (t) => {
  const cluster = await createCluster(t, { adapter: { requestsTimeout: 400 } });
  cluster.io(1).on("ask", (answer: Answer) => answer("one"));
  cluster.io(2).on("ask", () => {});
  await assert.rejects(cluster.io(0).serverSideEmitWithAck("ask"), (error: Error) => {
    const { code, responses } = error as Error & { code?: unknown; responses?: unknown };
    assert.equal(code, "REQUEST_TIMEOUT");
    assert.deepEqual(responses, ["one"]);
    return true;
  });
});

test("a server that leaves before it answers is not waited for", async (t) => {
  const cluster = await createCluster(t, { adapter: { requestsTimeout: 60_000 } });
  cluster.io(1).on("ask", (answer: Answer) => answer("one"));
  cluster.io(2).on("ask", () => cluster.closeServer(2));
  const answers = cluster.io(0).serverSideEmitWithAck("ask");
  assert.deepEqual(await within(10_000, "the answer", answers), ["one"]);
});

test("one server alone is answered with nothing, at once", async (t) => {
  const cluster = await createCluster(t, { size: 1, adapter: { requestsTimeout: 60_000 } });
  const answers = cluster.io(0).serverSideEmitWithAck("ask");
  assert.deepEqual(await within(10_000, "the answer", answers), []);
});

test("a namespace of one server alone is answered with nothing, at once", async (t) => {
  const cluster = await createCluster(t, { adapter: { requestsTimeout: 60_000 } });
  const own = cluster.io(0).of("/own");
  assert.deepEqual(await within(10_000, "the answer", own.serverSideEmitWithAck("ask")), []);
  assert.equal(await own.adapter.serverCount(), 1);
});

test("reserved event names are refused, as in Socket.IO", async (t) => {
  const cluster = await createCluster(t, { size: 1 });
  for (const event of ["connection", "connect", "new_namespace"]) {
    assert.throws(() => cluster.io(0).serverSideEmit(event), /reserved event name/);
  }
});

test("a handler that throws takes nothing from the others", async (t) => {
  const cluster = await createCluster(t);
  cluster.io(1).on("ask", () => {
    throw new Error("a fault of the application");
  });
  const seen: number[] = [];
  for (const i of [1, 2]) cluster.io(i).on("after", () => seen.push(i));
  cluster.io(0).serverSideEmit("ask");
  cluster.io(0).serverSideEmit("after");
  assert.deepEqual(await cluster.receivers("unrelated"), []);
  assert.deepEqual(seen.sort(), [1, 2]);
  const [error] = cluster.errors.splice(0) as (Error & { code?: string })[];
  assert.equal(error?.code, "HANDLER_FAILED");
  assert.equal((error?.cause as Error).message, "a fault of the application");
});
