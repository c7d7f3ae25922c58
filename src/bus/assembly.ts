/**
 * Puts records together that came in chunks. Those of a record come one after the other, as they are sent in one go by
 * one sender.
 */
import { type Frame, MAX_PAYLOAD_BYTES, ownCopy } from "../wire/frame.ts";
import { MalformedMessage } from "../wire/message.ts";

/** How many records of the largest size may be put together at once. */
const MAX_RECORDS = 4;

/** A record that has not come whole yet. */
interface Assembly {
  readonly uid: string;
  /** The channel that its first chunk came on. */
  readonly channel: string | undefined;
  pieces: string[];
  length: number;
  count: number;
  /** The sequence of the chunk that continues it. */
  next: number;
  /** When its last chunk came. */
  since: number;
}

/** What assemblies tell. */
export interface AssembliesEvents {
  /** A chunk came whose record did not begin here. */
  headless(): void;
  /** A record that was begun on a channel will not come whole. */
  givenUp(uid: string, channel: string | undefined): void;
}

/** The records of several senders. */
export class Assemblies {
  readonly #maxLength: number;
  readonly #patienceMs: number;
  readonly #events: AssembliesEvents;
  /** Those that are begun, in the order of use. */
  readonly #open: Map<string, Assembly> = new Map();
  /** How many characters they have. */
  #length = 0;

  /**
   * @param maxLength The most characters of a record.
   * @param patienceMs Milliseconds after which a record whose next chunk does not come is given up.
   */
  constructor(maxLength: number, patienceMs: number, events: AssembliesEvents) {
    this.#maxLength = maxLength;
    this.#patienceMs = patienceMs;
    this.#events = events;
  }

  /**
   * Takes a frame of whole records or of a piece of one.
   *
   * @returns What is whole with it, if anything.
   * @throws MalformedMessage when the record would be too large.
   */
  take({ uid, sequence, channel, chunk, body }: Frame): string | undefined {
    const open = this.#open.get(uid);
    if (chunk === undefined) {
      if (open !== undefined) this.#giveUp(open);
      return body;
    }
    const { index, count } = chunk;
    if (count > this.#maxLength / (MAX_PAYLOAD_BYTES / 4)) {
      throw new MalformedMessage(
        `Cannot put a record together as it has ${count} chunks, more than maxPayload allows`,
      );
    }
    const continues = open !== undefined && sequence === open.next && count === open.count &&
      index === open.pieces.length;
    if (continues) return this.#add(open, sequence, body);
    // What was begun is not finished, or (who starts to listen in the middle of a record) never began here.
    if (open !== undefined) this.#giveUp(open);
    if (index === 0 && count > 0) {
      return this.#add(
        { uid: ownCopy(uid), channel, pieces: [], length: 0, count, next: 0, since: 0 },
        sequence,
        body,
      );
    }
    this.#events.headless();
    return undefined;
  }

  /** Gives up records whose rest does not come. Called now and then. */
  sweep(): void {
    const before = performance.now() - this.#patienceMs;
    for (const assembly of this.#open.values()) if (assembly.since < before) this.#giveUp(assembly);
  }

  #add(assembly: Assembly, sequence: number, piece: string): string | undefined {
    this.#forget(assembly);
    assembly.pieces.push(piece);
    assembly.length += piece.length;
    if (assembly.pieces.length === assembly.count) return assembly.pieces.join("");
    assembly.next = sequence + 1;
    assembly.since = performance.now();
    this.#open.set(assembly.uid, assembly);
    this.#length += assembly.length;
    // Past the bound those of whom was silent for longest go.
    while (this.#length > MAX_RECORDS * this.#maxLength) {
      this.#giveUp(this.#open.values().next().value!);
    }
    return undefined;
  }

  #giveUp(assembly: Assembly): void {
    this.#forget(assembly);
    this.#events.givenUp(assembly.uid, assembly.channel);
  }

  #forget(assembly: Assembly): void {
    if (this.#open.delete(assembly.uid)) this.#length -= assembly.length;
  }
}
