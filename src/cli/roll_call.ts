/**
 * Who of a cluster is there, found out by somebody who is no member of it: heartbeats tell that a process lives, and one
 * that was heard can be asked for its state, which it tells whoever asks. It is asked with the seal that its heartbeat
 * has, and not at all where that cannot be opened: servers report what they cannot open.
 */
import { Assemblies } from "../bus/assembly.ts";
import { messageOf } from "../errors.ts";
import { Sealer } from "../runtime/sealer.ts";
import { clusterChannel, privateChannel } from "../wire/channel.ts";
import { createUid, decodeFrame, encodeFrame, ownCopy, UID_LENGTH } from "../wire/frame.ts";
import {
  decodeMessages,
  encodeMessage,
  MalformedMessage,
  maxRecordLength,
  type Message,
  MessageType,
  rooms,
} from "../wire/message.ts";
import { isEncrypted, isSealed } from "../wire/seal.ts";

/** The most characters of a state: a hundred thousand namespaces fit. */
const MAX_RECORD = maxRecordLength(32 * 1024 * 1024);

/** Milliseconds after which a state whose next chunk does not come is given up. */
const PATIENCE_MS = 10_000;

/** As many as a cluster may have: what claims to be more is not believed. */
const MAX_PROCESSES = 1_024;

/** What a process says of itself. */
export interface ProcessState {
  readonly namespaces: readonly string[];
  /** Whether it listens to the channels of its rooms. */
  readonly hasRoomChannels: boolean;
  /** The mark of its parser; empty for Socket.IO's default one. */
  readonly parser: string;
}

/** A process that was heard. */
export interface HeardProcess {
  readonly uid: string;
  /** When it was heard last, as `performance.now()` says it. */
  readonly at: number;
  readonly seal: "none" | "signed" | "encrypted";
  /** Why what it says cannot be read. */
  readonly fault?: string;
  readonly state?: ProcessState;
  readonly hasLeft: boolean;
}

/** Listens to heartbeats, and asks for states. */
export class RollCall {
  /** The channels that it needs to hear. */
  readonly channels: readonly string[];
  readonly #prefix: string;
  readonly #uid: string = createUid();
  readonly #openers: Sealer | undefined;
  readonly #sealers: { readonly signed: Sealer; readonly encrypted: Sealer } | undefined;
  readonly #ask: ((channel: string, payload: string) => void) | undefined;
  readonly #assemblies: Assemblies;
  readonly #heard: Map<string, HeardProcess> = new Map();
  readonly #asked: Set<string> = new Set();
  #sequence = 0;

  /**
   * @param secret That of the servers, if there is one.
   * @param ask Notifies a question; without it nobody is asked.
   */
  constructor(
    prefix: string,
    secret: string | undefined,
    ask?: (channel: string, payload: string) => void,
  ) {
    this.#prefix = prefix;
    this.#ask = ask;
    this.channels = [clusterChannel(prefix), privateChannel(prefix, this.#uid)];
    if (secret !== undefined) {
      // One that does not encrypt opens both.
      this.#openers = new Sealer(secret);
      this.#sealers = { signed: new Sealer(secret), encrypted: new Sealer(secret, true) };
    }
    this.#assemblies = new Assemblies(MAX_RECORD, PATIENCE_MS, {
      headless() {},
      givenUp() {},
    });
  }

  /** Those that were heard so far. */
  get heard(): ReadonlyMap<string, HeardProcess> {
    return this.#heard;
  }

  /**
   * Takes a payload. Never throws.
   *
   * @param at When it came, as `performance.now()` says it.
   */
  receive(channel: string, payload: string, at: number): void {
    // Where it is in all frames, also in encrypted ones.
    const uid = ownCopy(payload.slice(2, 2 + UID_LENGTH));
    // What is no frame of this version is nobody's heartbeat.
    if (!payload.startsWith("1") || !/^[0-9a-f]{16}$/.test(uid) || uid === this.#uid) return;
    const known = this.#heard.get(uid);
    if (known === undefined && this.#heard.size >= MAX_PROCESSES) return;
    const seal = isEncrypted(payload) ? "encrypted" : isSealed(payload) ? "signed" : "none";
    const base = { ...known, uid, at, seal, hasLeft: known?.hasLeft ?? false } as const;
    try {
      const message = this.#read(this.#open(channel, payload, seal));
      const { fault: _fault, ...well } = base;
      if (message === "left") return void this.#heard.set(uid, { ...well, hasLeft: true });
      const state = message === undefined ? undefined : stateOf(message);
      this.#heard.set(uid, { ...well, ...(state === undefined ? {} : { state }), hasLeft: false });
      if (this.#heard.get(uid)?.state === undefined) this.#askOnce(uid, seal);
    } catch (fault) {
      // What is forged does not speak against what could be read.
      if (known !== undefined && known.fault === undefined) return;
      this.#heard.set(uid, { ...base, fault: messageOf(fault) });
    }
  }

  #open(channel: string, payload: string, seal: HeardProcess["seal"]): string {
    if (seal !== "none" && this.#openers === undefined) {
      throw new Error("it is sealed, and there is no secret here");
    }
    if (seal === "none" && this.#openers !== undefined) {
      throw new Error("it has no seal, and there is a secret here");
    }
    return this.#openers?.open(channel, payload) ?? payload;
  }

  /** The last message of a frame about the process itself; nothing before a record is whole. */
  #read(payload: string): Message | "left" | undefined {
    const frame = decodeFrame(payload);
    if (frame.kind === "b") return "left";
    if (frame.kind !== "r" && frame.kind !== "c") return undefined;
    const records = this.#assemblies.take(frame);
    if (records === undefined) return undefined;
    let last: Message | undefined;
    for (const decode of decodeMessages(records)) {
      const message = decode();
      if (STATES.has(message.type)) last = message;
    }
    return last;
  }

  #askOnce(uid: string, seal: HeardProcess["seal"]): void {
    if (this.#ask === undefined || this.#asked.has(uid)) return;
    this.#asked.add(uid);
    const channel = privateChannel(this.#prefix, uid);
    const record = encodeMessage({ type: MessageType.STATE_REQUEST });
    // Without a predecessor, as emitters send: it is no member, and remembers nothing.
    const frame = encodeFrame({ kind: "r", uid: this.#uid, sequence: ++this.#sequence }, record);
    const sealer = seal === "none" ? undefined : this.#sealers?.[seal];
    this.#ask(channel, sealer?.seal(channel, frame) ?? frame);
  }
}

/** Messages that carry the state of their sender. */
const STATES: ReadonlySet<MessageType> = new Set([
  MessageType.INITIAL_HEARTBEAT,
  MessageType.STATE,
]);

function stateOf({ value }: Message): ProcessState {
  const { n, d, e } = value !== null && typeof value === "object"
    ? value as Record<string, unknown>
    : {};
  if (typeof d !== "boolean" || typeof e !== "string") {
    throw new MalformedMessage("Cannot read the state of a process");
  }
  return { namespaces: rooms(n).map(String), hasRoomChannels: d, parser: e };
}
