/**
 * A message: what one process tells others, and the record that carries it on the wire,
 *
 * ```text
 * record = header-length "," body-length ";" header body
 * ```
 *
 * where `header` is JSON with short keys and `body` the parts of a packet, one after the other, that nobody on the
 * way has to look into. Lengths count UTF-16 code units, the unit of JavaScript's strings.
 */
import { fromBase64, toBase64 } from "./base64.ts";
import { MAX_CONTEXT_FIELDS, MAX_CONTEXT_LENGTH, type TraceContext } from "./context.ts";
import { isJsonTooDeep, MAX_NESTING } from "./nesting.ts";
import { decodeArgs, type Part } from "./packet.ts";
import { isRoom, MAX_NAME_LENGTH, MAX_ROOMS, type Room } from "./rooms.ts";
import { isPlainText } from "./utf8.ts";

export type { Room };

/**
 * What a message is about. The first thirteen are `MessageType` of socket.io-adapter (a test holds them equal; it is
 * not imported, so that the emitter needs no package of Socket.IO), the rest is the membership of processes.
 */
export const MessageType = {
  /** A process starts; the others answer with `STATE`. */
  INITIAL_HEARTBEAT: 1,
  /** A process is alive. */
  HEARTBEAT: 2,
  BROADCAST: 3,
  SOCKETS_JOIN: 4,
  SOCKETS_LEAVE: 5,
  DISCONNECT_SOCKETS: 6,
  FETCH_SOCKETS: 7,
  FETCH_SOCKETS_RESPONSE: 8,
  SERVER_SIDE_EMIT: 9,
  SERVER_SIDE_EMIT_RESPONSE: 10,
  BROADCAST_CLIENT_COUNT: 11,
  BROADCAST_ACK: 12,
  /** A process leaves. */
  ADAPTER_CLOSE: 13,
  /** The whole state of a process: its namespaces, its parser. */
  STATE: 20,
  /** Namespaces that a process opened or closed. */
  NAMESPACES: 21,
  /** Asks one process for its `STATE`. */
  STATE_REQUEST: 22,
} as const;

/** One of {@linkcode MessageType}. */
export type MessageType = typeof MessageType[keyof typeof MessageType];

const TYPES: ReadonlySet<unknown> = new Set(Object.values(MessageType));

/** Flags of a broadcast that matter to those who deliver it. */
export interface Flags {
  volatile?: boolean;
  compress?: boolean;
}

/** What one process tells others. */
export interface Message {
  type: MessageType;
  /** The namespace; none for what concerns processes. */
  nsp?: string;
  rooms?: readonly Room[];
  except?: readonly Room[];
  flags?: Flags;
  /** The request that is asked or answered. */
  requestId?: string;
  /** The parser that encoded the packet, when it is not Socket.IO's default one. */
  parser?: string;
  /** What the type needs besides: rooms to join, whether to close, a count, a state, the error of an answer. */
  value?: unknown;
  /** What travels of a trace. */
  context?: TraceContext;
  /** The encoded packet or arguments. */
  parts?: readonly Part[];
  /**
   * Whether the sender is known to be a member of the cluster, whose parts need no second look. It is never on the wire:
   * who receives a frame judges by the frame.
   */
  trusted?: boolean;
  /** Its number in the log of connection state recovery, where it is in it. */
  number?: number;
}

interface Header {
  t: MessageType;
  n?: string;
  r?: readonly Room[];
  x?: readonly Room[];
  f?: Flags;
  q?: string;
  e?: string;
  v?: unknown;
  c?: TraceContext;
  /** Form and length of each part, `t34b8`: `t` text as it is, `b` base64 of binary, `j` text as a JSON string. */
  p?: string;
}

/** A message that cannot be read; the sentence says why. */
export class MalformedMessage extends Error {
  override readonly name: string = "MalformedMessage";
}

/** The most parts of a record: a list of sockets has one for each binary value in their data. */
const MAX_PARTS = 100_000;

