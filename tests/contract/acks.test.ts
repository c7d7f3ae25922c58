import assert from "node:assert/strict";
import type { Socket as Client } from "socket.io-client";
import { type Cluster, createCluster } from "../support/cluster.ts";
import { test } from "../support/test.ts";
import { signal, until, within } from "../support/wait.ts";

type Answer = (...values: unknown[]) => void;

/** Lets each client answer `ask` with what `answer` makes of its number and the question. */
function answering(cluster: Cluster, answer: (client: number, question: unknown) => unknown): void {
  for (const [i, client] of cluster.clients.entries()) {
    client.on("ask", (question: unknown, reply: Answer) => reply(answer(i, question)));
  }
}

/** Calls with a callback, as Socket.IO's users do, and gives what the callback got. */
function called(call: (callback: (error: Error | null, answers: unknown) => void) => unknown) {
  return within(
    15_000,
    "the callback",
    new Promise<{ error: Error | null; answers: unknown }>((resolve) => {
      call((error, answers) => resolve({ error, answers }));
    }),
  );
}

/** The error of a call that should fail, with the answers that Socket.IO puts on it. */
async function failure(promise: Promise<unknown>): Promise<Error & { responses?: unknown }> {
  const { promise: failed, resolve } = signal<Error | undefined>();
  promise.then(() => resolve(undefined), resolve);
  const error = await failed;
  assert.ok(error instanceof Error, "it should have failed");
  return error;
}

test("timeout().emit() collects the answers of all clients of all servers", async (t) => {
  const cluster = await createCluster(t, { clients: 2 });
  answering(cluster, (client, question) => `${question} ${client}`);
  for (const server of [0, 1, 2]) {
    const { error, answers } = await called((callback) =>
      cluster.io(server).timeout(10_000).emit("ask", "who?", callback)
    );
    assert.equal(error, null);
    assert.deepEqual(
      (answers as string[]).sort(),
      ["who? 0", "who? 1", "who? 2", "who? 3", "who? 4", "who? 5"],
    );
  }
});

test("emitWithAck() gives the answers of the clients it reached", async (t) => {
  const cluster = await createCluster(t, { clients: 2 });
  answering(cluster, (client) => client);
  for (const i of [0, 2, 3, 5]) await cluster.socket(i).join("news");
  await cluster.socket(3).join("muted");
  const ask = async (
    operator: { emitWithAck(event: string, question: string): Promise<unknown> },
  ) => (await operator.emitWithAck("ask", "") as number[]).sort();

  assert.deepEqual(await ask(cluster.io(0).timeout(10_000)), [0, 1, 2, 3, 4, 5]);
  assert.deepEqual(await ask(cluster.io(0).to("news").timeout(10_000)), [0, 2, 3, 5]);
  assert.deepEqual(await ask(cluster.io(1).to("news").except("muted").timeout(10_000)), [0, 2, 5]);
  assert.deepEqual(await ask(cluster.socket(2).to("news").timeout(10_000)), [0, 3, 5]);
  assert.deepEqual(await ask(cluster.socket(2).broadcast.timeout(10_000)), [0, 1, 3, 4, 5]);
  assert.deepEqual(await ask(cluster.io(2).to(cluster.socket(0).id).timeout(10_000)), [0]);
});

test("a broadcast to no client at all is answered at once, with nothing", async (t) => {
  const cluster = await createCluster(t);
  const answers = cluster.io(0).to("nobody").timeout(60_000).emitWithAck("ask");
  assert.deepEqual(await within(10_000, "the empty answer", answers), []);
});

test("a client that never answers: an error in time, with the answers of the others", async (t) => {
  const cluster = await createCluster(t);
  for (const i of [0, 2]) cluster.client(i).on("ask", (reply: Answer) => reply(i));
  const asked = signal();
  cluster.client(1).on("ask", () => asked.resolve());

  const error = await failure(cluster.io(0).timeout(500).emitWithAck("ask"));
  await asked.promise;
  assert.equal(error.message, "operation has timed out");
  assert.deepEqual((error.responses as number[]).sort(), [0, 2]);

  const result = await called((callback) => cluster.io(2).timeout(500).emit("ask", callback));
  assert.equal(result.error?.message, "operation has timed out");
  assert.deepEqual((result.answers as number[]).sort(), [0, 2]);
});

