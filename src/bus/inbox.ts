/**
 * What arrives: payloads in, messages out, in the order of their sender, each once.
 */
import type { Ask } from "../wire/ask.ts";
import {
  decodeFrame,
  type Frame,
  isFrameOf,
  isRepeated,
  sequenceOf,
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
import { numberMessages, splitNumber } from "../wire/logged.ts";
import { PgAdapterError } from "../errors.ts";
import { CommitOrder } from "../recovery/commit_order.ts";
import type { Sealer } from "../runtime/sealer.ts";
import { isSealed, Refused } from "../wire/seal.ts";
import { Assemblies } from "./assembly.ts";
import { Complaints } from "./complaints.ts";
import type { Place } from "./places.ts";
import { Processes } from "./processes.ts";

/** Milliseconds after which a record whose next chunk does not come is given up: of an emitter. */
const EMITTERS_ASSEMBLY_MS = 10_000;

/** The same for a process, which goes on after an outage of the database. */
const ASSEMBLY_MS = 300_000;

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
  /** Frames that had been missed, and came when they were asked for. */
  repaired: number;
  /** Messages that were missed and could not be had any more, as far as they are known. */
  missed: number;
  /** How often something was missed for good: each is a `gap` event, of which nobody may know how many messages it is. */
  gaps: number;
  /** Records in chunks that did not come whole. */
  incomplete: number;
  /** Payloads and messages that are none of ours, forged frames and those without a valid seal included. */
  malformed: number;
  /** Frames in the name of a process that did not send them, or not in that place, as far as their numbers tell. */
  forged: number;
  /** Payloads without a valid seal, where there is a `secret`. */
  refused: number;
}

/** What an inbox tells and needs. */
export interface InboxEvents {
  /**
   * @param uid The sender's; none for a plain message.
   * @throws MalformedMessage when the message is refused.
   */
  message(uid: string | undefined, message: Message): void;
  /** Whether a channel is one of processes, and never one of a namespace or a room. */
  isOfProcesses(channel: string): boolean;
  /** Whether it matters that one of our own frames comes back. */
  isEchoWanted(): boolean;
  /**
   * One of our own frames came back.
   *
   * @param number Its number in the log of connection state recovery, where it is in it.
   */
  echo(sequence: number, number: number | undefined): void;
  /** Whether some of what this process has sent itself, with recovery, was missed, and will be handed over later. */
  isOwnMissing(): boolean;
  /** A process was heard of. */
  heard(uid: string): void;
  /** Whether what comes on a channel is for this process. */
  isWanted(channel: string): boolean;
  /** Whether a process is a member of the cluster, as far as is known. */
  isMember(uid: string): boolean;
  /** A process has said its last words. */
  left(uid: string): void;
  /** A process asks for what it missed of this one. */
  asked(uid: string, ask: Ask): void;
  /** Something was missed of a process: it is to be asked. */
  ask(uid: string, ask: Omit<Ask, "hasRoomChannels">): void;
  /** Messages of a process were missed for good; how many, where that is known. */
  gap(uid: string, missed: number | undefined): void;
  error(error: PgAdapterError): void;
}

/** The options that an inbox uses. */
export interface InboxOptions {
  readonly maxPayload: number;
  readonly replayWindow: number;
}

