/**
 * Which processes are there, and which namespaces each of them has. One heartbeat per process tells it all: it carries
 * the version of the process' state, and who does not know that version asks for the state.
 */
import { MalformedMessage, type Message, MessageType, rooms } from "../wire/message.ts";

/** Another process of the cluster. */
interface Node {
  uid: string;
  namespaces: Set<string>;
  version: number;
  /** Whether it listens to the channels of the rooms that it has members in. */
  hasRoomChannels: boolean;
  parser: string;
  lastHeard: number;
  /** Whether its state was asked for since its last heartbeat. */
  asked: boolean;
}

/** The state of a process as it travels: version, namespaces, room channels, parser. */
interface State {
  s: number;
  n: readonly string[];
  d: boolean;
  e: string;
}

/** Most processes of a cluster: what claims to be more is not believed. */
const MAX_NODES = 1_024;

/** What membership tells and needs. */
export interface MembershipEvents {
  /** @param isBack Whether it had been silent for too long, and counted as gone. */
  nodeUp(uid: string, isBack: boolean): void;
  /** @param why `left` said goodbye, `silent` was not heard of for too long. */
  nodeDown(uid: string, why: "left" | "silent"): void;
  /** A process has closed a namespace. */
  namespaceClosed(uid: string, nsp: string): void;
  /** A process uses another parser than this one. */
  otherParser(uid: string, parser: string): void;
  /** A process says what it sent last, and where. */
  sent(uid: string, channel: string, sequence: number): void;
  /** Sends to all processes, or to one. */
  send(message: Message, to?: string): void;
}

/** The other processes of the cluster. */
export class Membership {
  readonly #events: MembershipEvents;
  readonly #timeout: number;
  readonly #nodes: Map<string, Node> = new Map();
  readonly #namespaces: Set<string> = new Set();
  /** Processes that were silent for too long; the last ones. */
  readonly #silent: Set<string> = new Set();
  /**
   * Those of them that may still hear what is sent, but not what is sent on the channels of rooms; and since when they
   * do not hear at all, as `performance.now()` says it.
   */
  readonly #deafToRooms: Map<string, number | undefined> = new Map();
  /** Processes that are not gone, and were not heard of since an outage. */
  readonly #unheard: Set<string> = new Set();
  #opened: Set<string> = new Set();
  #closed: Set<string> = new Set();
  #announcing = false;
  #version = 0;
  #hasRoomChannels: boolean;
  #parser = "";
  #left = false;

  /**
   * @param timeout Milliseconds without a heartbeat after which a process counts as gone.
   * @param hasRoomChannels Whether this process listens to the channels of its rooms.
   */
  constructor(timeout: number, hasRoomChannels: boolean, events: MembershipEvents) {
    this.#timeout = timeout;
    this.#hasRoomChannels = hasRoomChannels;
    this.#events = events;
  }

