/**
 * One connection attempt and, if it succeeds, the connection: a postgres.js instance of its own, that is never queried
 * again once its connection is lost. An instance that reconnects by itself hangs or floods in fifteen measured ways;
 * one that is thrown away has none of them.
 */
import postgres from "postgres";
import { messageOf, PgAdapterError } from "../errors.ts";
import { withDeadline } from "./deadline.ts";
import { type Address, type ConnectionSettings, describeTarget } from "./settings.ts";
import { type Dial, dial } from "./socket.ts";

/** More than is ever in flight: past it postgres.js queues by itself, and a queued query makes it reconnect. */
const MAX_PIPELINE = 1_000_000;
/** postgres.js must never reconnect by itself; this is how long it would wait. */
const NEVER_SECONDS = 1e6;
/** How long a closing socket has to send its farewell. */
const FAREWELL_MS = 250;

/** What holds for a session: time limits in milliseconds, and whose it is. */
export interface SessionLimits {
  /** For the socket, TLS and the first answer. */
  connect: number;
  /** For one statement. */
  statement: number;
  /** Whether the session of the server is ours alone: not behind a pooler. */
  isOwn: boolean;
}

/** What a session tells. */
export interface SessionEvents {
  notification?(channel: string, payload: string): void;
  /** Told once, whatever happened first; not after `end()`. */
  lost(error: PgAdapterError): void;
}

/** Rows as postgres.js returns them. */
export type Rows = Record<string, unknown>[];

/**
 * Settings of the server for our sessions, where they are ours alone (a pooler hands them on to others); those that it does not have are passed over. A listener that stops reading
 * would block every NOTIFY of the cluster, so the server is told to give up on it.
 */
const SERVER_SETTINGS: readonly (readonly [name: string, value: string])[] = [
  ["tcp_user_timeout", "15s"],
  ["tcp_keepalives_idle", "10"],
  ["tcp_keepalives_interval", "5"],
  ["tcp_keepalives_count", "3"],
  ["lock_timeout", "2s"],
  ["idle_session_timeout", "0"],
  ["idle_in_transaction_session_timeout", "5s"],
  ["synchronous_commit", "off"],
];

const SET = `(select count(set_config(s.name, w.value, false)) from pg_settings s join (values ${
  SERVER_SETTINGS.map(([name, value]) => `('${name}','${value}')`).join(",")
}) as w(name, value) on s.name = w.name)`;

function openingText(isOwn: boolean): string {
  return `select pg_is_in_recovery() as standby, pg_encoding_to_char(encoding) as encoding${
    isOwn ? `, ${SET} as applied` : ""
  } from pg_database where datname = current_database()`;
}

/** One connection. */
export class Session {
  readonly #settings: ConnectionSettings;
  readonly #address: Address;
  readonly #limits: SessionLimits;
  readonly #events: SessionEvents;
  readonly #applicationName: string;
  readonly #waiting: Set<(error: PgAdapterError) => void> = new Set();
  #sql: postgres.Sql | undefined;
  #dial: Dial | undefined;
  #over: PgAdapterError | undefined;
  #opened = false;

  constructor(
    settings: ConnectionSettings,
    address: Address,
    applicationName: string,
    limits: SessionLimits,
    events: SessionEvents,
  ) {
    this.#settings = settings;
    this.#address = address;
    this.#limits = limits;
    this.#events = events;
    this.#applicationName = applicationName;
  }

  /**
   * Connects and makes sure that the server is one we can work with.
   *
   * @throws PgAdapterError `CONNECT_FAILED`, `AUTHENTICATION_FAILED`, `NOT_UTF8`, `STANDBY`.
   */
  async open(): Promise<void> {
    try {
      return await withDeadline(
        this.#untilOver(this.#connect()),
        this.#limits.connect,
        () => new Error(`there was no answer within ${this.#limits.connect} ms`),
      );
    } catch (fault) {
      const error = this.#connectError(fault);
      this.#finish(error);
      throw error;
    }
  }

