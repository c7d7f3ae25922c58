/**
 * Encode once: the sender encodes a packet once, for its own clients and for the wire; a receiver forwards what came
 * to its clients and does not look into it, unless somebody asks for the data.
 */
import { checkCount, checkEvent, checkEventName, RESERVED_EVENTS } from "./wire/event.ts";
import { isTooDeep } from "./wire/nesting.ts";
import { bytesOf, decodeEvent, type Part } from "./wire/packet.ts";
import { MalformedMessage, tooDeep } from "./wire/message.ts";
import { sha256Hex } from "./wire/sha256.ts";
import { toBase64 } from "./wire/base64.ts";

/** A packet as Socket.IO's adapters pass it about: https://github.com/socketio/socket.io-protocol#packet-types */
export interface Packet {
  type: number;
  nsp: string;
  data: unknown[];
  id?: number;
}

/** Socket.IO's packet type of an event. */
export const EVENT = 2;

/** An event with binary, as the decoders of some parsers say. */
const BINARY_EVENT = 5;

/** What a Socket.IO parser is (`parser` of the server's options). */
export interface Parser {
  Encoder: new () => PartEncoder;
  Decoder: new () => PartDecoder;
}

interface PartEncoder {
  encode(packet: Packet): Part[];
}

interface PartDecoder {
  on(event: "decoded", listener: (packet: Packet) => void): unknown;
  add(part: Part): void;
  destroy?(): void;
}

/** A packet that came from another server, already encoded. */
export class ForwardedPacket implements Packet {
  readonly type: number = EVENT;
  nsp: string;
  /** What is written to the clients. */
  readonly parts: Part[];
  readonly #codec: PacketEncoder;
  #data: unknown[] | undefined;

  constructor(nsp: string, parts: Part[], codec: PacketEncoder) {
    this.nsp = nsp;
    this.parts = parts;
    this.#codec = codec;
  }

  /** The event and its arguments, for `onAnyOutgoing()`: decoded when they are first asked for. */
  get data(): unknown[] {
    return this.#data ??= this.#codec.decode(this.nsp, this.parts);
  }
}

/** Whether the data of an event, as Socket.IO's default parser encodes it, ends in a string. */
function endsInText(part: Part | undefined): boolean {
  return typeof part === "string" && part.endsWith('"]');
}

/** Stands in for the encoder of an adapter. */
export class PacketEncoder {
  /** The parser's mark on the wire: none for Socket.IO's default one. */
  readonly parserId: string | undefined;
  readonly #parser: Parser;
  readonly #encoder: PartEncoder;
  #packet: Packet | undefined;
  #parts: Part[] = [];

  constructor(parser: Parser, encoder: PartEncoder) {
    this.#parser = parser;
    this.#encoder = encoder;
    this.parserId = parserIdOf(encoder);
  }

  /** Encodes a packet for clients; that of {@linkcode encodeOnce} is not encoded again. */
  encode(packet: Packet): Part[] {
    if (packet instanceof ForwardedPacket) return packet.parts;
    return packet === this.#packet ? this.#parts : this.#encoder.encode(packet);
  }

  /**
   * Encodes a packet and remembers the outcome for clients until {@linkcode forget}.
   *
   * @returns The parts for the wire: parsers leave an ArrayBuffer or a view of any width as it is.
   */
  encodeOnce(packet: Packet): Part[] {
    this.#packet = packet;
    this.#parts = this.#encoder.encode(packet);
    return this.#parts.map((part) => typeof part === "string" ? part : bytesOf(part));
  }

  /**
   * The parts of an event with one more argument, the offset of connection state recovery.
   *
   * @param isNeeded Whether it is added in any case, or only where clients would take the last argument for it: a string.
   */
  withOffset(nsp: string, parts: readonly Part[], offset: string, isNeeded: boolean): Part[] {
    if (this.parserId === undefined) {
      const [text, ...binary] = parts;
      if (!isNeeded && !endsInText(text)) return [...parts];
      // The array of the event and its arguments is what ends the text.
      return [`${String(text).slice(0, -1)},"${offset}"]`, ...binary];
    }
    const data = this.decode(nsp, parts);
    if (!isNeeded && typeof data.at(-1) !== "string") return [...parts];
    return this.#encoder.encode({ type: EVENT, nsp, data: [...data, offset] })
      .map((part) => typeof part === "string" ? part : bytesOf(part));
  }

