/** The context of a trace travels with messages, to whoever the application has made to carry it. */
import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import type { PgAdapterOptions, PgAdapterTracing, TraceContext } from "../../mod.ts";
import { Emitter } from "../../src/emitter.ts";
import { createCluster } from "../support/cluster.ts";
import { test } from "../support/test.ts";
import { next, until } from "../support/wait.ts";

/** A request of the application, which is known wherever what it sends is delivered. */
class Requests {
  readonly current: AsyncLocalStorage<string> = new AsyncLocalStorage();
  /** What was sent and delivered: method, namespace and request. */
  readonly sent: string[] = [];
  readonly delivered: string[] = [];
  readonly tracing: PgAdapterTracing = {
    send: ({ verb, nsp }) => {
      const request = this.current.getStore();
      this.sent.push(`${verb} ${nsp} ${request}`);
      return request === undefined ? undefined : { request };
    },
    receive: ({ verb, nsp }, { request = "none" }, deliver) => {
      this.delivered.push(`${verb} ${nsp} ${request}`);
      this.current.run(request, deliver);
    },
  };
}

test("what is sent in a request is delivered in it by the other servers, and by them alone", async (t) => {
  const servers = [new Requests(), new Requests(), new Requests()];
  const cluster = await createCluster(t, {
    adapter: (server): PgAdapterOptions => ({ tracing: servers[server]!.tracing }),
  });
  const [first, second, third] = servers as [Requests, Requests, Requests];
  const io = cluster.io(0);
  const seen: (string | undefined)[] = [];
  cluster.io(1).on("job", (answer: (value: unknown) => void) => {
    seen.push(second.current.getStore());
    // What a listener emits is part of the same request.
    cluster.io(1).serverSideEmit("follow-up");
    answer("done");
  });
  cluster.io(2).on("job", (answer: (value: unknown) => void) => answer("done"));
  const followed = next(cluster.io(2).sockets, "follow-up");
  const client = cluster.client(2);
  const arrived = next(client, "news");
  const answers = await first.current.run("r1", () => {
    io.emit("news");
    // Goes through PostgreSQL with recovery, and is for nobody else.
    io.local.emit("news");
    io.of("/").to("nobody").socketsJoin("room");
    return io.serverSideEmitWithAck("job");
  });
  await arrived;
  await followed;
  assert.deepEqual(answers, ["done", "done"]);
  assert.deepEqual(seen, ["r1"]);
  const own = ["emit / r1", "socketsJoin / r1", "serverSideEmit / r1"];
  assert.deepEqual(first.sent, own);
  assert.deepEqual(second.delivered, own);
  assert.deepEqual(second.sent, ["serverSideEmit / r1"]);
  // Two servers have no order between them.
  assert.deepEqual(third.delivered.toSorted(), [...own, "serverSideEmit / r1"].toSorted());
  assert.deepEqual(first.delivered, ["serverSideEmit / r1"]);
  // Nothing of it is left where it was delivered.
  io.emit("untraced");
  await next(client, "untraced");
  assert.equal(third.delivered.at(-1), "emit / none");
});

test("an emitter carries a request to the servers, also in a batch, and a typed message none", async (t) => {
  const server = new Requests(), worker = new Requests();
  const cluster = await createCluster(t, { size: 1, adapter: { tracing: server.tracing } });
  const emitter = new Emitter(cluster.uri, { prefix: cluster.prefix, tracing: worker.tracing });
  t.after(() => emitter.close());
  const arrived = next(cluster.client(0), "last");
  await worker.current.run("r2", async () => {
    await emitter.of("/").to("a").emit("one");
    await emitter.batch((batch) => void batch.emit("two"));
  });
  await emitter.emit("last");
  await arrived;
  assert.deepEqual(worker.sent, ["emit / r2", "emit / r2", "emit / undefined"]);
  assert.deepEqual(server.delivered, ["emit / r2", "emit / r2", "emit / none"]);
});

