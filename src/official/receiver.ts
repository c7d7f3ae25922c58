/**
 * Takes what arrives on the other wire, in the order in which it arrives: what lies in the table is fetched before
 * anything later is taken.
 */
import { Complaints } from "../bus/complaints.ts";
import type { Rows } from "../bus/session.ts";
import { messageOf, PgAdapterError } from "../errors.ts";
import { excerpt, MalformedMessage, MessageType } from "../wire/message.ts";
import {
  attachmentIdOf,
  decodeOfficial,
  isOurs,
  type OfficialMessage,
  parseOfficial,
} from "./message.ts";
import { decodeMsgpack } from "./msgpack.ts";
import { fetchStatement, type OfficialStatement } from "./statement.ts";

/** What a receiver has done. */
export interface ReceiverStats {
  /** Messages that came from servers of theirs and from emitters, signs of life among them. */
  received: number;
  /** What could not be read. */
  malformed: number;
}

/** What a receiver needs to know, and whom it tells. */
export interface ReceiverContext {
  /** The name of the table. */
  readonly table: string;
  /** The most bytes of what lies in it. */
  readonly maxBytes: number;
  /** Milliseconds for acknowledgements, where none are said. */
  readonly patience: number;
  /** Runs a statement, before what is sent. */
  run(statement: OfficialStatement): Promise<Rows>;
  /** @throws MalformedMessage when the message is refused. */
  take(message: OfficialMessage): void;
  error(error: PgAdapterError): void;
}

/** What arrives on the other wire. */
export class Receiver {
  readonly #context: ReceiverContext;
  readonly #complaints: Complaints;
  #queue: { nsp: string; payload: string }[] = [];
  #isFetching = false;
  #received = 0;

  constructor(context: ReceiverContext) {
    this.#context = context;
    this.#complaints = new Complaints((error) => context.error(error));
  }

  /** What it has done so far. */
  get stats(): ReceiverStats {
    return { received: this.#received, malformed: this.#complaints.count };
  }

  /** Takes a notification on the channel of a namespace. Never throws. */
  notified(nsp: string, payload: string): void {
    // It has come, or will come, on our own wire.
    if (isOurs(payload)) return;
    if (this.#isFetching) this.#queue.push({ nsp, payload });
    else this.#read(nsp, payload);
  }

  /** Takes what waited, and waits again where something lies in the table. */
  #resume(): void {
    this.#isFetching = false;
    const queue = this.#queue;
    let taken = 0;
    while (taken < queue.length && !this.#isFetching) {
      const { nsp, payload } = queue[taken++]!;
      this.#read(nsp, payload);
    }
    this.#queue = queue.slice(taken);
  }

  #read(nsp: string, payload: string): void {
    try {
      const parsed = parseOfficial(payload);
      const id = attachmentIdOf(parsed);
      if (id === undefined) return this.#take(parsed, nsp);
      this.#isFetching = true;
      void this.#fetch(nsp, id);
    } catch (fault) {
      this.#complaints.malformed(fault, excerpt(payload));
    }
  }

  async #fetch(nsp: string, id: string): Promise<void> {
    const { table, maxBytes, run } = this.#context;
    const what = `attachment ${id} of table ${table}`;
    try {
      const [row] = await run(fetchStatement(table, id, maxBytes));
      const { payload, bytes } = row ?? {};
      if (!(payload instanceof Uint8Array)) {
        throw new MalformedMessage(
          row === undefined
            ? "Cannot read a message as the rest of it is not in the table any more"
            : `Cannot read a message as the rest of it has ${bytes} bytes, more than ${maxBytes}`,
        );
      }
      this.#take(decodeMsgpack(payload), nsp);
    } catch (fault) {
      if (fault instanceof MalformedMessage) this.#complaints.malformed(fault, what);
      else {
        const code = fault instanceof PgAdapterError ? fault.code : "ATTACHMENTS_UNAVAILABLE";
        const reason = `Lost a message of a server of @socket.io/postgres-adapter: ${
          messageOf(fault)
        }`;
        this.#complaints.add(
          new PgAdapterError(code, `${reason}: ${what}`, { cause: fault }),
          reason,
        );
      }
    } finally {
      this.#resume();
    }
  }

  #take(given: unknown, nsp: string): void {
    const taken = decodeOfficial(given, nsp, this.#context.patience);
    this.#received++;
    this.#context.take(taken);
  }
}

/** Whether a message is about who is there. */
export function isPresence(type: MessageType): boolean {
  return type === MessageType.INITIAL_HEARTBEAT || type === MessageType.HEARTBEAT ||
    type === MessageType.ADAPTER_CLOSE;
}