/** More than a payload has: a text of that length is one record that came in chunks. */
const LONGER_THAN_PAYLOAD = 8_000;

/** How many records of a frame may be malformed before the rest of it is not looked at: each costs an error. */
const MAX_UNREADABLE = 32;

/** The most milliseconds that a timer takes. */
const MAX_TIMEOUT = 2 ** 31 - 1;

/** The most that a record may have for packets of so many bytes: binary grows by a third, and rooms come before it. */
export function maxRecordLength(maxPayload: number): number {
  return Math.ceil(maxPayload * 4 / 3) + 1_000_000;
}

/** Encodes a message as a record. */
export function encodeMessage(message: Message): string {
  const header: Header = { t: message.type };
  if (message.nsp !== undefined) header.n = message.nsp;
  if (message.rooms !== undefined && message.rooms.length > 0) header.r = message.rooms;
  if (message.except !== undefined && message.except.length > 0) header.x = message.except;
  if (message.flags !== undefined) header.f = message.flags;
  if (message.requestId !== undefined) header.q = message.requestId;
  if (message.parser !== undefined) header.e = message.parser;
  if (message.value !== undefined) header.v = message.value;
  if (message.context !== undefined) header.c = message.context;
  const parts = message.parts ?? [];
  let body = "";
  const [only] = parts;
  if (parts.length === 1 && typeof only === "string" && only !== "" && isPlainText(only)) {
    body = only;
  } else if (parts.length > 0) {
    header.p = "";
    for (const part of parts) {
      const form = typeof part !== "string" ? "b" : isPlainText(part) ? "t" : "j";
      const piece = typeof part !== "string"
        ? toBase64(part)
        : form === "t"
        ? part
        : JSON.stringify(part);
      header.p += `${form}${piece.length}`;
      body += piece;
    }
  }
  const head = JSON.stringify(header);
  return `${head.length},${body.length};${head}${body}`;
}

/**
 * Finds the records of a text, one after the other. Each is decoded on its own, so that one that cannot be read does not
 * take its neighbours with it.
 *
 * @returns Functions that decode one record each, or throw MalformedMessage.
 * @throws MalformedMessage where a record has no end, and after too many that could not be read; those before have been
 * yielded.
 */
export function* decodeMessages(text: string): Generator<() => Message, void, undefined> {
  let unreadable = 0;
  for (let at = 0; at < text.length;) {
    const comma = text.indexOf(",", at);
    const semicolon = text.indexOf(";", comma);
    const headLength = lengthIn(text, at, comma);
    const bodyLength = lengthIn(text, comma + 1, semicolon);
    const bodyAt = semicolon + 1 + headLength;
    const end = bodyAt + bodyLength;
    if (end > text.length) throw new MalformedMessage("Cannot read a record as it is cut short");
    // Otherwise one message could hold millions of records, each of which costs an error.
    if (text.length >= LONGER_THAN_PAYLOAD && end - at < text.length) {
      throw new MalformedMessage("Cannot read a record as chunks hold more than one");
    }
    yield () => {
      try {
        return decodeRecord(text.slice(semicolon + 1, bodyAt), text.slice(bodyAt, end));
      } catch (fault) {
        unreadable++;
        throw fault;
      }
    };
    at = end;
    if (unreadable >= MAX_UNREADABLE && at < text.length) {
      throw new MalformedMessage(
        `Cannot read the rest of a frame as ${unreadable} of its records could not be read`,
      );
    }
  }
}

function lengthIn(text: string, start: number, end: number): number {
  const digits = text.slice(start, end);
  if (end <= start || !/^\d{1,10}$/.test(digits)) {
    throw new MalformedMessage("Cannot read a record as it has no length");
  }
  return Number(digits);
}