test("a tracing that throws disturbs no message, and is told of once", async (t) => {
  const fails = (): never => {
    throw new Error("the tracer is broken");
  };
  let calls = 0;
  const broken: PgAdapterTracing[] = [
    { send: fails, receive: fails },
    // Delivers twice, and then throws.
    {
      receive: (_message, _context, deliver) => {
        deliver();
        deliver();
        calls++;
        fails();
      },
    },
    // Does not deliver, and throws nothing.
    {
      receive: () => {
        calls++;
        throw undefined;
      },
    },
  ];
  const cluster = await createCluster(t, {
    adapter: (server) => ({ tracing: broken[server]! }),
  });
  const inboxes = cluster.clients.map((client) => {
    const inbox: number[] = [];
    client.on("n", (n: number) => inbox.push(n));
    return inbox;
  });
  for (const [server, { io }] of cluster.servers.entries()) {
    for (let n = 0; n < 3; n++) io.emit("n", 3 * server + n);
  }
  await until("all have come", () => inboxes.every(({ length }) => length >= 9));
  for (const inbox of inboxes) {
    assert.deepEqual(inbox.toSorted((a, b) => a - b), Array.from({ length: 9 }, (_, n) => n));
  }
  assert.equal(calls, 12);
  const told = (method: string, what = "the tracer is broken") =>
    `The method ${method}() of the option "tracing" threw: ${what}`;
  // Of the first server both, of each other one.
  const errors = cluster.errors.splice(0).map(({ message }) => message);
  assert.deepEqual(errors.toSorted(), [
    told("receive"),
    told("receive"),
    told("receive", "undefined"),
    told("send"),
  ]);
});

test("a listener that throws is told of as without tracing, and the tracer hears of it", async (t) => {
  const heard: unknown[] = [];
  const tracing: PgAdapterTracing = {
    receive(_message, _context, deliver) {
      try {
        deliver();
      } catch (fault) {
        heard.push(fault);
        throw fault;
      }
    },
  };
  const cluster = await createCluster(t, { size: 2, adapter: { tracing } });
  cluster.io(1).on("job", () => {
    throw new Error("the listener is broken");
  });
  cluster.io(0).serverSideEmit("job");
  await until("it is told", () => cluster.errors.length > 0);
  const [error] = cluster.errors.splice(0);
  assert.match(error!.message, /^A listener of the application threw .*: the listener is broken$/);
  assert.equal(String(heard[0]), "Error: the listener is broken");
});

test("a tracing that is asynchronous disturbs nothing, and is told of", async (t) => {
  const tracing: PgAdapterTracing = {
    send: () => Promise.reject(new Error("too late")) as unknown as TraceContext,
    // deno-lint-ignore require-await -- that is what is tried
    receive: async ({ rooms }, _context, deliver) => {
      deliver();
      if (rooms.length > 0) throw new Error("late, too");
    },
  };
  const cluster = await createCluster(t, { size: 2, adapter: { tracing } });
  cluster.io(1).on("job", () => {
    throw new Error("the listener is broken");
  });
  cluster.io(0).serverSideEmit("job");
  cluster.io(0).to(cluster.client(1).id!).emit("news");
  await next(cluster.client(1), "news");
  await until("all is told", () => cluster.errors.length >= 4);
  const start =
    /^(A listener of the application|The method (send|receive)\(\)) .* (threw|delivered): /;
  assert.deepEqual(
    cluster.errors.splice(0).map(({ message }) => message.replace(start, "")).toSorted(),
    [
      "it returns a promise, and nothing can wait for that",
      "late, too",
      "the listener is broken",
      "too late",
    ],
  );
});

test("what does not fit beside the fields before it is left out", async (t) => {
  const given: [sent: unknown, arrives: TraceContext][] = [
    [{ a: "1", b: "x".repeat(2_000), c: "2" }, { a: "1", c: "2" }],
    [Object.fromEntries("abcdefghij".split("").map((name) => [name, "é\0\u{1f642}"])), {
      ...Object.fromEntries("abcdefgh".split("").map((name) => [name, "é\0\u{1f642}"])),
    }],
    [{ a: 1, b: "2", c: null }, { b: "2" }],
    [{}, {}],
    [null, {}],
    [{ lone: "\ud800" }, { lone: "\ud800" }],
  ];
  const contexts: TraceContext[] = [];
  let now = 0;
  const cluster = await createCluster(t, {
    size: 2,
    adapter: {
      tracing: {
        send: () => given[now]![0] as TraceContext,
        receive: (_message, context, deliver) => {
          contexts.push(context);
          deliver();
        },
      },
    },
  });
  for (; now < given.length; now++) cluster.io(0).serverSideEmit("job", now);
  now = 0;
  await until("all have come", () => contexts.length === given.length);
  assert.deepEqual(contexts, given.map(([, arrives]) => arrives));
});
