/**
 * What other servers get of the handshakes of sockets. They hold what clients prove themselves with, and whoever can
 * read the channels of the cluster can read what travels there.
 */
import { PgAdapterError } from "./errors.ts";
import type { ResolvedOptions } from "./options.ts";

/** A socket as `fetchSockets()` gets it from another server. */
export interface RemoteSocketData {
  id: string;
  handshake: Record<string, unknown>;
  rooms: unknown[];
  data: unknown;
}

/** Headers that clients prove themselves with, in lower case. */
const CREDENTIALS: ReadonlySet<string> = new Set([
  "authorization",
  "cookie",
  "proxy-authorization",
  "set-cookie",
]);

/**
 * A socket with what may travel of its handshake. The handshake itself stays as it is.
 *
 * @throws PgAdapterError `HANDLER_FAILED`, when the application's function does not return a handshake.
 */
export function redacted(
  socket: RemoteSocketData,
  redact: ResolvedOptions["redactHandshake"],
): RemoteSocketData {
  if (redact === false) return socket;
  if (redact === true) return { ...socket, handshake: withoutCredentials(socket.handshake) };
  let handshake: unknown;
  try {
    handshake = redact(copyOf(socket.handshake, new Map()));
  } catch (cause) {
    throw failed("threw", cause);
  }
  if (handshake === null || typeof handshake !== "object" || Array.isArray(handshake)) {
    throw failed(`returned no object but ${handshake === null ? "null" : typeof handshake}`);
  }
  return { ...socket, handshake: handshake as Record<string, unknown> };
}

/** The message goes to the server that asked: what was thrown may quote the handshake, so it is the cause only. */
function failed(how: string, cause?: unknown): PgAdapterError {
  return new PgAdapterError(
    "HANDLER_FAILED",
    `Cannot answer fetchSockets() as "redactHandshake" ${how}`,
    { cause },
  );
}

/** `auth` stays an object, as Socket.IO promises. */
function withoutCredentials(handshake: Record<string, unknown>): Record<string, unknown> {
  const headers = Object.entries(handshake["headers"] ?? {});
  return {
    ...handshake,
    headers: Object.fromEntries(headers.filter(([name]) => !CREDENTIALS.has(name.toLowerCase()))),
    auth: {},
  };
}

/** Copies plain objects and arrays all the way down; applications keep instances of their own there, which stay. */
function copyOf<T>(value: T, copies: Map<unknown, unknown>): T {
  if (value === null || typeof value !== "object") return value;
  const known = copies.get(value);
  if (known !== undefined) return known as T;
  const prototype: unknown = Object.getPrototypeOf(value);
  const isArray = Array.isArray(value);
  if (!isArray && prototype !== Object.prototype && prototype !== null) return value;
  const copy: Record<string, unknown> = isArray
    ? [] as unknown as Record<string, unknown>
    : Object.create(prototype as object | null);
  copies.set(value, copy);
  for (const [key, each] of Object.entries(value)) {
    // Not by assignment: a key may be "__proto__".
    Object.defineProperty(copy, key, {
      value: copyOf(each, copies),
      writable: true,
      enumerable: true,
      configurable: true,
    });
  }
  return copy as T;
}