function decodeRecord(head: string, body: string): Message {
  const header = parseObject(head) as Partial<Header>;
  const { t, n, r, x, f, q, e, v, c, p } = header;
  if (!TYPES.has(t)) {
    throw new MalformedMessage(
      `Cannot read a record of type ${typeof t === "number" ? t : typeof t}`,
    );
  }
  const message: Message = { type: t as MessageType };
  if (n !== undefined) message.nsp = namespace(n);
  if (r !== undefined) message.rooms = rooms(r);
  if (x !== undefined) message.except = rooms(x);
  if (f !== undefined) message.flags = flags(f);
  if (q !== undefined) message.requestId = matching(q, "request id", /^[0-9a-z]{1,32}$/);
  if (e !== undefined) message.parser = matching(e, "parser", /^[0-9a-f]{8}$/);
  if (v !== undefined) message.value = v;
  if (c !== undefined) message.context = contextOf(c);
  if (p !== undefined) message.parts = decodeParts(p, body);
  else if (body !== "") message.parts = [body];
  return message;
}

function contextOf(value: unknown): TraceContext {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new MalformedMessage("Cannot read a message as the context of its trace is no object");
  }
  const fields = Object.entries(value);
  if (fields.length > MAX_CONTEXT_FIELDS) {
    throw new MalformedMessage(
      `Cannot read a message as the context of its trace has ${fields.length} fields, more than ${MAX_CONTEXT_FIELDS}`,
    );
  }
  const length = fields.reduce(
    (sum, [name, each]) => sum + name.length + text(each, "context of a trace").length,
    0,
  );
  if (length > MAX_CONTEXT_LENGTH) {
    throw new MalformedMessage(
      `Cannot read a message as the context of its trace has ${length} characters, more than ${MAX_CONTEXT_LENGTH}`,
    );
  }
  return value as TraceContext;
}

function decodeParts(forms: unknown, body: string): Part[] {
  const parts: Part[] = [];
  let at = 0;
  for (const { form, length } of formsIn(forms)) {
    const end = at + length;
    if (end > body.length) {
      throw new MalformedMessage("Cannot read a record as a part is cut short");
    }
    const piece = body.slice(at, end);
    parts.push(form === "t" ? piece : form === "b" ? binary(piece) : quoted(piece));
    at = end;
  }
  if (at < body.length) {
    throw new MalformedMessage("Cannot read a record as its body is longer than its parts");
  }
  return parts;
}

/** Form by form: an expression for all of them would overflow the stack where there are many. */
function* formsIn(forms: unknown): Generator<{ form: string; length: number }, void, undefined> {
  const all = text(forms, "parts' forms");
  const next = /([tbj])(\d{1,10})/y;
  for (let count = 0; next.lastIndex < all.length || count === 0; count++) {
    const match = count < MAX_PARTS ? next.exec(all) : null;
    if (match === null) {
      throw new MalformedMessage(
        "Cannot read a record as its parts have no form and length, or are too many",
      );
    }
    yield { form: match[1]!, length: Number(match[2]) };
  }
}

/** Requires base64. */
export function binary(base64: string): Uint8Array {
  const padding = base64.endsWith("==") ? 2 : base64.endsWith("=") ? 1 : 0;
  const digits = base64.length - padding;
  let bytes: Uint8Array | undefined;
  try {
    bytes = fromBase64(base64);
  } catch (cause) {
    throw new MalformedMessage("Cannot read binary as it is no base64", { cause });
  }
  // Some decoders skip what is no base64, or stop there.
  if (bytes.length === Math.floor(digits * 3 / 4) && digits % 4 !== 1) return bytes;
  throw new MalformedMessage("Cannot read binary as it is no base64");
}

function quoted(json: string): string {
  try {
    return text(JSON.parse(json), "quoted part");
  } catch (cause) {
    throw new MalformedMessage("Cannot read a record as a quoted part is no JSON string", {
      cause,
    });
  }
}

/**
 * The arguments in the body of a message.
 *
 * @throws MalformedMessage when they cannot be read, or when a stranger nested them too deeply.
 */
export function argsOf({ parts = [], trusted = false }: Message): unknown[] {
  const [json] = parts;
  if (!trusted && typeof json === "string" && isJsonTooDeep(json)) throw tooDeep();
  try {
    return decodeArgs(parts);
  } catch (cause) {
    throw new MalformedMessage("Cannot read a message as its arguments are malformed", { cause });
  }
}

