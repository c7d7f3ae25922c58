/**
 * MessagePack, as far as `@socket.io/postgres-adapter` uses it: what JSON can say, and binary.
 * https://github.com/msgpack/msgpack/blob/master/spec.md
 */
import { MalformedMessage, tooDeep } from "../wire/message.ts";
import { MAX_NESTING } from "../wire/nesting.ts";
import { bytesOf } from "../wire/packet.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** The type of the extension for times. */
const TIMESTAMP = -1;

/**
 * Encodes a value as JSON would be understood: without what JSON leaves out, and with what `toJSON()` says.
 *
 * @param value No cycles.
 */
export function encodeMsgpack(value: unknown): Uint8Array {
  const writer = new Writer();
  writer.value(value);
  return writer.bytes();
}

/**
 * Decodes one value.
 *
 * @throws MalformedMessage when it is none, or nested too deeply.
 */
export function decodeMsgpack(bytes: Uint8Array): unknown {
  const reader = new Reader(bytes);
  const value = reader.value(0);
  if (!reader.isAtEnd) throw malformed("something follows it");
  return value;
}

/** Whether JSON leaves a property with this value out. */
function isLeftOut(value: unknown): boolean {
  return value === undefined || typeof value === "function" || typeof value === "symbol";
}

class Writer {
  #bytes = new Uint8Array(1_024);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  value(value: unknown): void {
    switch (typeof value) {
      case "boolean":
        return this.#byte(value ? 0xc3 : 0xc2);
      case "number":
        return this.#number(value);
      case "string":
        return this.#string(value);
      case "object":
        return value === null ? this.#byte(0xc0) : this.#object(value);
      case "bigint":
        // As JSON does.
        throw new TypeError("Cannot encode a BigInt");
      default:
        return this.#byte(0xc0);
    }
  }

  #object(value: object): void {
    if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
      return this.#binary(bytesOf(value));
    }
    if ("toJSON" in value && typeof value.toJSON === "function") return this.value(value.toJSON());
    if (Array.isArray(value)) {
      this.#length(value.length, 0x90, 16, undefined, 0xdc);
      for (const item of value) this.value(item);
      return;
    }
    const entries = Object.entries(value).filter(([, item]) => !isLeftOut(item));
    this.#length(entries.length, 0x80, 16, undefined, 0xde);
    for (const [key, item] of entries) {
      this.#string(key);
      this.value(item);
    }
  }

  #number(value: number): void {
    if (!Number.isFinite(value)) return this.#byte(0xc0);
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) return this.#float(value);
    if (value >= 0) {
      if (value < 0x80) return this.#byte(value);
      if (value < 0x100) return this.#numbers(0xcc, 1, value);
      if (value < 0x10000) return this.#numbers(0xcd, 2, value);
      if (value < 0x100000000) return this.#numbers(0xce, 4, value);
    } else {
      if (value >= -0x20) return this.#byte(value & 0xff);
      if (value >= -0x80) return this.#numbers(0xd0, 1, value & 0xff);
      if (value >= -0x8000) return this.#numbers(0xd1, 2, value & 0xffff);
      if (value >= -0x80000000) return this.#numbers(0xd2, 4, value >>> 0);
    }
    // As exact as an integer of 64 bits.
    this.#float(value);
  }

  #float(value: number): void {
    this.#byte(0xcb);
    this.#reserve(8);
    // JSON knows one zero.
    this.#view.setFloat64(this.#at, value === 0 ? 0 : value);
    this.#at += 8;
  }

  #string(value: string): void {
    const bytes = encoder.encode(value);
    this.#length(bytes.length, 0xa0, 32, 0xd9, 0xda);
    this.#append(bytes);
  }

  #binary(bytes: Uint8Array): void {
    this.#length(bytes.length, undefined, 0, 0xc4, 0xc5);
    this.#append(bytes);
  }

  /** Four bytes follow the type after `two`. */
  #length(
    length: number,
    fixed: number | undefined,
    fixedBelow: number,
    one: number | undefined,
    two: number,
  ): void {
    if (fixed !== undefined && length < fixedBelow) return this.#byte(fixed | length);
    if (one !== undefined && length < 0x100) return this.#numbers(one, 1, length);
    if (length < 0x10000) return this.#numbers(two, 2, length);
    this.#numbers(two + 1, 4, length);
  }

  #numbers(type: number, width: 1 | 2 | 4, value: number): void {
    this.#byte(type);
    this.#reserve(4);
    if (width === 1) this.#view.setUint8(this.#at, value);
    else if (width === 2) this.#view.setUint16(this.#at, value);
    else this.#view.setUint32(this.#at, value);
    this.#at += width;
  }

  #byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#at++] = value;
  }

  #append(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #reserve(count: number): void {
    const needed = this.#at + count;
    if (needed <= this.#bytes.length) return;
    const bytes = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    bytes.set(this.#bytes);
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  value(depth: number): unknown {
    const type = this.#unsigned(1);
    if (type < 0x80) return type;
    if (type < 0x90) return this.#map(type & 0x0f, depth);
    if (type < 0xa0) return this.#array(type & 0x0f, depth);
    if (type < 0xc0) return this.#string(type & 0x1f);
    if (type >= 0xe0) return type - 0x100;
    switch (type) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        // A copy: the whole of what it came in should not live as long as it.
        return this.#take(this.#unsigned(width(type - 0xc4))).slice();
      case 0xc7:
      case 0xc8:
      case 0xc9:
        return this.#extension(this.#unsigned(width(type - 0xc7)));
      case 0xca:
        return this.#view.getFloat32(this.#skip(4));
      case 0xcb:
        return this.#view.getFloat64(this.#skip(8));
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#unsigned(width(type - 0xcc));
      case 0xcf:
        return Number(this.#view.getBigUint64(this.#skip(8)));
      case 0xd0:
        return this.#view.getInt8(this.#skip(1));
      case 0xd1:
        return this.#view.getInt16(this.#skip(2));
      case 0xd2:
        return this.#view.getInt32(this.#skip(4));
      case 0xd3:
        return Number(this.#view.getBigInt64(this.#skip(8)));
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        return this.#extension(2 ** (type - 0xd4));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#string(this.#unsigned(width(type - 0xd9)));
      case 0xdc:
      case 0xdd:
        return this.#array(this.#unsigned(type === 0xdc ? 2 : 4), depth);
      case 0xde:
      case 0xdf:
        return this.#map(this.#unsigned(type === 0xde ? 2 : 4), depth);
      default:
        throw malformed(`there is no type ${type}`);
    }
  }

  #array(length: number, depth: number): unknown[] {
    this.#enter(length, depth);
    const array: unknown[] = [];
    for (let i = 0; i < length; i++) array.push(this.value(depth + 1));
    return array;
  }

  #map(length: number, depth: number): Record<string, unknown> {
    this.#enter(length * 2, depth);
    const entries: [string, unknown][] = [];
    for (let i = 0; i < length; i++) {
      const key = this.value(depth + 1);
      if (typeof key !== "string" && typeof key !== "number") {
        throw malformed("a key of it is no text");
      }
      entries.push([String(key), this.value(depth + 1)]);
    }
    // Not by assignment: a key may be "__proto__".
    return Object.fromEntries(entries);
  }

  /** Times, which are in no JSON: theirs has them where an application emits them with what is binary or large. */
  #extension(length: number): Date {
    const type = this.#view.getInt8(this.#skip(1));
    const at = this.#skip(length);
    if (type !== TIMESTAMP) throw malformed(`there is no extension ${type}`);
    switch (length) {
      case 4:
        return new Date(this.#view.getUint32(at) * 1_000);
      case 8: {
        const both = this.#view.getBigUint64(at);
        return time(Number(both & 0x3ffffffffn), Number(both >> 34n));
      }
      case 12:
        return time(Number(this.#view.getBigInt64(at + 4)), this.#view.getUint32(at));
      default:
        throw malformed(`a time has ${length} bytes`);
    }
  }

  #string(length: number): string {
    return decoder.decode(this.#take(length));
  }

  #unsigned(bytes: 1 | 2 | 4): number {
    const at = this.#skip(bytes);
    if (bytes === 1) return this.#view.getUint8(at);
    return bytes === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }

  #take(length: number): Uint8Array {
    const at = this.#skip(length);
    return this.#bytes.subarray(at, at + length);
  }

  #skip(length: number): number {
    const at = this.#at;
    if (length > this.#bytes.length - at) throw malformed("it is cut short");
    this.#at += length;
    return at;
  }

  /** Each item has a byte at least, so that a length does not take memory by itself. */
  #enter(items: number, depth: number): void {
    if (items > this.#bytes.length - this.#at) throw malformed("it is cut short");
    if (depth >= MAX_NESTING) throw tooDeep();
  }
}

function width(step: number): 1 | 2 | 4 {
  return step === 0 ? 1 : step === 1 ? 2 : 4;
}

function time(seconds: number, nanoseconds: number): Date {
  return new Date(seconds * 1_000 + Math.floor(nanoseconds / 1e6));
}

function malformed(why: string): MalformedMessage {
  return new MalformedMessage(`Cannot read MessagePack as ${why}`);
}
