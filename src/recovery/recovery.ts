/**
 * Connection state recovery: the sessions of clients that have left, and what was sent to them meanwhile, in PostgreSQL.
 */
import { withDeadline } from "../bus/deadline.ts";
import { piecesKey } from "../bus/packer.ts";
import type { Rows, Session as Connection } from "../bus/session.ts";
import { codeOf, isPassing, READ_ONLY } from "../bus/sql_state.ts";
import { messageOf, PgAdapterError } from "../errors.ts";
import type { Sealer } from "../runtime/sealer.ts";
import { decodeFrame, type Frame } from "../wire/frame.ts";
import { numberMessages } from "../wire/logged.ts";
import { MalformedMessage, type Message } from "../wire/message.ts";
import { decodePlain } from "../wire/plain.ts";
import { beginLog } from "./schema.ts";
import { decodeSession, encodeSession, type Session } from "./session.ts";
import { Turns } from "./turns.ts";

/** What recovery is to do, from the options of the Socket.IO server. */
export interface RecoveryOptions {
  /** For how many milliseconds after it has left a client may come back. */
  readonly maxDisconnectionDuration: number;
  /** After how many milliseconds without a sign of life a connection has been given up. */
  readonly silence: number;
  /** Whether what is kept survives a crash of the database. */
  readonly isDurable: boolean;
}

/** What recovery needs of the publishing connection. */
export interface RecoveryPublisher {
  /** Whether something may have been committed without an answer. */
  isUnclear(): boolean;
  /** Settles when all that was published before is committed. */
  flush(): Promise<void>;
  query(text: string, parameters: (string | null)[]): Promise<Rows>;
}

/** What recovery has done. */
export interface RecoveryStats {
  /** Sessions that were kept. */
  persisted: number;
  /** Clients that came back and got what they had missed. */
  restored: number;
  /** Clients that came back too late, or with what no session is known for. */
  expired: number;
  /** Sessions that could not be kept, and clients that could not be helped, since something failed. */
  failed: number;
}

/** A session, and the packets that may be for it, in order. */
export interface Restored {
  readonly session: Session;
  readonly packets: readonly Message[];
}

/** A row of the log. */
interface Row {
  readonly number: number;
  readonly plain?: Message;
  readonly frame?: Frame;
}

interface Kept {
  readonly pid: string;
  readonly keys: readonly string[];
  readonly session: string;
  /** The characters of all that. */
  readonly length: number;
  /** Which one it is, however often it is sent. */
  readonly origin: string;
  /** When the client left, as `performance.now()` says it. */
  readonly leftAt: number;
}

/** A client waits for it before it is connected. */
const RESTORE_MS = 2_000;

/** For how long a session is waited for that is still on its way; the first look again, each later one after twice that. */
const LATE_MS = 1_000;
const LOOK_MS = 25;

/**
 * How many questions of clients that come back PostgreSQL has at once. It answers one after the other, in some
 * milliseconds each, and a connection whose statement takes too long is given up: thousands may come back at once. With
 * fewer it would wait for the next ones where it is far away.
 */
const QUESTIONS = 64;

/** The most packets that a client gets when it comes back. */
const MAX_PACKETS = 10_000;

/** How much of packets that did not fit into one frame a client gets at most, in bytes. */
const MAX_PIECES_BYTES = 64 * 1024 * 1024;

/**
 * How many characters of sessions wait for PostgreSQL at most, and how many sessions: all clients of a server leave at once
 * when it is closed.
 */
const MAX_WAITING_LENGTH = 64 * 1024 * 1024;
const MAX_WAITING = 100_000;

/** How often what was refused for the moment (a lock that somebody holds) is tried again, and after how long. */
const RETRIES = 5;
const RETRY_MS = 200;

/** About how many characters of sessions one statement carries: others wait for it. */
const STATEMENT_LENGTH = 1_000_000;

/** The most characters of a session, for the same reason. */
const MAX_SESSION_LENGTH = 10_000_000;

/** Milliseconds that what was sent is kept for longer than anybody may need it. */
const MARGIN_MS = 10_000;