/** The count that is the value of a message. */
export function countOf({ value }: Message): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new MalformedMessage("Cannot read a message as its count is no whole number");
}

/** A timeout of an application as it travels: they may be infinite, or fractions. */
export function timeoutValue(ms: number): number {
  return Math.max(0, Math.min(Math.ceil(ms), MAX_TIMEOUT)) || 0;
}

/** The milliseconds that are the value of a message. */
export function timeoutOf({ value }: Message): number {
  if (Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_TIMEOUT) {
    return value as number;
  }
  throw new MalformedMessage("Cannot read a message as its timeout is no time in milliseconds");
}

/** The yes or no that is the value of a message. */
export function flagOf({ value }: Message): boolean {
  if (typeof value === "boolean") return value;
  throw new MalformedMessage("Cannot read a message as its value is no boolean");
}

/** The id of a request, for one that has to have it. */
export function requestIdOf({ requestId }: Message): string {
  if (requestId !== undefined) return requestId;
  throw new MalformedMessage("Cannot read a request as it has no id");
}

/** The error for what is nested too deeply. */
export function tooDeep(): MalformedMessage {
  return new MalformedMessage(
    `Cannot read a message as it is nested more deeply than ${MAX_NESTING} levels`,
  );
}

/** Reads a JSON object. */
export function parseObject(json: string): Record<string, unknown> {
  // Millions of levels take seconds to read.
  if (isJsonTooDeep(json)) throw tooDeep();
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new MalformedMessage(`Cannot read ${excerpt(json)} as it is no JSON`, { cause });
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new MalformedMessage(`Cannot read ${excerpt(json)} as it is no JSON object`);
  }
  return value as Record<string, unknown>;
}

/** Requires text. */
export function text(value: unknown, what: string): string {
  if (typeof value !== "string") {
    throw new MalformedMessage(`Cannot read a message as its ${what} is no text`);
  }
  return value;
}

/** Requires the name of a namespace. */
export function namespace(value: unknown): string {
  const name = text(value, "namespace");
  if (name.length <= MAX_NAME_LENGTH) return name;
  throw new MalformedMessage(
    `Cannot read a message as its namespace has ${name.length} characters, more than ${MAX_NAME_LENGTH}`,
  );
}

/** Requires an array of rooms. */
export function rooms(value: unknown): Room[] {
  if (!Array.isArray(value) || !value.every(isRoom)) {
    throw new MalformedMessage("Cannot read a message as its rooms are no array of names");
  }
  if (value.length > MAX_ROOMS) {
    throw new MalformedMessage(
      `Cannot read a message as it has ${value.length} rooms, more than ${MAX_ROOMS}`,
    );
  }
  if (value.some((room: Room) => typeof room === "string" && room.length > MAX_NAME_LENGTH)) {
    throw new MalformedMessage(
      `Cannot read a message as a room has more than ${MAX_NAME_LENGTH} characters`,
    );
  }
  return value as Room[];
}

function matching(value: unknown, what: string, pattern: RegExp): string {
  const given = text(value, what);
  if (pattern.test(given)) return given;
  throw new MalformedMessage(`Cannot read a message as its ${what} does not have the right form`);
}

/** Requires flags; unknown ones are left out. */
export function flags(value: unknown): Flags {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new MalformedMessage("Cannot read a message as its flags are no object");
  }
  const result: Flags = {};
  for (const flag of ["volatile", "compress"] as const) {
    const given: unknown = (value as Record<string, unknown>)[flag];
    if (given === undefined) continue;
    if (typeof given !== "boolean") {
      throw new MalformedMessage(`Cannot read a message as its flag "${flag}" is no boolean`);
    }
    result[flag] = given;
  }
  return result;
}

/** The start of a text that somebody sent, short enough for an error. */
export function excerpt(given: string): string {
  return JSON.stringify(given.length > 60 ? `${given.slice(0, 60)}…` : given);
}