  /** The uids of the other processes. */
  get nodes(): string[] {
    return [...this.#nodes.keys()];
  }

  /** The uids of the other processes that have a namespace. */
  having(nsp: string): string[] {
    const uids: string[] = [];
    for (const node of this.#nodes.values()) if (node.namespaces.has(nsp)) uids.push(node.uid);
    return uids;
  }

  /**
   * Whether every process that is known listens to the channels of its rooms; those included that were silent for too
   * long, and may hear all the same.
   */
  get allHaveRoomChannels(): boolean {
    if (this.#deafToRooms.size > 0) return false;
    for (const node of this.#nodes.values()) if (!node.hasRoomChannels) return false;
    return true;
  }

  /** Whether a process is one of them. */
  has(uid: string): boolean {
    return this.#nodes.has(uid);
  }

  /** Processes that were silent for too long, and matter as long as they hear. */
  get silent(): string[] {
    return [...this.#deafToRooms.keys()];
  }

  /**
   * Which of them do not hear at the moment.
   *
   * @param patience Milliseconds without a break after which they do not matter any more.
   */
  absent(uids: readonly string[], patience: number): void {
    const now = performance.now();
    for (const [uid, since = now] of this.#deafToRooms) {
      if (!uids.includes(uid)) this.#deafToRooms.set(uid, undefined);
      else if (now - since < patience) this.#deafToRooms.set(uid, since);
      else this.#deafToRooms.delete(uid);
    }
  }

  /** A process says whether it listens to the channels of its rooms. */
  note(uid: string, hasRoomChannels: boolean): void {
    const node = this.#nodes.get(uid);
    if (node !== undefined) node.hasRoomChannels = hasRoomChannels;
  }

  /** This process speaks with this parser. */
  set parser(parser: string) {
    this.#parser = parser;
  }

  /** Whether this process listens to the channels of its rooms. */
  get hasRoomChannels(): boolean {
    return this.#hasRoomChannels;
  }

  /** This process listens to the channels of its rooms, or not any more. */
  set hasRoomChannels(has: boolean) {
    if (this.#hasRoomChannels === has) return;
    this.#hasRoomChannels = has;
    this.#version++;
    this.#send({ type: MessageType.STATE, value: this.#state() });
  }

  /** This process has a namespace, and listens to it. */
  open(nsp: string): void {
    this.#namespaces.add(nsp);
    this.#closed.delete(nsp);
    this.#opened.add(nsp);
    this.#announce();
  }

  /** This process has closed a namespace. */
  close(nsp: string): void {
    if (!this.#namespaces.delete(nsp)) return;
    this.#opened.delete(nsp);
    this.#closed.add(nsp);
    this.#announce();
  }

  /** Says hello to all, who answer with their state. */
  hello(): void {
    // Who misses the hello must see from the next heartbeat that there was a change.
    if (this.#opened.size + this.#closed.size > 0) this.#version++;
    this.#opened.clear();
    this.#closed.clear();
    this.#send({ type: MessageType.INITIAL_HEARTBEAT, value: this.#state() });
  }

  /**
   * Says that this process is alive.
   *
   * @param last What it sent last to everybody, and where.
   */
  heartbeat(last: { channel: string; sequence: number } | undefined): void {
    const value = {
      s: this.#version,
      ...last !== undefined && { c: last.channel, l: last.sequence },
    };
    this.#send({ type: MessageType.HEARTBEAT, value });
  }

  /** Says nothing any more: that would bring this process back at the others. */
  leave(): void {
    this.#left = true;
  }

  /** Takes note of a sign of life. */
  heard(uid: string): void {
    const node = this.#nodes.get(uid);
    if (node === undefined) return;
    node.lastHeard = performance.now();
    this.#unheard.delete(uid);
  }

  /** A process has said its last words. */
  left(uid: string): void {
    const node = this.#nodes.get(uid);
    if (node !== undefined) this.#remove(node, "left");
  }

  /** An outage begins: nobody is heard of, and nobody counts as gone for that. */
  interrupted(): void {
    for (const uid of this.#nodes.keys()) this.#unheard.add(uid);
  }

  /** Whether everybody was heard of since the last outage. */
  get areAllHeard(): boolean {
    return this.#unheard.size === 0;
  }

  /** After an outage everybody has time to be heard of again. */
  refresh(): void {
    for (const node of this.#nodes.values()) node.lastHeard = performance.now();
  }

  /** Lets go of processes that were silent for too long. */
  sweep(): void {
    const before = performance.now() - this.#timeout;
    for (const node of this.#nodes.values()) {
      if (node.lastHeard < before) this.#remove(node, "silent");
    }
  }

  /**
   * Takes a message about processes.
   *
   * @throws MalformedMessage when its value is not what it should be.
   */
  receive(uid: string, message: Message): void {
    switch (message.type) {
      case MessageType.INITIAL_HEARTBEAT:
        this.#learn(uid, stateOf(message.value));
        return this.#send({ type: MessageType.STATE, value: this.#state() }, uid);
      case MessageType.STATE:
        return this.#learn(uid, stateOf(message.value));
      case MessageType.STATE_REQUEST:
        return this.#send({ type: MessageType.STATE, value: this.#state() }, uid);
      case MessageType.HEARTBEAT: {
        const { s, c, l } = objectOf(message.value);
        const node = this.#nodes.get(uid);
        if (node === undefined || node.version !== s) this.#ask(uid, node);
        else node.asked = false;
        if (typeof c === "string" && Number.isSafeInteger(l)) {
          this.#events.sent(uid, c, l as number);
        }
        return;
      }
      case MessageType.NAMESPACES: {
        const { s, o, c } = objectOf(message.value);
        const node = this.#nodes.get(uid);
        // A state that overtook it says it all.
        if (node !== undefined && s <= node.version) return;
        if (node === undefined || node.version + 1 !== s) return this.#ask(uid, node);
        const opened = rooms(o), closed = rooms(c);
        node.version = s;
        for (const nsp of opened) node.namespaces.add(String(nsp));
        for (const nsp of closed) this.#closeAt(node, String(nsp));
        return;
      }
      default:
        throw new MalformedMessage(
          `Cannot read a message of type ${message.type} as it needs a namespace`,
        );
    }
  }

  /** What opens and closes in one tick is one message. */
  #announce(): void {
    if (this.#announcing) return;
    this.#announcing = true;
    queueMicrotask(() => {
      this.#announcing = false;
      if (this.#opened.size + this.#closed.size === 0) return;
      const value = { s: ++this.#version, o: [...this.#opened], c: [...this.#closed] };
      this.#opened.clear();
      this.#closed.clear();
      this.#send({ type: MessageType.NAMESPACES, value });
    });
  }

  #send(message: Message, to?: string): void {
    if (!this.#left) this.#events.send(message, to);
  }

  #state(): State {
    return {
      s: this.#version,
      n: [...this.#namespaces],
      d: this.#hasRoomChannels,
      e: this.#parser,
    };
  }

  #ask(uid: string, node: Node | undefined): void {
    if (node?.asked) {
      node.asked = false;
      return;
    }
    if (node !== undefined) node.asked = true;
    this.#send({ type: MessageType.STATE_REQUEST }, uid);
  }

  #learn(uid: string, state: State): void {
    const known = this.#nodes.get(uid);
    if (known === undefined && this.#nodes.size >= MAX_NODES) {
      throw new MalformedMessage(
        `Cannot take in another process as there are ${MAX_NODES} already`,
      );
    }
    // Answers of one process may be overtaken by what it said to all since.
    if (known !== undefined && state.s < known.version) return;
    const node: Node = {
      uid,
      namespaces: new Set(state.n),
      version: state.s,
      hasRoomChannels: state.d,
      parser: state.e,
      lastHeard: performance.now(),
      asked: false,
    };
    this.#nodes.set(uid, node);
    this.#deafToRooms.delete(uid);
    if (known === undefined) this.#events.nodeUp(uid, this.#silent.delete(uid));
    for (const nsp of known?.namespaces ?? []) {
      if (!node.namespaces.has(nsp)) this.#events.namespaceClosed(uid, nsp);
    }
    if (known?.parser !== state.e && state.e !== this.#parser) {
      this.#events.otherParser(uid, state.e);
    }
  }

  #closeAt(node: Node, nsp: string): void {
    if (node.namespaces.delete(nsp)) this.#events.namespaceClosed(node.uid, nsp);
  }

  #remove(node: Node, why: "left" | "silent"): void {
    this.#nodes.delete(node.uid);
    this.#unheard.delete(node.uid);
    if (why === "silent") {
      this.#silent.add(node.uid);
      if (!node.hasRoomChannels) this.#deafToRooms.set(node.uid, undefined);
    }
    if (this.#silent.size > MAX_NODES) {
      const [oldest] = this.#silent;
      this.#silent.delete(oldest!);
      this.#deafToRooms.delete(oldest!);
    }
    this.#events.nodeDown(node.uid, why);
  }
}

function objectOf(value: unknown): Record<string, unknown> & { s: number } {
  if (
    value === null || typeof value !== "object" || !("s" in value) || !Number.isSafeInteger(value.s)
  ) {
    throw new MalformedMessage(
      "Cannot read a message about a process as it has no version of its state",
    );
  }
  return value as Record<string, unknown> & { s: number };
}

function stateOf(value: unknown): State {
  const { s, n, d, e } = objectOf(value);
  if (typeof d !== "boolean" || typeof e !== "string") {
    throw new MalformedMessage("Cannot read the state of a process");
  }
  return { s, n: rooms(n).map(String), d, e };
}