/** Keeps sessions, and gives them back. */
export class Recovery {
  readonly stats: RecoveryStats = { persisted: 0, restored: 0, expired: 0, failed: 0 };
  readonly #uid: string;
  readonly #options: RecoveryOptions;
  readonly #sealer: Sealer | undefined;
  readonly #publisher: RecoveryPublisher;
  readonly #error: (error: PgAdapterError) => void;
  readonly #turns: Turns = new Turns(QUESTIONS);
  #waiting: Kept[] = [];
  /** The characters of their sessions. */
  #waitingLength = 0;
  /** Whether it was told, since sessions were kept last, that some were dropped. */
  #hasOverflowed = false;
  /** How many sessions were kept or taken. */
  #count = 0;
  #keeping: Promise<void> | undefined;
  /** Whether there is a new connection since that began. */
  #isToResume = false;

  constructor(
    uid: string,
    options: RecoveryOptions,
    sealer: Sealer | undefined,
    publisher: RecoveryPublisher,
    error: (error: PgAdapterError) => void,
  ) {
    this.#uid = uid;
    this.#options = options;
    this.#sealer = sealer;
    this.#publisher = publisher;
    this.#error = error;
  }

  /**
   * Makes a connection ready.
   *
   * @returns The last number in the log.
   * @throws PgAdapterError `RECOVERY_UNAVAILABLE`.
   */
  begin(connection: Connection): Promise<number> {
    const { maxDisconnectionDuration, silence, isDurable } = this.#options;
    return beginLog(connection, maxDisconnectionDuration + silence + MARGIN_MS, isDurable);
  }

