/** Traces of OpenTelemetry, recorded by its own SDK: one trace over servers and emitters. */
import assert from "node:assert/strict";
import { context, propagation, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import {
  InMemorySpanExporter,
  NodeTracerProvider,
  type ReadableSpan,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-node";
import { Emitter } from "../../src/emitter.ts";
import { openTelemetry } from "../../src/opentelemetry.ts";
import { createCluster } from "../support/cluster.ts";
import { connectSql } from "../support/sql.ts";
import { type Scope, test } from "../support/test.ts";
import { next, until } from "../support/wait.ts";

/** An SDK as an application sets it up, until the test ends. */
function recorded(t: Scope): InMemorySpanExporter {
  const exporter = new InMemorySpanExporter();
  const provider = new NodeTracerProvider({
    spanProcessors: [new SimpleSpanProcessor(exporter)],
  });
  provider.register();
  t.after(async () => {
    for (const api of [trace, context, propagation]) api.disable();
    await provider.shutdown();
  });
  return exporter;
}

/** What a span says, but for its ids. */
function told({ name, kind, attributes }: ReadableSpan) {
  return { name, kind, attributes };
}

const parentOf = ({ parentSpanContext }: ReadableSpan) => parentSpanContext?.spanId;

test("what is sent and its deliveries are spans of one trace, in which listeners run", async (t) => {
  const exporter = recorded(t);
  const cluster = await createCluster(t, { adapter: { tracing: openTelemetry() } });
  const tracer = trace.getTracer("the application");
  cluster.io(1).on("job", () => tracer.startActiveSpan("work", (span) => span.end()));
  const arrived = next(cluster.client(2), "news");
  const root = tracer.startActiveSpan("request", (span) => {
    cluster.io(0).to(["a", "b"]).except("c").emit("for nobody");
    cluster.io(0).emit("news");
    cluster.io(0).serverSideEmit("job");
    span.end();
    return span.spanContext();
  });
  await arrived;
  const ofTrace = () =>
    exporter.getFinishedSpans().filter((span) => span.spanContext().traceId === root.traceId);
  // The request, three sent, three delivered by each of two servers, and the work.
  await until("all are recorded", () => ofTrace().length >= 11);
  const spans = ofTrace();
  assert.equal(spans.length, 11);
  const sent = spans.filter(({ kind }) => kind === SpanKind.PRODUCER);
  const delivered = spans.filter(({ kind }) => kind === SpanKind.CONSUMER);
  assert.deepEqual(sent.map(parentOf), [root.spanId, root.spanId, root.spanId]);
  for (const each of sent) {
    const its = delivered.filter((span) => parentOf(span) === each.spanContext().spanId);
    assert.deepEqual(its.map(({ name }) => name), [each.name, each.name]);
  }
  const [first] = sent;
  const attributes = {
    "messaging.system": "socket.io",
    "messaging.operation.name": "emit",
    "messaging.destination.name": "/",
    "messaging.message.body.size": '2["for nobody"]'.length,
    "socket.io.rooms": ["a", "b"],
  };
  assert.deepEqual(told(first!), {
    name: "emit /",
    kind: SpanKind.PRODUCER,
    attributes: {
      ...attributes,
      "messaging.operation.type": "send",
      "socket.io.channel": `${cluster.prefix}:/`,
    },
  });
  const ofFirst = delivered.find((span) => parentOf(span) === first!.spanContext().spanId);
  assert.deepEqual(told(ofFirst!), {
    name: "emit /",
    kind: SpanKind.CONSUMER,
    attributes: { ...attributes, "messaging.operation.type": "process" },
  });
  const work = spans.find(({ name }) => name === "work");
  const around = delivered.find((span) => span.spanContext().spanId === parentOf(work!));
  assert.equal(around?.name, "serverSideEmit /");
});

test("an emitter's spans are parents, what nobody traces begins a trace, and a listener's fault is in its span", async (t) => {
  const exporter = recorded(t);
  const tracing = openTelemetry();
  const cluster = await createCluster(t, { size: 1, adapter: { tracing } });
  const emitter = new Emitter(cluster.uri, { prefix: cluster.prefix, tracing });
  t.after(() => emitter.close());
  cluster.io(0).on("job", () => {
    throw new Error("the listener is broken");
  });
  await emitter.serverSideEmit("job");
  await until("it is told", () => cluster.errors.length > 0);
  assert.match(cluster.errors.splice(0)[0]!.message, /the listener is broken/);
  const [sent, delivered] = exporter.getFinishedSpans();
  assert.equal(parentOf(delivered!), sent!.spanContext().spanId);
  assert.deepEqual(delivered!.status, {
    code: SpanStatusCode.ERROR,
    message: "the listener is broken",
  });
  exporter.reset();
  const arrived = next(cluster.client(0), "typed");
  await connectSql(t, cluster.uri)`
    select pg_notify(${`${cluster.prefix}:/`}, '{"emit":["typed"]}')`;
  await arrived;
  const [typed] = exporter.getFinishedSpans();
  assert.equal(typed!.name, "emit /");
  assert.equal(parentOf(typed!), undefined);
});

test("without an SDK nothing is recorded, and nothing travels", () => {
  const tracing = openTelemetry();
  const message = {
    nsp: "/",
    verb: "emit" as const,
    rooms: [],
    except: [],
    bytes: 1,
    requestId: undefined,
  };
  assert.deepEqual(tracing.send!({ ...message, channel: "c" }), {});
  let isDelivered = false;
  tracing.receive!({ ...message, from: undefined }, {}, () => isDelivered = true);
  assert.ok(isDelivered);
});
