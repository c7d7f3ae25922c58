/**
 * One connection attempt and, if it succeeds, the connection: a postgres.js instance of its own, that is never queried
 * again once its connection is lost. An instance that reconnects by itself hangs or floods in fifteen measured ways;
 * one that is thrown away has none of them.
 */
import postgres from "postgres";
import { messageOf, PgAdapterError } from "../errors.ts";
import { withDeadline } from "./deadline.ts";
import { type Address, type ConnectionSettings, describeTarget } from "./settings.ts";
import { type Dial, dial, KEEP_ALIVE_MS, readTlsFiles, TlsFault } from "./socket.ts";
import { codeOf } from "./sql_state.ts";

/** More than is ever in flight: past it postgres.js queues by itself, and a queued query makes it reconnect. */
const MAX_PIPELINE = 1_000_000;
/** The driver's own time until it probes an idle connection would go over that of the socket. */
const KEEP_ALIVE_SECONDS = KEEP_ALIVE_MS / 1_000;
/** How long a closing socket has to send its farewell. */
const FAREWELL_MS = 250;

/** What holds for a session: time limits in milliseconds, and whose it is. */
export interface SessionLimits {
  /** For the socket, TLS and the first answer. */
  connect: number;
  /** For one statement. */
  statement: number;
  /** Whether the session of the server may be set up for us: where it is seen to be a pooler's it is not, either way. */
  isOwn: boolean;
}

/** What a session tells. */
export interface SessionEvents {
  notification?(channel: string, payload: string): void;
  /**
   * Told once, whatever happened first; not after `end()`.
   *
   * @param silent Whether nobody said so: the server stopped answering, instead of closing or refusing.
   */
  lost(error: PgAdapterError, silent: boolean): void;
}

/** Rows as postgres.js returns them. */
export type Rows = Record<string, unknown>[];

/** The longest wait for a lock; see {@linkcode serverSettings}. */
const LOCK_TIMEOUT_MS = 2_000;

/**
 * Settings of the server for our sessions, where they are ours alone: a pooler would hand them on to others. Those that
 * the server does not have are passed over, and those that the connection string sets stay as they are.
 *
 * - A listener that stops reading would block every NOTIFY of the cluster, so the server is told to give up on it. One
 *   that is only busy for some seconds is spared.
 * - A lock that is held (every NOTIFY takes the one of the whole server when it commits) is an answer, 55P03, well before
 *   our own deadline gives up the connection.
 * - `statement_timeout` is off, also where the role has one. The server stops that clock before it commits, so it does
 *   not bound the wait for the lock of NOTIFY, and there is nothing else that a statement of ours waits for. Where it is
 *   shorter than a wait for a lock it would turn 55P03 into 57014. What bounds a statement is our own deadline, which
 *   works without the server, too. `transaction_timeout` would end the session.
 */
function serverSettings(statementMs: number): [name: string, value: string][] {
  return [
    ["tcp_user_timeout", "15s"],
    ["tcp_keepalives_idle", "10"],
    ["tcp_keepalives_interval", "5"],
    ["tcp_keepalives_count", "3"],
    ["lock_timeout", `${Math.max(1, Math.min(LOCK_TIMEOUT_MS, Math.floor(statementMs * 0.4)))}ms`],
    ["statement_timeout", "0"],
    ["transaction_timeout", "0"],
    ["idle_session_timeout", "0"],
    ["idle_in_transaction_session_timeout", "5s"],
    ["synchronous_commit", "off"],
    // With a snapshot of its beginning a statement that waits for a lock does not see what it waited for.
    ["default_transaction_isolation", "read committed"],
  ];
}

const OPENING = `select pg_is_in_recovery() as standby, pg_encoding_to_char(encoding) as encoding,
  pg_backend_pid() as pid from pg_database where datname = current_database()`;