  /** Lets go of what was encoded last: the same object may come again with other data. */
  forget(): void {
    this.#packet = undefined;
    this.#parts = [];
  }

  /**
   * Requires parts that came to be one event of a namespace, encoded by the parser of the server: what its decoder
   * refuses, clients refuse, too, and hang up.
   *
   * @param isTrusted Whether a member of the cluster encoded them, so that they need not be decoded for that.
   * @throws MalformedMessage when they are not.
   */
  check(nsp: string, parts: readonly Part[], isTrusted: boolean): void {
    const isDefault = this.parserId === undefined;
    if (isDefault) checkEvent(nsp, parts, isTrusted);
    if (isTrusted) return;
    const packet = this.#decode(nsp, parts);
    checkPacket(nsp, packet);
    // JSON was looked through before it was read.
    if (!isDefault && isTooDeep(packet.data)) throw tooDeep();
  }

  /**
   * Decodes an event with the parser of the server.
   *
   * @throws MalformedMessage when the parser does not find exactly one event in the parts.
   */
  decode(nsp: string, parts: readonly Part[]): unknown[] {
    const { data } = this.#decode(nsp, parts);
    if (Array.isArray(data)) return data;
    throw new MalformedMessage(`Cannot decode a packet of namespace "${nsp}" as it is no event`);
  }

  /**
   * Decodes an event in the form of Socket.IO's default parser, whatever the parser of the server is.
   *
   * @throws MalformedMessage when it is none that clients may get.
   */
  decodeDefault(nsp: string, parts: readonly Part[], isTrusted: boolean): unknown[] {
    checkEvent(nsp, parts, isTrusted);
    let data: unknown[];
    try {
      data = decodeEvent(nsp, parts);
    } catch (cause) {
      throw new MalformedMessage(`Cannot decode a packet of namespace "${nsp}"`, { cause });
    }
    if (!isTrusted) checkCount(data);
    return data;
  }

  /** What the parser of the server finds, whose word is all there is on what that is. */
  #decode(nsp: string, parts: readonly Part[]): Partial<Record<keyof Packet, unknown>> {
    const decoder = new this.#parser.Decoder();
    const packets: unknown[] = [];
    decoder.on("decoded", (packet) => packets.push(packet));
    try {
      for (const part of parts) decoder.add(part);
    } catch (cause) {
      throw new MalformedMessage(`Cannot decode a packet of namespace "${nsp}"`, { cause });
    } finally {
      decoder.destroy?.();
    }
    const [packet] = packets;
    if (packets.length === 1 && packet !== null && typeof packet === "object") return packet;
    throw new MalformedMessage(`Cannot decode a packet of namespace "${nsp}" as it is no packet`);
  }
}

function checkPacket(nsp: string, packet: Partial<Record<keyof Packet, unknown>>): void {
  const { type, data, id } = packet;
  const isEvent = (type === EVENT || type === BINARY_EVENT) && Array.isArray(data);
  if (!isEvent || packet.nsp !== nsp || id !== undefined) {
    throw new MalformedMessage(
      `Cannot read a packet of namespace "${nsp}" as it is no event of it`,
    );
  }
  checkEventName(data[0], RESERVED_EVENTS);
  checkCount(data);
}

/** What a probe looks like tells parsers apart: their classes have no names that mean anything. */
function parserIdOf(encoder: PartEncoder): string | undefined {
  const probe: Packet = { type: EVENT, nsp: "/", data: ["a", new Uint8Array([1])] };
  const [text, binary, ...more] = encoder.encode(probe);
  const isDefault = text === '51-["a",{"_placeholder":true,"num":0}]' &&
    binary instanceof Uint8Array && more.length === 0;
  if (isDefault) return undefined;
  const parts = [text, binary, ...more].filter((part) => part !== undefined);
  return sha256Hex(parts.map((part) => typeof part === "string" ? part : toBase64(part)).join("\n"))
    .slice(0, 8);
}
