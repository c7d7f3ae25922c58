/**
 * What travels, read by somebody who is no member of the cluster: payloads in, what they say out. Nothing is asked for,
 * so what was missed is missing.
 */
import { Assemblies } from "../bus/assembly.ts";
import type { Place, Places } from "../bus/places.ts";
import { messageOf } from "../errors.ts";
import type { Sealer } from "../runtime/sealer.ts";
import { VERBS } from "../trace.ts";
import { checkEvent } from "../wire/event.ts";
import { decodeFrame, type Frame, ownCopy } from "../wire/frame.ts";
import {
  argsOf,
  decodeMessages,
  type Flags,
  maxRecordLength,
  type Message,
  MessageType,
  type Room,
} from "../wire/message.ts";
import { byteLength, decodeEvent } from "../wire/packet.ts";
import { decodePlain } from "../wire/plain.ts";
import { splitNumber } from "../wire/logged.ts";
import { isSealed, Refused } from "../wire/seal.ts";

/** The most bytes of a packet: the default of `maxPayload`. */
const MAX_PACKET_BYTES = 32 * 1024 * 1024;

/** Milliseconds after which a record whose next chunk does not come is given up. */
const PATIENCE_MS = 30_000;

/** How many senders are remembered. */
const MAX_SENDERS = 10_000;

/** Something that was heard: a message, or what is wrong with a payload. */
export interface Heard {
  readonly at: Date;
  readonly channel: string;
  /** The verb, "other", or why it cannot be shown: "malformed", "sealed" (there is no secret), "refused" (its seal is wrong). */
  readonly type: string;
  /** The sender; none for a plain message. */
  readonly from?: string;
  readonly nsp?: string;
  readonly rooms?: readonly Room[];
  readonly except?: readonly Room[];
  readonly flags?: Flags;
  /** Whether somebody waits for answers. */
  readonly ack?: boolean;
  readonly event?: string | number;
  /** The arguments of the event; none where another parser encoded them. */
  readonly args?: readonly unknown[];
  /** What the verb needs besides: rooms to join, whether to close. */
  readonly value?: unknown;
  /** How many bytes the packet has. */
  readonly bytes?: number;
  readonly error?: string;
}

/** Reads what travels. */
export class Traffic {
  /** Records in chunks that did not come whole. */
  incomplete = 0;
  readonly #places: Places;
  readonly #sealer: Sealer | undefined;
  readonly #heard: (heard: Heard) => void;
  readonly #assemblies: Assemblies;
  /** The last sequence number of each sender, in the order of use. */
  readonly #sequences: Map<string, number> = new Map();

  constructor(places: Places, sealer: Sealer | undefined, heard: (heard: Heard) => void) {
    this.#places = places;
    this.#sealer = sealer;
    this.#heard = heard;
    const lost = () => void this.incomplete++;
    this.#assemblies = new Assemblies(maxRecordLength(MAX_PACKET_BYTES), PATIENCE_MS, {
      headless: lost,
      givenUp: lost,
    });
  }

  /** Takes a payload. Never throws. */
  receive(channel: string, numbered: string, at: Date): void {
    // What the log of connection state recovery puts before it is outside of the seal.
    const { frame: payload } = splitNumber(numbered);
    let type = "malformed";
    try {
      if (this.#sealer === undefined && isSealed(payload)) {
        type = "sealed";
        throw new Error("Cannot open a sealed payload without the secret of the servers");
      }
      const opened = this.#sealer?.open(channel, payload) ?? payload;
      if (opened.startsWith("{")) {
        const place = this.#places.of(channel);
        if (place === undefined) return;
        return this.#tell(channel, at, undefined, place, decodePlain(opened, place));
      }
      this.#receiveFrame(channel, decodeFrame(opened), at);
    } catch (fault) {
      if (fault instanceof Refused) type = "refused";
      this.#heard({ at, channel, type, error: messageOf(fault) });
    }
  }

  /** Gives up what does not come. Called now and then. */
  sweep(): void {
    this.#assemblies.sweep();
  }

  #receiveFrame(channel: string, frame: Frame, at: Date): void {
    const { kind, uid } = frame;
    // The rest is about processes.
    if (kind !== "r" && kind !== "c") return;
    if (this.#isKnown(frame)) return;
    const place = this.#places.of(channel);
    const records = this.#assemblies.take(frame);
    if (records === undefined || place === undefined) return;
    for (const decode of decodeMessages(records)) {
      try {
        this.#tell(channel, at, uid, place, decode());
      } catch (fault) {
        this.#heard({ at, channel, type: "malformed", from: uid, error: messageOf(fault) });
      }
    }
  }

  /** Whether a frame came before: it is said again to others, or its sender could not know whether it was committed. */
  #isKnown({ uid, sequence, isResent, isRepeat }: Frame): boolean {
    if (isRepeat) return true;
    const last = this.#sequences.get(uid) ?? 0;
    if (isResent && sequence <= last) return true;
    this.#sequences.delete(uid);
    this.#sequences.set(ownCopy(uid), Math.max(sequence, last));
    if (this.#sequences.size > MAX_SENDERS) {
      this.#sequences.delete(this.#sequences.keys().next().value!);
    }
    return false;
  }

  #tell(
    channel: string,
    at: Date,
    from: string | undefined,
    place: Place,
    message: Message,
  ): void {
    const { type, nsp = place.nsp, rooms = [], except = [], flags = {}, parts, value } = message;
    const isEmit = type === MessageType.BROADCAST;
    const isAsked = message.requestId !== undefined;
    let data: readonly unknown[] | undefined;
    if (isEmit && message.parser === undefined) {
      checkEvent(nsp, parts ?? [], false);
      data = decodeEvent(nsp, parts ?? []);
    } else if (type === MessageType.SERVER_SIDE_EMIT) data = argsOf(message);
    this.#heard({
      at,
      channel,
      type: VERBS.get(type) ?? "other",
      ...(from === undefined ? {} : { from }),
      nsp,
      rooms,
      except,
      ...(Object.keys(flags).length > 0 ? { flags } : {}),
      ...(isAsked ? { ack: true } : {}),
      ...(data === undefined ? {} : { event: data[0] as string | number, args: data.slice(1) }),
      // Of an event it is how long somebody waits.
      ...(value === undefined || isEmit ? {} : { value }),
      ...(parts === undefined ? {} : { bytes: byteLength(parts) }),
    });
  }
}