  /**
   * Runs a statement; without parameters several may stand in one text.
   *
   * @throws PgAdapterError `CONNECTION_LOST` as soon as the connection is lost or the statement takes too long; otherwise
   * what PostgreSQL refused the statement with.
   */
  async query(text: string, parameters?: string[]): Promise<Rows> {
    const sql = this.#sql;
    if (this.#over !== undefined || sql === undefined) {
      throw this.#over ?? this.#lost("it is not open");
    }
    const late = () => this.#lost(`a statement took more than ${this.#limits.statement} ms`);
    // A query starts when it is awaited, so that a lost connection is never queried again.
    const query = parameters === undefined
      ? sql.unsafe(text)
      : sql.unsafe(text, parameters, { prepare: true });
    const running: Promise<Rows> = query.then((rows) => [...rows]);
    try {
      return await withDeadline(this.#untilOver(running), this.#limits.statement, late);
    } catch (fault) {
      if (isRefusal(fault)) throw fault;
      const error = fault instanceof PgAdapterError ? fault : this.#lost(messageOf(fault), fault);
      this.lose(error);
      throw error;
    }
  }

  /** Makes sure that the connection is there; it is given up when it is not. Never rejects. */
  async check(ms: number): Promise<void> {
    const { statement } = this.#limits;
    const late = () => this.#lost(`it was silent, and did not answer within ${ms} ms`);
    try {
      await withDeadline(this.query("select 1"), Math.min(ms, statement), late);
    } catch (fault) {
      if (fault instanceof PgAdapterError) this.lose(fault);
    }
  }

  /** Waits for something that happens on this connection: rejects when it is lost, or when that takes too long. */
  wait<T>(promise: Promise<T>, late: () => PgAdapterError): Promise<T> {
    return withDeadline(this.#untilOver(promise), this.#limits.statement, late);
  }

  /** Gives the connection up: everything that waits for it is rejected now, whatever the driver does. */
  lose(error: PgAdapterError): void {
    if (this.#finish(error)) this.#events.lost(error);
  }

  /** Says goodbye to the server and closes the socket. */
  async end(): Promise<void> {
    if (this.#over !== undefined) return;
    this.#over = this.#lost("it was closed");
    this.#rejectWaiting(this.#over);
    const closing = this.#sql?.end({ timeout: FAREWELL_MS / 1000 }) ?? Promise.resolve();
    try {
      await withDeadline(closing, FAREWELL_MS * 2, () => new Error("the farewell took too long"));
    } catch (_fault) {
      // A half-open connection cannot say goodbye; its socket is destroyed all the same.
    } finally {
      this.#dial?.destroy();
    }
  }

  async #connect(): Promise<void> {
    const { database, user, parameters, prepare, tls } = this.#settings;
    const password = await this.#settings.password();
    if (this.#over !== undefined) throw this.#over;
    // Some of them are missing in the driver's types.
    const driverOptions = {
      host: "path" in this.#address ? "localhost" : this.#address.host,
      port: "path" in this.#address ? 5432 : this.#address.port,
      database,
      user,
      password,
      prepare,
      max: 1,
      max_pipeline: MAX_PIPELINE,
      max_lifetime: null,
      idle_timeout: 0,
      // Both deadlines are our own: the driver's keep running after a session is given up.
      connect_timeout: 0,
      backoff: () => NEVER_SECONDS,
      // Its query for array types has nobody who hears its rejection.
      fetch_types: false,
      ssl: false,
      connection: { application_name: this.#applicationName, ...parameters },
      onnotice: () => {},
      onclose: () => this.lose(this.#lost("the server closed it")),
      onnotify: (channel: string, payload: string) => {
        if (this.#over === undefined) this.#events.notification?.(channel, payload);
      },
      socket: () => {
        if (this.#dial !== undefined || this.#over !== undefined) {
          return Promise.reject(this.#over ?? this.#lost("an instance connects only once"));
        }
        this.#dial = dial(this.#address, tls);
        return this.#dial.ready;
      },
    };
    const sql = this.#sql = postgres(
      driverOptions as postgres.Options<Record<string, never>>,
    ) as postgres.Sql;
    const [row] = await sql.unsafe(openingText(this.#limits.isOwn));
    if (row === undefined) throw new Error("the server did not say what it is");
    if (row.standby === true) {
      throw new PgAdapterError(
        "STANDBY",
        `Cannot use ${this.#where()} as it is a standby, which refuses LISTEN and NOTIFY: give the address of the primary`,
      );
    }
    if (row.encoding !== "UTF8") {
      throw new PgAdapterError(
        "NOT_UTF8",
        `Cannot use ${this.#where()} as its encoding is ${row.encoding}: create the database with ENCODING 'UTF8' TEMPLATE template0`,
      );
    }
    this.#opened = true;
  }

  #where(): string {
    return describeTarget(this.#settings, this.#address);
  }

  /** What is awaited of a session ends with it. */
  #untilOver<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#over !== undefined) reject(this.#over);
      this.#waiting.add(reject);
      promise.then(resolve, reject).finally(() => this.#waiting.delete(reject));
    });
  }

  #rejectWaiting(error: PgAdapterError): void {
    for (const reject of this.#waiting) reject(error);
    this.#waiting.clear();
  }

  #finish(error: PgAdapterError): boolean {
    if (this.#over !== undefined) return false;
    this.#over = error;
    this.#rejectWaiting(error);
    this.#dial?.destroy();
    // The instance only has to forget its queries; its socket is gone, and what it says of that is known.
    this.#sql?.end({ timeout: 0 }).catch(() => {});
    return true;
  }

  #lost(why: string, cause?: unknown): PgAdapterError {
    const where = this.#where();
    const options = cause === undefined ? undefined : { cause };
    return this.#opened
      ? new PgAdapterError("CONNECTION_LOST", `Lost the connection to ${where} as ${why}`, options)
      : new PgAdapterError("CONNECT_FAILED", `Cannot connect to ${where} as ${why}`, options);
  }

  #connectError(fault: unknown): PgAdapterError {
    if (fault instanceof PgAdapterError) return fault;
    const code = fault !== null && typeof fault === "object" && "code" in fault
      ? String(fault.code)
      : "";
    const refused = code.startsWith("28");
    const remedy = refused
      ? "check the user, the password and pg_hba.conf"
      : "check that PostgreSQL runs there and can be reached";
    return new PgAdapterError(
      refused ? "AUTHENTICATION_FAILED" : "CONNECT_FAILED",
      `Cannot connect to ${this.#where()} as ${messageOf(fault)}: ${remedy}`,
      { cause: fault },
    );
  }
}

/** Whether the server refused a statement and goes on; everything else (FATAL, the socket) ends the connection. */
function isRefusal(fault: unknown): boolean {
  return fault instanceof Error && "severity" in fault && fault.severity === "ERROR";
}
