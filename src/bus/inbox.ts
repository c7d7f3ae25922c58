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

/** How many kinds of malformed messages are told apart. */
const MAX_KINDS = 100;

/** Milliseconds after which a record whose next chunk does not come is given up. */
const ASSEMBLY_MS = 10_000;

/** How many records of the largest size may be put together at once. */
const MAX_RECORDS_ASSEMBLING = 4;

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
  /** How many pieces the record has. */
  count: number;
  /** When the last piece came. */
  since: number;
}

/** Reads what arrives. */
export class Inbox {
  readonly #uid: string;
  readonly #maxRecordLength: number;
  readonly #events: InboxEvents;
  readonly #senders: Map<string, Sender> = new Map();
  /** How many characters of unfinished records there are. */
  #assembling = 0;
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
        const message = decodePlain(payload, place);
        return this.#deliver(undefined, () => message);
      }
      if (!payload.startsWith(WIRE_VERSION)) return this.#strange(payload);
      this.stats.frames++;
      this.stats.characters += payload.length;
      this.#receiveFrame(decodeFrame(payload));
    } catch (fault) {
      this.#malformed(fault, excerpt(payload));
    }
  }

  /** Gives up records whose rest does not come: their senders are gone. Called now and then. */
  sweep(): void {
    if (this.#assembling === 0) return;
    const before = performance.now() - ASSEMBLY_MS;
    for (const sender of this.#senders.values()) {
      if (sender.pieces.length > 0 && sender.since < before) this.#giveUp(sender);
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
    const isNext = frame.sequence === sender.sequence + 1;
    sender.sequence = frame.sequence;
    if (frame.kind === "p") return;
    let records: string | undefined = frame.body;
    if (frame.chunk !== undefined) {
      records = this.#assemble(sender, frame.chunk, isNext, frame.body);
    } else if (sender.pieces.length > 0) this.#giveUp(sender);
    if (records === undefined) return;
    for (const decode of decodeMessages(records)) this.#deliver(frame.uid, decode);
  }

  /** One message that is refused does not take its neighbours with it. */
  #deliver(uid: string | undefined, decode: () => Message): void {
    let what = "a record";
    try {
      const message = decode();
      what = `type ${message.type}`;
      this.stats.messages++;
      this.#events.message(uid, message);
    } catch (fault) {
      this.#malformed(fault, what);
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
    for (const [known, at] of this.#reported) {
      if (now - at >= QUIET_MS) this.#reported.delete(known);
    }
    if (this.#reported.has(kind) || this.#reported.size >= MAX_KINDS) return;
    this.#reported.set(kind, now);
    this.#events.error(error);
  }

  /** The chunks of a record come one after the other, as they are sent in one go by one sender. */
  #assemble(
    sender: Sender,
    { index, count }: { index: number; count: number },
    isNext: boolean,
    piece: string,
  ): string | undefined {
    if (count > this.#maxRecordLength / (MAX_PAYLOAD_BYTES / 2)) {
      throw new MalformedMessage(
        `Cannot put a record together as it has ${count} chunks, more than maxPayload allows`,
      );
    }
    const { pieces } = sender;
    const follows = index === 0
      ? pieces.length === 0
      : isNext && pieces.length === index && sender.count === count;
    // What was begun is not finished, or (who starts to listen in the middle of a record) never began here.
    if (!follows) this.#giveUp(sender);
    if (index >= count || (!follows && index > 0)) return undefined;
    sender.pieces.push(piece);
    sender.count = count;
    sender.since = performance.now();
    this.#assembling += piece.length;
    this.#bound();
    if (sender.pieces.length < count) return undefined;
    const record = sender.pieces.join("");
    this.#clear(sender);
    return record;
  }

  /** A record will not come whole. */
  #giveUp(sender: Sender): void {
    this.stats.incomplete++;
    this.#clear(sender);
  }

  #clear(sender: Sender): void {
    for (const { length } of sender.pieces) this.#assembling -= length;
    sender.pieces = [];
  }

  /** Records that are begun take memory: past the bound those of whom was silent for longest go. */
  #bound(): void {
    if (this.#assembling <= MAX_RECORDS_ASSEMBLING * this.#maxRecordLength) return;
    for (const sender of this.#senders.values()) {
      if (sender.pieces.length > 0) return this.#giveUp(sender);
    }
  }

  #senderOf(uid: string): Sender {
    const sender = this.#senders.get(uid) ?? { sequence: 0, pieces: [], count: 0, since: 0 };
    // Deleting first keeps the map in the order of use.
    this.#senders.delete(uid);
    this.#senders.set(uid, sender);
    if (this.#senders.size > MAX_SENDERS) this.#forgetOldest();
    return sender;
  }

  #forgetOldest(): void {
    const [uid, sender] = this.#senders.entries().next().value!;
    this.#clear(sender);
    this.#senders.delete(uid);
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
