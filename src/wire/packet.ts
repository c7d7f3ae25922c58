/**
 * Arguments with binary anywhere in them, as the parts that Socket.IO's default parser makes of them: a text, and one
 * part per binary value, for which `{"_placeholder":true,"num":0}` stands in the text.
 * https://github.com/socketio/socket.io-protocol#packet-encoding
 */
import { utf8Length } from "./utf8.ts";

/** One piece of an encoded packet: text or binary. */
export type Part = string | Uint8Array;

/** Packet types of the Socket.IO protocol that carry an event. */
const EVENT = "2";
const BINARY_EVENT = "5";

/** How many bytes parts have as clients get them. */
export function byteLength(parts: readonly Part[]): number {
  return parts.reduce(
    (sum, part) => sum + (typeof part === "string" ? utf8Length(part) : part.length),
    0,
  );
}

/**
 * Encodes an array of arguments. Next to binary, an object of the application's that looks like a placeholder is wrapped
 * as `{"_placeholder":true,"num":-1,"value":…}`, so that it is not taken for one.
 *
 * @throws What `JSON.stringify` throws (a cycle, a BigInt), or a RangeError when the data is nested too deeply.
 */
export function encodeArgs(args: readonly unknown[]): Part[] {
  return encode(args, true);
}

function encode(args: readonly unknown[], wraps: boolean): Part[] {
  if (!hasBinary(args)) return [JSON.stringify(args)];
  const attachments: Uint8Array[] = [];
  return [JSON.stringify(withPlaceholders(args, attachments, wraps)), ...attachments];
}

/**
 * Decodes what {@linkcode encodeArgs} made.
 *
 * @throws SyntaxError when the text is no JSON array or a placeholder has no attachment.
 */
export function decodeArgs(parts: readonly Part[]): unknown[] {
  return decode(parts, true);
}

function decode(parts: readonly Part[], wraps: boolean): unknown[] {
  const [text, ...attachments] = parts;
  const args: unknown = typeof text === "string" ? JSON.parse(text) : undefined;
  if (!Array.isArray(args)) {
    throw new SyntaxError("Cannot decode arguments as they are no JSON array");
  }
  return attachments.length === 0 ? args : withAttachments(args, attachments, wraps) as unknown[];
}

/** Encodes an event as Socket.IO's default parser does: what is sent to clients as it is. */
export function encodeEvent(nsp: string, args: readonly unknown[]): Part[] {
  // Clients read it with Socket.IO's own decoder, which knows of no wrapping.
  const [json, ...attachments] = encode(args, false) as [string, ...Uint8Array[]];
  return [`${eventStart(nsp, attachments.length)}${json}`, ...attachments];
}

/** What stands before the arguments of an event that has no id. */
export function eventStart(nsp: string, attachments: number): string {
  const type = attachments === 0 ? EVENT : `${BINARY_EVENT}${attachments}-`;
  return nsp === "/" ? type : `${type}${nsp},`;
}

/**
 * Decodes an event in the form of Socket.IO's default parser.
 *
 * @throws SyntaxError when it is none of this namespace, or a placeholder has no attachment.
 */
export function decodeEvent(nsp: string, parts: readonly Part[]): unknown[] {
  const [text, ...attachments] = parts;
  const start = eventStart(nsp, attachments.length);
  if (typeof text !== "string" || !text.startsWith(start)) {
    throw new SyntaxError(`Cannot decode an event as it does not start with "${start}"`);
  }
  return decode([text.slice(start.length), ...attachments], false);
}

function isBinary(value: object): value is ArrayBuffer | ArrayBufferView {
  return value instanceof ArrayBuffer || ArrayBuffer.isView(value);
}

/** The bytes of a binary value of any kind, not copied. */
export function bytesOf(value: ArrayBuffer | ArrayBufferView): Uint8Array {
  // A Buffer stays one.
  if (value instanceof Uint8Array) return value;
  return value instanceof ArrayBuffer
    ? new Uint8Array(value)
    : new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}

/** Does what Socket.IO's own `hasBinary` does, `toJSON` included. */
export function hasBinary(value: unknown, converted = false): boolean {
  if (value === null || typeof value !== "object") return false;
  if (isBinary(value)) return true;
  if (Array.isArray(value)) return value.some((item) => hasBinary(item));
  if (!converted && "toJSON" in value && typeof value.toJSON === "function") {
    return hasBinary(value.toJSON(), true);
  }
  return Object.values(value).some((item) => hasBinary(item));
}

function withPlaceholders(value: unknown, attachments: Uint8Array[], wraps: boolean): unknown {
  if (value === null || typeof value !== "object") return value;
  if (isBinary(value)) return { _placeholder: true, num: attachments.push(bytesOf(value)) - 1 };
  if (Array.isArray(value)) return value.map((item) => withPlaceholders(item, attachments, wraps));
  if ("toJSON" in value && typeof value.toJSON === "function") {
    return withPlaceholders(value.toJSON(), attachments, wraps);
  }
  const object = Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, withPlaceholders(item, attachments, wraps)]),
  );
  return wraps && isPlaceholder(value)
    ? { _placeholder: true, num: WRAPPED, value: object }
    : object;
}

/** Stands for no attachment: the object has been wrapped. */
const WRAPPED = -1;

function isPlaceholder(value: object): boolean {
  return "_placeholder" in value && value._placeholder === true;
}

function withAttachments(value: unknown, attachments: readonly Part[], wraps: boolean): unknown {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map((item) => withAttachments(item, attachments, wraps));
  if (isPlaceholder(value)) {
    const { num, value: wrapped } = value as { num?: unknown; value?: unknown };
    if (wraps && num === WRAPPED && wrapped !== null && typeof wrapped === "object") {
      return propertiesWithAttachments(wrapped, attachments, wraps);
    }
    const attachment = typeof num === "number" ? attachments[num] : undefined;
    if (attachment === undefined) {
      throw new SyntaxError("Cannot decode arguments as an attachment is missing");
    }
    return attachment;
  }
  return propertiesWithAttachments(value, attachments, wraps);
}

/** Defines the properties, so that one named `__proto__` is one, and not the prototype. */
function propertiesWithAttachments(
  value: object,
  attachments: readonly Part[],
  wraps: boolean,
): unknown {
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, withAttachments(item, attachments, wraps)]),
  );
}