  /**
   * Keeps a session, once all that was sent to it before is in the log.
   *
   * @param keys The channels of its namespace and of its rooms.
   */
  keep(session: Session, keys: readonly string[]): void {
    try {
      const text = encodeSession(session, this.#uid, this.#sealer);
      if (text.length > MAX_SESSION_LENGTH) return this.#tooLarge(session, text.length);
      this.#waiting.push({
        pid: session.pid,
        keys,
        session: text,
        length: keys.reduce((sum, key) => sum + key.length, text.length),
        origin: this.#next(),
        leftAt: performance.now(),
      });
      this.#waitingLength += this.#waiting.at(-1)!.length;
    } catch (cause) {
      this.stats.failed++;
      return this.#error(
        new PgAdapterError(
          "NOT_ENCODABLE",
          `Cannot keep the session of socket ${session.sid} as its data cannot be serialized: ${
            messageOf(cause)
          }`,
          { cause },
        ),
      );
    }
    this.#bound();
    this.#schedule();
  }

  /** Those who left first are new clients soon in any case. */
  #bound(): void {
    let dropped = 0;
    while (
      this.#waiting.length - dropped > MAX_WAITING || this.#waitingLength > MAX_WAITING_LENGTH
    ) {
      this.#waitingLength -= this.#waiting[dropped++]!.length;
    }
    if (dropped === 0) return;
    this.#waiting.splice(0, dropped);
    this.stats.failed += dropped;
    if (this.#hasOverflowed) return;
    this.#hasOverflowed = true;
    this.#error(
      new PgAdapterError(
        "BUFFER_FULL",
        `Cannot keep more than ${MAX_WAITING} sessions, or ${MAX_WAITING_LENGTH} characters of them, for when the database takes them: clients that left first come back as new ones`,
      ),
    );
  }

  #tooLarge({ sid }: Session, length: number): void {
    this.stats.failed++;
    this.#error(
      new PgAdapterError(
        "PAYLOAD_TOO_LARGE",
        `Cannot keep the session of socket ${sid} as its rooms and data take ${length} characters, and may take ${MAX_SESSION_LENGTH}`,
      ),
    );
  }

  /** Tries again what could not be kept: there is a connection. */
  resume(): void {
    // What is under way may be about to fail with the connection that was lost.
    if (this.#keeping !== undefined) this.#isToResume = true;
    else if (this.#waiting.length > 0) this.#schedule();
  }

  /** Settles when there is nothing to keep any more, or it cannot be kept now. Never rejects. */
  async flush(): Promise<void> {
    while (this.#keeping !== undefined) await this.#keeping;
  }

  #schedule(): void {
    this.#keeping ??= this.#keepAll().finally(() => {
      this.#keeping = undefined;
      if (!this.#isToResume) return;
      this.#isToResume = false;
      this.resume();
    });
  }

  async #keepAll(): Promise<void> {
    let refused = 0;
    while (this.#waiting.length > 0) {
      // Not those who leave meanwhile: what was sent to them may be behind what is waited for.
      const batch = this.#takeWaiting();
      // What was sent to them before is in the log before whoever restores them looks there.
      await this.#publisher.flush();
      const now = performance.now();
      const fresh = batch.filter(({ leftAt }) =>
        now - leftAt < this.#options.maxDisconnectionDuration
      );
      const sessions = fresh.map(({ leftAt, length: _, ...kept }) => ({
        ...kept,
        ago: now - leftAt,
      }));
      try {
        await this.#publisher.query("select socketio.recovery_keep($1::text::json)", [
          JSON.stringify(sessions),
        ]);
        this.stats.persisted += fresh.length;
        this.#hasOverflowed = false;
        refused = 0;
      } catch (cause) {
        const code = codeOf(cause);
        // The connection is lost, or leads to a standby and is about to be given up: with the next one it is tried again.
        const isOver = cause instanceof PgAdapterError || code === READ_ONLY;
        if (isOver || isPassing(code) && refused++ < RETRIES) {
          this.#waiting = [...fresh, ...this.#waiting];
          this.#waitingLength += lengthOf(fresh);
          if (isOver) return;
          await pause(RETRY_MS);
          continue;
        }
        this.stats.failed += fresh.length;
        this.#error(failed(`keep ${fresh.length} sessions`, cause));
      }
    }
  }

  /** Some of those that wait, for one statement. */
  #takeWaiting(): Kept[] {
    let [count, length] = [0, 0];
    for (const each of this.#waiting) {
      length += each.length;
      if (count > 0 && length > STATEMENT_LENGTH) break;
      count++;
    }
    const taken = this.#waiting.splice(0, count);
    this.#waitingLength -= lengthOf(taken);
    return taken;
  }

  /**
   * Takes a session, which nobody else gets then.
   *
   * @param namespace The channel of its namespace.
   * @param after The number of the last packet that the client has received.
   * @param isBehind Whether clients have got things that are not in the log yet.
   * @returns The session and what may be for it, or nothing: there is none, it is too old, or not all can be told.
   */
  async restore(
    pid: string,
    namespace: string,
    after: number,
    isBehind = false,
  ): Promise<Restored | undefined> {
    try {
      const restored = await withDeadline(
        this.#restore(pid, namespace, after, performance.now() + RESTORE_MS, isBehind),
        RESTORE_MS,
        tooLate,
      );
      if (restored === undefined) this.stats.expired++;
      else this.stats.restored++;
      return restored;
    } catch (cause) {
      this.stats.failed++;
      this.#error(failed("restore a session", cause));
      return undefined;
    }
  }

  async #restore(
    pid: string,
    namespace: string,
    after: number,
    end: number,
    isBehind: boolean,
  ): Promise<Restored | undefined> {
    if (isBehind) await this.#flushed(end);
    const { maxDisconnectionDuration, silence } = this.#options;
    const taker = this.#next();
    let lateUntil: number | undefined;
    for (let look = LOOK_MS;; look *= 2) {
      const rows = await this.#ask(
        "select * from socketio.recovery_restore($1,$2,$3,$4,$5,$6,$7)",
        [
          pid,
          namespace,
          String(after),
          String(maxDisconnectionDuration),
          String(silence),
          String(MAX_PACKETS),
          taker,
        ],
        end,
      );
      const [first, ...rest] = rows;
      if (first !== undefined) {
        if (first["frame"] === null) return undefined;
        const session = decodeSession(pid, String(first["frame"]), this.#sealer);
        const packets = await this.#packets(rest, after, end);
        return packets === undefined ? undefined : { session, packets };
      }
      lateUntil ??= Math.min(end, performance.now() + LATE_MS);
      const left = lateUntil - performance.now();
      if (left <= 0) return undefined;
      // Who comes back at once may be faster than the server that it left.
      await pause(Math.min(look, left));
    }
  }

  /** Asks, and asks again where the connection is lost meanwhile, as long as somebody waits for the answer. */
  async #ask(text: string, parameters: string[], end: number): Promise<Rows> {
    for (;;) {
      try {
        return await this.#turns.take(async () => {
          // What a client gets from the log, and its server hears of later, is known by its number.
          if (this.#publisher.isUnclear()) await this.#flushed(end);
          // A session that is taken is gone, and nobody waits for the answer any more.
          if (performance.now() > end) throw tooLate();
          return await this.#publisher.query(text, parameters);
        });
      } catch (fault) {
        if (!(fault instanceof PgAdapterError) || performance.now() > end) throw fault;
      }
      await pause(LOOK_MS);
    }
  }

  /** All that was published before is in the log. Who waits no longer takes no session, and asks nothing. */
  async #flushed(end: number): Promise<void> {
    await withDeadline(this.#publisher.flush(), Math.max(0, end - performance.now()), tooLate);
  }

  /** The packets of these rows; nothing when pieces of them are not there any more, or too many. */
  async #packets(rows: Rows, after: number, end: number): Promise<Message[] | undefined> {
    const kept: Row[] = [];
    let count = 0;
    for (const row of rows) {
      const each = this.#read(row);
      // What did not fit into a frame is one message; of one that has several the client may have received some.
      if (each.number <= after && each.frame?.chunk !== undefined) continue;
      if (each.number <= after && each.plain !== undefined) continue;
      count += countOf(each, after);
      // Before more is read, or asked for.
      if (count > MAX_PACKETS) return undefined;
      kept.push(each);
    }
    const pieces = await this.#pieces(kept.flatMap(({ frame }) => frame ?? []), end);
    const packets: Message[] = [];
    for (const { frame, plain, number } of kept) {
      if (plain !== undefined) packets.push({ ...plain, number });
      if (frame === undefined) continue;
      const { chunk } = frame;
      const before = chunk === undefined ? [] : pieces.get(keyOf(frame)) ?? [];
      if (before.length !== (chunk?.index ?? 0)) return undefined;
      for (const each of readable(before.join("") + frame.body, number)) {
        if (each.number > after) {
          packets.push({ ...each.message, trusted: true, number: each.number });
        }
      }
    }
    return packets;
  }

  #read(row: Rows[number]): Row {
    const payload = this.#open(row);
    const number = Number(row["number"]);
    // A plain message, as SQL sends it: it names its namespace unless that is the main one.
    if (payload.startsWith("{")) return { number, plain: decodePlain(payload, { nsp: "/" }) };
    return { number, frame: decodeFrame(payload) };
  }

  /** What was sent before the last frames of large packets. */
  async #pieces(frames: readonly Frame[], end: number): Promise<Map<string, string[]>> {
    const keys = frames.filter(({ chunk }) => chunk !== undefined).map(keyOf);
    const pieces = new Map<string, string[]>(keys.map((key) => [key, []]));
    if (keys.length === 0) return pieces;
    const rows = await this.#ask(
      "select * from socketio.recovery_pieces($1,$2)",
      [`{${keys.join(",")}}`, String(MAX_PIECES_BYTES)],
      end,
    );
    for (const row of rows) pieces.get(String(row["key"]))?.push(decodeFrame(this.#open(row)).body);
    return pieces;
  }

  #next(): string {
    return `${this.#uid}:${++this.#count}`;
  }

  #open(row: Rows[number]): string {
    const frame = String(row["frame"]);
    return this.#sealer?.openKept(String(row["channel"]), frame) ?? frame;
  }
}