test("an answer that comes too late changes nothing", async (t) => {
  const cluster = await createCluster(t, { size: 2 });
  const asked = signal<Answer>();
  cluster.client(0).on("ask", (reply: Answer) => reply("in time"));
  cluster.client(1).on("ask", (reply: Answer) => asked.resolve(reply));
  let calls = 0;
  const { error } = await called((callback) =>
    cluster.io(0).timeout(300).emit("ask", (error: Error | null, answers: unknown) => {
      calls++;
      callback(error, answers);
    })
  );
  assert.ok(error);
  (await asked.promise)("late");
  // The client's next message comes after its answer, and a server's next one after what it made of it.
  const arrived = new Promise((resolve) => cluster.socket(1).once("after", resolve));
  cluster.client(1).emit("after");
  await arrived;
  await cluster.settled();
  assert.equal(calls, 1);
});

test("answers may be anything: nothing, binary, nested, large", async (t) => {
  const cluster = await createCluster(t);
  const values = [undefined, null, false, "", { a: [1, { b: "ü🎉" }] }, "x".repeat(50_000)];
  for (const client of cluster.clients) {
    client.on("ask", (at: number, reply: Answer) => reply(values[at]));
    client.on("binary", (given: Uint8Array, reply: Answer) => reply({ given: Buffer.from(given) }));
  }
  const { id } = cluster.socket(2);
  for (const [at, value] of values.entries()) {
    const [local] = await cluster.io(2).to(id).timeout(10_000).emitWithAck("ask", at);
    const [remote] = await cluster.io(0).to(id).timeout(10_000).emitWithAck("ask", at);
    assert.deepEqual(remote, local);
    assert.deepEqual(remote ?? null, value ?? null);
  }
  const large = Buffer.alloc(30_000, 7);
  const answers = await cluster.io(0).timeout(10_000).emitWithAck("binary", large);
  assert.equal(answers.length, 3);
  for (const { given } of answers) assert.ok(large.equals(given));
});

test("a hundred questions at once each get their own answers", async (t) => {
  const cluster = await createCluster(t);
  answering(cluster, (client, question) => `${question}/${client}`);
  const questions = Array.from({ length: 100 }, (_, i) => i);
  const answers = await Promise.all(
    questions.map((i) => cluster.io(i % 3).timeout(20_000).emitWithAck("ask", i)),
  );
  for (const i of questions) {
    assert.deepEqual((answers[i] as string[]).sort(), [`${i}/0`, `${i}/1`, `${i}/2`]);
  }
});

test("clients may emit with an acknowledgement as ever", async (t) => {
  const cluster = await createCluster(t);
  cluster.socket(1).on("sum", (a: number, b: number, reply: Answer) => reply(a + b));
  assert.equal(await (cluster.client(1) as Client).timeout(10_000).emitWithAck("sum", 2, 3), 5);
});

test("one server alone gets the answers of its own clients", async (t) => {
  const cluster = await createCluster(t, { size: 1, clients: 3 });
  answering(cluster, (client) => client);
  const answers = await cluster.io(0).timeout(10_000).emitWithAck("ask", "");
  assert.deepEqual(answers.sort(), [0, 1, 2]);
});

test("eight servers answer", async (t) => {
  const cluster = await createCluster(t, { size: 8 });
  answering(cluster, (client) => client);
  const answers = await cluster.io(3).timeout(10_000).emitWithAck("ask", "");
  assert.deepEqual(answers.sort(), [0, 1, 2, 3, 4, 5, 6, 7]);
});

test("what a client never answers is forgotten on its server, too", async (t) => {
  const cluster = await createCluster(t, { size: 2 });
  for (let i = 0; i < 20; i++) {
    const answers = cluster.io(0).timeout(30).emitWithAck("nobody answers");
    await assert.rejects(answers, /timed out/);
  }
  for (const i of [0, 1]) {
    const { acks } = cluster.socket(i) as unknown as { acks: Map<number, unknown> };
    await until(`server ${i} has forgotten them`, () => acks.size === 0);
  }
});
