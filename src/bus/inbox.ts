/**
 * What arrives: payloads in, messages out, in the order of their sender, each once.
 */
import {
  decodeFrame,
  type Frame,
  isFrameOf,
  MAX_PAYLOAD_BYTES,
  WIRE_VERSION,
} from "../wire/frame.ts";
import {
  decodeMessages,
  excerpt,
  MalformedMessage,
  maxRecordLength,
  type Message,
} from "../wire/message.ts";
import { decodePlain } from "../wire/plain.ts";
import { messageOf, PgAdapterError } from "../errors.ts";
import type { Place } from "./places.ts";

/** How many senders are remembered, emitters included; the one that was silent for longest is forgotten. */
const MAX_SENDERS = 4_096;

/** Milliseconds for which a kind of malformed message is not reported again: anybody may send a million of them. */
const QUIET_MS = 60_000;

/** What an inbox has seen. */
export interface InboxStats {
  /** Messages of others. */
  messages: number;
  /** Payloads of NOTIFY of other adapters and emitters. */
  frames: number;
  /** Their length, in characters. */
  characters: number;
  /** Frames that had been received before. */
  duplicates: number;
  /** Chunks of messages whose beginning was not heard. */
  incomplete: number;
  /** Payloads that are no message of ours. */
  malformed: number;
}

/** What an inbox tells. */
export interface InboxEvents {
  /**
   * @param uid The sender's; none for a plain message.
   * @throws MalformedMessage when the message is refused.
   */
  message(uid: string | undefined, message: Message): void;
  /** One of our own frames came back. */
  echo(): void;
  error(error: PgAdapterError): void;
}

/** What is known of a sender. */
interface Sender {
  /** The highest sequence number so far. */
  sequence: number;
  /** The pieces of a record that has not come whole yet. */
  pieces: string[];
}

/** Reads what arrives. */
export class Inbox {
  readonly #uid: string;
  readonly #maxRecordLength: number;
  readonly #events: InboxEvents;
  readonly #senders: Map<string, Sender> = new Map();
  /** When each kind of malformed message was reported. */
  readonly #reported: Map<string, number> = new Map();

  /** What it has seen so far. */
  readonly stats: InboxStats = {
    messages: 0,
    frames: 0,
    characters: 0,
    duplicates: 0,
    incomplete: 0,
    malformed: 0,
  };

  /** @param maxPayload The most bytes of a packet. */
  constructor(uid: string, maxPayload: number, events: InboxEvents) {
    this.#uid = uid;
    this.#maxRecordLength = maxRecordLength(maxPayload);
    this.#events = events;
  }

  /**
   * Takes a payload. Never throws.
   *
   * @param place What the channel stands for, when plain messages are welcome there.
   */
  receive(payload: string, place?: Place): void {
    if (isFrameOf(this.#uid, payload)) return this.#events.echo();
    try {
      if (payload.startsWith("{")) {
        if (place === undefined) {
          throw new MalformedMessage("Cannot read a plain message as its channel has no namespace");
        }
        return this.#deliver(undefined, decodePlain(payload, place));
      }
      if (!payload.startsWith(WIRE_VERSION)) return this.#strange(payload);
      this.stats.frames++;
      this.stats.characters += payload.length;
      this.#receiveFrame(decodeFrame(payload));
    } catch (fault) {
      this.#malformed(fault, excerpt(payload));
    }
  }

  #receiveFrame(frame: Frame): void {
    const sender = this.#senderOf(frame.uid);
    // Emitters have no order over all that they send: several connections of a pool may share one.
    const isSequenced = frame.previous !== undefined;
    if (isSequenced && frame.sequence <= sender.sequence) {
      this.stats.duplicates++;
      return;
    }
    sender.sequence = frame.sequence;
    if (frame.kind === "p") return;
    const records = frame.chunk === undefined
      ? frame.body
      : this.#assemble(sender, frame.chunk, frame.body);
    if (records === undefined) return;
    for (const message of decodeMessages(records)) this.#deliver(frame.uid, message);
  }

  /** One message that is refused does not take its neighbours with it. */
  #deliver(uid: string | undefined, message: Message): void {
    this.stats.messages++;
    try {
      this.#events.message(uid, message);
    } catch (fault) {
      this.#malformed(fault, `type ${message.type}`);
    }
  }

  #malformed(fault: unknown, what: string): void {
    this.#refuse(
      new PgAdapterError("MALFORMED_MESSAGE", `${messageOf(fault)}: ${what}`, { cause: fault }),
      messageOf(fault),
    );
  }

  /** Counts a payload or a message that is dropped, and reports the first of its kind. */
  #refuse(error: PgAdapterError, reason: string): void {
    this.stats.malformed++;
    // The values in the reason do not make it another kind.
    const kind = error.code + reason.replace(/"(?:[^"\\]|\\.)*"|\d+/g, "");
    const now = performance.now();
    if (now - (this.#reported.get(kind) ?? -QUIET_MS) < QUIET_MS) return;
    this.#reported.set(kind, now);
    this.#events.error(error);
  }

  /** The chunks of a record come one after the other, as they are sent in one go by one sender. */
  #assemble(
    sender: Sender,
    { index, count }: { index: number; count: number },
    piece: string,
  ): string | undefined {
    const pieces = index === 0 ? [] : sender.pieces;
    sender.pieces = pieces;
    if (count > this.#maxRecordLength / (MAX_PAYLOAD_BYTES / 2)) {
      throw new MalformedMessage(
        `Cannot put a record together as it has ${count} chunks, more than maxPayload allows`,
      );
    }
    if (pieces.length !== index || index >= count) {
      // Who starts to listen in the middle of a record has not heard its beginning.
      this.stats.incomplete++;
      sender.pieces = [];
      return undefined;
    }
    pieces.push(piece);
    if (pieces.length < count) return undefined;
    sender.pieces = [];
    return pieces.join("");
  }

  #senderOf(uid: string): Sender {
    const sender = this.#senders.get(uid) ?? { sequence: 0, pieces: [] };
    // Deleting first keeps the map in the order of use.
    this.#senders.delete(uid);
    this.#senders.set(uid, sender);
    if (this.#senders.size > MAX_SENDERS) this.#senders.delete(this.#senders.keys().next().value!);
    return sender;
  }

  #strange(payload: string): void {
    if (/^[0-9a-zA-Z][a-z][0-9a-f]{16}/.test(payload)) {
      const reason = `Cannot read a frame of version "${
        payload[0]
      }" as this process speaks version "${WIRE_VERSION}"`;
      return this.#refuse(
        new PgAdapterError(
          "WIRE_VERSION",
          `${reason}: run one version of the package in the whole cluster`,
        ),
        reason,
      );
    }
    this.#malformed(
      new MalformedMessage("Cannot read a payload as it is neither JSON nor a frame"),
      excerpt(payload),
    );
  }
}