function lengthOf(kept: readonly Kept[]): number {
  return kept.reduce((sum, { length }) => sum + length, 0);
}

/** How many messages of a row come after a number, at most. */
function countOf({ number, frame }: Row, after: number): number {
  if (frame === undefined || frame.chunk !== undefined) return 1;
  let count = 0;
  try {
    for (const each of numberMessages(frame.body, number)) if (each.number > after) count++;
  } catch (fault) {
    if (!(fault instanceof MalformedMessage)) throw fault;
  }
  return count;
}

/** What can be read of a frame: those who have stayed got no more of it either. */
function* readable(
  records: string,
  first: number,
): Generator<{ number: number; message: Message }, void, undefined> {
  try {
    for (const { number, decode } of numberMessages(records, first)) {
      let message: Message;
      try {
        message = decode();
      } catch (fault) {
        if (fault instanceof MalformedMessage) continue;
        throw fault;
      }
      yield { number, message };
    }
  } catch (fault) {
    if (!(fault instanceof MalformedMessage)) throw fault;
  }
}

/** Where what was sent before the last frame of a large packet is kept. */
function keyOf({ uid, sequence, chunk }: Frame): string {
  return piecesKey(uid, sequence - (chunk?.index ?? 0));
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function tooLate(): Error {
  return new Error(`PostgreSQL did not answer within ${RESTORE_MS} ms`);
}

function failed(what: string, cause: unknown): PgAdapterError {
  return new PgAdapterError("RECOVERY_FAILED", `Cannot ${what}: ${messageOf(cause)}`, { cause });
}
