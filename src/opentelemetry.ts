/**
 * Traces of OpenTelemetry across servers: what a server or an emitter sends has a span, and so has each delivery on
 * another server, as its child. Needs the package `@opentelemetry/api`, and the SDK that the application sets up; without
 * one nothing is recorded, and nothing travels.
 *
 * @example
 * ```ts
 * import { Server } from "socket.io";
 * import { pgAdapter } from "@x/socketio-pg";
 * import { openTelemetry } from "@x/socketio-pg/opentelemetry";
 *
 * const adapter = pgAdapter("postgresql://", { tracing: openTelemetry() });
 * const io = new Server(3000, { adapter });
 * ```
 *
 * @module
 */
import {
  type Attributes,
  context,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import { VERSION } from "./version.ts";
import { messageOf } from "./errors.ts";
import type { PgAdapterTrace } from "./trace.ts";
import type { IncomingTrace, OutgoingTrace, PgAdapterTracing, TraceContext } from "./tracing.ts";

export type { PgAdapterVerb } from "./trace.ts";
export type { IncomingTrace, OutgoingTrace, PgAdapterTrace, PgAdapterTracing, TraceContext };

/** The name of the tracer. */
const NAME = "@x/socketio-pg";

/**
 * The option `tracing` of `pgAdapter()` and `Emitter`, for OpenTelemetry.
 *
 * A span of the kind `PRODUCER` begins and ends where something is sent, one of the kind `CONSUMER` where it is delivered,
 * with what listeners of `serverSideEmit()` do in it. Their names are the method and the namespace, `emit /chat`; the
 * attributes are those of the semantic conventions for messaging, and `socket.io.rooms`.
 *
 * @returns What the option `tracing` takes.
 *
 * @example
 * ```ts
 * import { Emitter } from "@x/socketio-pg/emitter";
 * import { openTelemetry } from "@x/socketio-pg/opentelemetry";
 *
 * await using emitter = new Emitter("postgresql://", { tracing: openTelemetry() });
 * await emitter.to("news").emit("headline", "It works");
 * ```
 */
export function openTelemetry(): PgAdapterTracing {
  // Each time, as the application may register its SDK after this.
  const tracer = (): Tracer => trace.getTracer(NAME, VERSION);
  return {
    send(message: OutgoingTrace): TraceContext {
      const span = tracer().startSpan(nameOf(message), {
        kind: SpanKind.PRODUCER,
        attributes: { ...attributesOf(message, "send"), "socket.io.channel": message.channel },
      });
      const carrier: Record<string, string> = {};
      propagation.inject(trace.setSpan(context.active(), span), carrier);
      span.end();
      return carrier;
    },
    receive(message: IncomingTrace, carrier: TraceContext, deliver: () => void): void {
      const sent = propagation.extract(ROOT_CONTEXT, carrier);
      const span = tracer().startSpan(nameOf(message), {
        kind: SpanKind.CONSUMER,
        attributes: attributesOf(message, "process"),
      }, sent);
      try {
        context.with(trace.setSpan(sent, span), deliver);
      } catch (fault) {
        span.setStatus({ code: SpanStatusCode.ERROR, message: messageOf(fault) });
        throw fault;
      } finally {
        span.end();
      }
    },
  };
}

function nameOf({ verb, nsp }: Omit<PgAdapterTrace, "uid">): string {
  return `${verb} ${nsp}`;
}

/** https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/ */
function attributesOf(
  { nsp, verb, rooms, bytes, requestId }: Omit<PgAdapterTrace, "uid">,
  type: "send" | "process",
): Attributes {
  return {
    "messaging.system": "socket.io",
    "messaging.operation.type": type,
    "messaging.operation.name": verb,
    "messaging.destination.name": nsp,
    "messaging.message.body.size": bytes,
    ...requestId !== undefined && { "messaging.message.conversation_id": requestId },
    ...rooms.length > 0 && { "socket.io.rooms": rooms.map(String) },
  };
}