/** Reads what arrives. */
export class Inbox {
  /** The processes that send. */
  readonly processes: Processes;
  readonly #uid: string;
  readonly #sealer: Sealer | undefined;
  readonly #events: InboxEvents;
  readonly #complaints: Complaints;
  readonly #assemblies: Assemblies;
  /** Of emitters, which have no order over all that they send: several connections of a pool may share one. */
  readonly #emitters: Assemblies;
  #order: CommitOrder | undefined;
  readonly #stats: Omit<InboxStats, "malformed"> = {
    messages: 0,
    frames: 0,
    characters: 0,
    duplicates: 0,
    repaired: 0,
    missed: 0,
    gaps: 0,
    incomplete: 0,
    forged: 0,
    refused: 0,
  };

  constructor(
    uid: string,
    options: InboxOptions,
    sealer: Sealer | undefined,
    events: InboxEvents,
  ) {
    this.#uid = uid;
    this.#sealer = sealer;
    this.#events = events;
    this.#complaints = new Complaints((error) => events.error(error));
    const headless = () => void this.#stats.incomplete++;
    const maxLength = maxRecordLength(options.maxPayload);
    this.#emitters = new Assemblies(maxLength, EMITTERS_ASSEMBLY_MS, {
      headless,
      givenUp: headless,
    });
    this.#assemblies = new Assemblies(maxLength, ASSEMBLY_MS, {
      headless,
      givenUp: (sender, channel) => {
        this.#stats.incomplete++;
        // Who begins to listen in the middle of a record did not miss it, nor did who has left by the end of it.
        if (events.isMember(sender) && events.isWanted(channel!)) this.#gap(sender, 1);
      },
    });
    this.processes = new Processes(options.replayWindow, {
      deliver: (sender, frame, isTrusted) => {
        if (frame.isRepeat) this.#stats.repaired++;
        if (frame.kind === "b") events.left(sender);
        else if (frame.kind === "r" || frame.kind === "c") {
          this.#deliverRecords(sender, this.#assemblies, frame, isTrusted);
        }
      },
      isMember: (sender) => events.isMember(sender),
      asked: (sender, ask) => events.asked(sender, ask),
      ask: (sender, ask) => events.ask(sender, ask),
      gap: (sender, missed) => this.#gap(sender, missed),
      duplicate: () => void this.#stats.duplicates++,
      settled: () => this.settled(),
      forged: (sender) => {
        this.#stats.forged++;
        this.#complaints.malformed(
          new MalformedMessage("Cannot take a frame as its sender did not send it in its place"),
          `sender ${sender}`,
        );
      },
    });
  }

  /** What it has seen so far. */
  get stats(): InboxStats {
    return { ...this.#stats, malformed: this.#complaints.count };
  }

  /**
   * Takes a payload. Never throws.
   *
   * @param channel The channel it came on.
   * @param place What the channel stands for: nothing if it is one of processes, or not wanted any more.
   */
  receive(channel: string, payload: string, place?: Place): void {
    const { number, frame } = splitNumber(payload);
    const isOwn = isFrameOf(this.#uid, frame);
    // Nobody looks at the own frames but for the first, and heartbeats.
    if (isOwn && !this.#events.isEchoWanted()) return;
    try {
      const opened = this.#sealer === undefined ? frame : this.#sealer.open(channel, frame);
      if (isOwn) return this.#echo(opened, number);
      this.#receiveOpened(channel, opened, number, place);
    } catch (fault) {
      if (fault instanceof Refused) this.#unsigned(fault);
      else this.#complaints.malformed(fault, excerpt(payload));
    }
  }

  /** From now on messages are handed over in the order of the log of connection state recovery. */
  keepOrder(): void {
    this.#order = new CommitOrder();
  }

  /** Hands over what this process has sent and its own clients get, in its place. */
  own(number: number | undefined, deliver: () => void): void {
    if (this.#order === undefined) return deliver();
    this.#order.take(this.#uid, number, this.#isComplete, deliver);
  }

  /** Less is missing than before: what was held may be handed over. */
  settled(): void {
    if (this.#order?.isHolding && this.#isComplete) this.#order.release();
  }

  /**
   * Gives up what does not come. Called now and then.
   *
   * @param isAsking Whether others are asked for it, as far as the connection goes.
   */
  sweep(isAsking = true): void {
    this.#assemblies.sweep();
    this.#emitters.sweep();
    this.processes.sweep(isAsking);
  }

  get #isComplete(): boolean {
    return !this.processes.isWaiting && !this.#events.isOwnMissing();
  }

  /** Anybody may send in our name. */
  #echo(frame: string, number: number | undefined): void {
    // What is said again for others is old, and proves nothing of what was sent since.
    if (isRepeated(frame)) return;
    const sequence = sequenceOf(frame);
    if (frame.startsWith(WIRE_VERSION) && sequence > 0) this.#events.echo(sequence, number);
  }

  #receiveOpened(
    channel: string,
    payload: string,
    number: number | undefined,
    place: Place | undefined,
  ): void {
    if (payload.startsWith("{")) {
      if (place === undefined) {
        // What is for a namespace or a room that was just left is for nobody here.
        if (!this.#events.isOfProcesses(channel)) return;
        throw new MalformedMessage("Cannot read a plain message as its channel has no namespace");
      }
      const message = decodePlain(payload, place);
      if (number !== undefined) message.number = number;
      return this.#deliver(undefined, () => message);
    }
    if (!payload.startsWith(WIRE_VERSION)) return this.#strange(payload);
    this.#stats.frames++;
    this.#stats.characters += payload.length;
    if (this.#sealer === undefined && isSealed(payload)) {
      throw new MalformedMessage('Cannot read a sealed payload as this process has no "secret"');
    }
    const frame = decodeFrame(payload);
    if (number !== undefined) frame.number = number;
    if (frame.chunk !== undefined) frame.channel = channel;
    this.#receiveFrame(channel, frame);
  }

  #receiveFrame(channel: string, frame: Frame): void {
    const { uid, kind } = frame;
    this.#events.heard(uid);
    if (kind === "p") return;
    if (frame.previous !== undefined) return this.processes.receive(channel, frame);
    if (kind !== "r" && kind !== "c") {
      throw new MalformedMessage(`Cannot read a frame of kind "${kind}" without its predecessor`);
    }
    this.#deliverRecords(uid, this.#emitters, frame, false);
  }

  #gap(uid: string, missed: number | undefined): void {
    this.#stats.gaps++;
    this.#stats.missed += missed ?? 0;
    this.#events.gap(uid, missed);
  }

  /** The messages in a frame, or in the record that is whole with it. */
  #deliverRecords(uid: string, assemblies: Assemblies, frame: Frame, isTrusted: boolean): void {
    try {
      const records = assemblies.take(frame);
      if (records === undefined) return;
      const deliver = (decode: () => Message, number?: number) =>
        this.#deliver(uid, () => {
          const message = decode();
          // Who knows the secret is one of us.
          if (isTrusted || this.#sealer !== undefined) message.trusted = true;
          if (number !== undefined) message.number = number;
          return message;
        });
      if (frame.number === undefined) {
        for (const decode of decodeMessages(records)) deliver(decode);
        return;
      }
      for (const { number, decode } of numberMessages(records, frame.number)) {
        deliver(decode, number);
      }
    } catch (fault) {
      this.#complaints.malformed(fault, `sender ${uid}`);
    }
  }

  /** One message that is refused does not take its neighbours with it. */
  #deliver(uid: string | undefined, decode: () => Message): void {
    let what = "a record";
    try {
      const message = decode();
      what = `type ${message.type}`;
      this.#stats.messages++;
      // What processes say of themselves is in no log. Held, it would be overtaken by the goodbye of its sender, and bring
      // that back.
      if (this.#order === undefined || message.nsp === undefined) {
        return this.#events.message(uid, message);
      }
      // Plain messages have no sender, and keep their order as if it were one.
      this.#order.take(uid ?? "", message.number, this.#isComplete, () => {
        try {
          this.#events.message(uid, message);
        } catch (fault) {
          this.#complaints.malformed(fault, what);
        }
      });
    } catch (fault) {
      this.#complaints.malformed(fault, what);
    }
  }

  #unsigned(fault: Refused): void {
    const { message, fault: reason } = fault;
    this.#stats.refused++;
    this.#complaints.add(
      new PgAdapterError("UNSIGNED", `${message} (${reason})`, { cause: fault }),
      reason,
    );
  }

  #strange(payload: string): void {
    if (/^[0-9a-zA-Z][a-zA-Z][0-9a-f]{16}/.test(payload)) {
      const reason = `Cannot read a frame of version "${
        payload[0]
      }" as this process speaks version "${WIRE_VERSION}"`;
      return this.#complaints.add(
        new PgAdapterError(
          "WIRE_VERSION",
          `${reason}: run one version of the package in the whole cluster`,
        ),
        reason,
      );
    }
    this.#complaints.malformed(
      new MalformedMessage("Cannot read a payload as it is neither JSON nor a frame"),
      excerpt(payload),
    );
  }
}
