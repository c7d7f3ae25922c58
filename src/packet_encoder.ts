/**
 * Encode once: the sender encodes a packet once, for its own clients and for the wire; a receiver forwards what came
 * to its clients and does not look into it, unless somebody asks for the data.
 */
import { bytesOf, decodeEvent, type Part } from "./wire/packet.ts";
import { MalformedMessage } from "./wire/message.ts";
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

  /** Lets go of what was encoded last: the same object may come again with other data. */
  forget(): void {
    this.#packet = undefined;
    this.#parts = [];
  }

  /**
   * Decodes an event with the parser of the server.
   *
   * @throws MalformedMessage when the parser does not find exactly one event in the parts.
   */
  decode(nsp: string, parts: readonly Part[]): unknown[] {
    const decoder = new this.#parser.Decoder();
    let data: unknown;
    decoder.on("decoded", (packet) => data = packet.data);
    try {
      for (const part of parts) decoder.add(part);
    } catch (cause) {
      throw new MalformedMessage(`Cannot decode a packet of namespace "${nsp}"`, { cause });
    } finally {
      decoder.destroy?.();
    }
    if (!Array.isArray(data)) {
      throw new MalformedMessage(`Cannot decode a packet of namespace "${nsp}" as it is no event`);
    }
    return data;
  }

  /** Decodes an event in the form of Socket.IO's default parser, whatever the parser of the server is. */
  decodeDefault(nsp: string, parts: readonly Part[]): unknown[] {
    return this.parserId === undefined ? this.decode(nsp, parts) : decodeEvent(nsp, parts);
  }
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