function settingText(statementMs: number, given: Readonly<Record<string, string>>): string {
  const wanted = serverSettings(statementMs)
    .filter(([name]) => !(name in given))
    .map(([name, value]) => `('${name}','${value}')`);
  return `select count(set_config(s.name, w.value, false)) from pg_settings s
    join (values ${wanted.join(",")}) as w(name, value) on s.name = w.name`;
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
  #prepares: boolean;
  #isPooled = false;
  /** The other connection of {@linkcode Session.notify}. */
  #other: Session | undefined;
  /** What an attempt waits for. */
  #awaited: "password" | "answer" = "password";

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
    this.#prepares = settings.prepare;
  }

  /** Whether statements are prepared: not behind a pooler, which may give each transaction another connection. */
  get prepares(): boolean {
    return this.#prepares;
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
        () => new Error(`there was no ${this.#awaited} within ${this.#limits.connect} ms`),
      );
    } catch (fault) {
      const error = this.#connectError(fault);
      this.#finish(error);
      throw error;
    }
  }

  /**
   * Runs a statement; without parameters several may stand in one text. One that is refused since it was prepared runs
   * again unprepared, in its place as long as it is the only one that runs: nothing was done of it.
   *
   * @param ms How long it may take here, beside what the server allows each statement.
   * @throws PgAdapterError `CONNECTION_LOST` as soon as the connection is lost or the statement takes too long; otherwise
   * what PostgreSQL refused the statement with.
   */
  async query(
    text: string,
    parameters?: (string | null)[],
    ms: number = this.#limits.statement,
  ): Promise<Rows> {
    const wasPrepared = parameters !== undefined && this.#prepares;
    try {
      return await this.#run(text, parameters, ms);
    } catch (fault) {
      if (!wasPrepared || !isOfPreparing(fault)) throw fault;
      this.#prepares = false;
      if (this.#over !== undefined) throw fault;
      return await this.#run(text, parameters, ms);
    }
  }

  /**
   * Sends a notification that this session hears only if it really listens. A pooler in transaction mode would let a
   * session hear its own, which comes with the answer to the statement; behind a pooler it is sent from elsewhere.
   *
   * @throws What {@linkcode Session.open} and {@linkcode Session.query} throw.
   */
  async notify(channel: string, payload: string): Promise<void> {
    const run = (session: Session) =>
      session.query("select pg_notify($1,$2)", [channel, payload]).then(() => {});
    if (!this.#isPooled || this.#over !== undefined) return await run(this);
    const other = this.#other = new Session(
      this.#settings,
      this.#address,
      this.#applicationName,
      this.#limits,
      { lost: () => {} },
    );
    try {
      await this.#untilOver(other.open().then(() => run(other)));
    } finally {
      await other.end();
    }
  }

  /**
   * Asks for a sign of life, and gives the connection up when there is none in time.
   *
   * @throws PgAdapterError `CONNECTION_LOST`.
   */
  async check(ms: number): Promise<void> {
    try {
      await this.#run("select 1", undefined, ms);
    } catch (fault) {
      // A refusal is an answer, too.
      if (fault instanceof PgAdapterError) throw fault;
    }
  }

  /** Waits for something that happens on this connection: rejects when it is lost, or when that takes too long. */
  wait<T>(promise: Promise<T>, late: () => PgAdapterError): Promise<T> {
    return withDeadline(this.#untilOver(promise), this.#limits.statement, late);
  }

  /** Gives the connection up: everything that waits for it is rejected now, whatever the driver does. */
  lose(error: PgAdapterError, silent = false): void {
    if (this.#finish(error)) this.#events.lost(error, silent);
  }

  /** Says goodbye to the server and closes the socket. */
  async end(): Promise<void> {
    if (this.#over !== undefined) return;
    void this.#other?.end();
    const closed = this.#lost("it was closed");
    if (!this.#opened) {
      // The server may not even know yet that it is there.
      this.#finish(closed);
      return;
    }
    this.#over = closed;
    this.#rejectWaiting(closed);
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
    const { database, user, parameters, prepare } = this.#settings;
    const password = await this.#password();
    const tls = await readTlsFiles(this.#settings.tls);
    if (this.#over !== undefined) throw this.#over;
    this.#awaited = "answer";
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
      keep_alive: KEEP_ALIVE_SECONDS,
      // It cannot reconnect: the second socket is refused, at once and not after a time that keeps the process alive.
      backoff: () => 0,
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
    // The driver reads PGTARGETSESSIONATTRS, and would reconnect or ask questions whose rejection nobody hears; options
    // that it has completed it takes as they are.
    const completed: object = postgres(driverOptions as postgres.Options<Record<string, never>>)
      .options;
    const options: object = { ...completed, target_session_attrs: null };
    const sql = this.#sql = postgres(options) as postgres.Sql;
    const rows = await sql.unsafe(OPENING);
    const [row] = rows;
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
    // The process that answers is not the one that greeted: a pooler in between.
    this.#isPooled = row.pid !== rows.state?.pid;
    if (this.#isPooled) this.#prepares = false;
    else if (this.#limits.isOwn) await sql.unsafe(settingText(this.#limits.statement, parameters));
    this.#opened = true;
  }

  async #password(): Promise<string> {
    let fault: unknown;
    try {
      const password: unknown = await this.#settings.password();
      if (typeof password === "string") return password;
      fault = new TypeError(`it gave a ${typeof password}, not a string`);
    } catch (rejection) {
      fault = rejection;
    }
    throw new PgAdapterError(
      "AUTHENTICATION_FAILED",
      `Cannot connect to ${this.#where()} as the password function failed: ${messageOf(fault)}`,
      { cause: fault },
    );
  }

  async #run(
    text: string,
    parameters: (string | null)[] | undefined,
    ms: number,
  ): Promise<Rows> {
    const sql = this.#sql;
    if (this.#over !== undefined || sql === undefined) {
      throw this.#over ?? this.#lost("it is not open");
    }
    let isLate = false;
    const late = () => {
      isLate = true;
      return this.#lost(`a statement took more than ${ms} ms`);
    };
    // A query starts when it is awaited, so that a lost connection is never queried again.
    const query = parameters === undefined
      ? sql.unsafe(text)
      : sql.unsafe(text, parameters, { prepare: this.#prepares });
    const running: Promise<Rows> = query.then((rows) => [...rows]);
    try {
      return await withDeadline(this.#untilOver(running), ms, late);
    } catch (fault) {
      if (isRefusal(fault)) throw fault;
      const error = fault instanceof PgAdapterError ? fault : this.#lost(messageOf(fault), fault);
      this.lose(error, isLate || isSilence(fault));
      throw error;
    }
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
    void this.#other?.end();
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
    const code = codeOf(fault);
    const refused = code.startsWith("28");
    const remedy = refused
      ? "check the user, the password and pg_hba.conf"
      : fault instanceof TlsFault
      ? "check sslmode, sslrootcert and the certificate of the server"
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
  if (!(fault instanceof Error)) return false;
  // Poolers leave out the one that is not translated.
  const { severity, severity_local } = fault as { severity?: unknown; severity_local?: unknown };
  return (severity ?? severity_local) === "ERROR";
}

/**
 * Whether a statement was refused since it was prepared, as poolers do that give it to another connection than the one
 * that knows it: invalid_sql_statement_name, duplicate_prepared_statement, protocol_violation, feature_not_supported.
 */
function isOfPreparing(fault: unknown): boolean {
  const refusal = fault instanceof PgAdapterError ? fault.cause : fault;
  return ["26000", "42P05", "08P01", "0A000"].includes(codeOf(refusal));
}

/** Whether the system gave up on a peer that did not answer. */
function isSilence(fault: unknown): boolean {
  return ["ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH"].includes(codeOf(fault));
}
