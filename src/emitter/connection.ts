/**
 * One connection of an emitter's own: an instance of postgres.js that connects once, and is never queried again when its
 * connection is lost. One that reconnects by itself hangs, or floods a server that hangs up.
 */
import postgres from "postgres";
import { withDeadline } from "../bus/deadline.ts";
import { codeOf, READ_ONLY } from "../bus/sql_state.ts";
import { messageOf, PgAdapterError } from "../errors.ts";
import { type Dial, dial } from "./socket.ts";
import type { Statement } from "./statement.ts";

/** Options of postgres.js, as it has completed them. */
export interface CompletedOptions {
  readonly host: readonly string[];
  readonly port: readonly number[];
  readonly path: string | false;
  readonly ssl: unknown;
  readonly database: string;
  readonly user: string;
  readonly connection: Readonly<Record<string, string>>;
}

/** Time limits in milliseconds. */
export interface ConnectionLimits {
  /** Until PostgreSQL has let us in. */
  readonly connect: number;
  /** For one statement. */
  readonly statement: number;
}

/** The driver's own deadline comes first: it also closes the socket. */
const GRACE_MS = 250;
/** How long a closing connection has to say goodbye. */
const FAREWELL_MS = 1_000;
/** Why there is no connection, when there is to be a second one. */
const HUNG_UP = "the server closed it before it was open";

/** A connection. */
export class Connection {
  readonly #options: CompletedOptions;
  readonly #limits: ConnectionLimits;
  readonly #sql: postgres.Sql;
  readonly #where: string;
  /** Its socket, where the driver does not make it. */
  #dial: Dial | undefined;
  #isOpen = false;
  #over: PgAdapterError | undefined;
  #attempts = 0;
  /** What the statement that runs waits for. */
  #waiting: { opened: () => void; lost: (error: PgAdapterError) => void } | undefined;

  /** @param index Which host of the options. */
  constructor(options: CompletedOptions, index: number, limits: ConnectionLimits) {
    const { path, database, user } = options;
    const host = options.host[index]!, port = options.port[index]!;
    this.#options = options;
    this.#limits = limits;
    this.#where = `${
      path === false ? `${host}:${port}` : path
    }, database "${database}", user "${user}"`;
    let isMade = false;
    // For a socket of the system it asks twice each time.
    const second = path === false ? 2 : 3;
    const attempted = () => {
      // Asked for by the driver each time that it connects by itself.
      if (isMade && dial === undefined && !this.#isOpen && ++this.#attempts === second) {
        setTimeout(() => this.#lose(HUNG_UP), 0);
      }
      return path;
    };
    const socket = dial && (() => {
      if (this.#dial !== undefined || this.#over !== undefined) {
        return Promise.reject(this.#over ?? new Error(HUNG_UP));
      }
      this.#dial = dial!(path, host, port);
      return this.#dial.ready;
    });
    this.#sql = postgres({
      ...options,
      host: [host],
      port: [port],
      get path() {
        return attempted();
      },
      socket,
      ssl: tlsOf(options.ssl, host),
      max: 1,
      max_lifetime: null,
      idle_timeout: null,
      connect_timeout: limits.connect / 1000,
      // Its question would have nobody who hears that it failed, nor would that for the state of the server.
      fetch_types: false,
      target_session_attrs: null,
      no_subscribe: true,
      shared: { retries: 0, typeArrayMap: {} },
      parameters: {},
      connection: { ...options.connection, application_name: applicationName(options) },
      onnotice: () => {},
      onclose: () => this.#lose("the server closed it"),
      onparameter: (name: string, value: string) => this.#told(name, value),
    } as object) as postgres.Sql;
    isMade = true;
  }

  /** Why it cannot be used any more. */
  get over(): PgAdapterError | undefined {
    return this.#over;
  }

  /** Whether it was ever open: until then nothing was sent. */
  get wasOpen(): boolean {
    return this.#isOpen;
  }

  /**
   * Runs a statement, when no other runs.
   *
   * @throws PgAdapterError when the connection cannot be made or is lost, otherwise what PostgreSQL refused it with.
   */
  async run({ text, parameters, isCommon }: Statement): Promise<void> {
    const lost = new Promise<never>((_resolve, reject) => {
      this.#waiting = { opened: () => {}, lost: reject };
    });
    const opened = new Promise<void>((resolve) => {
      if (this.#isOpen) resolve();
      else this.#waiting!.opened = resolve;
    });
    if (this.#over !== undefined) throw this.#over;
    const running = this.#sql.unsafe(text, parameters, { prepare: isCommon })
      .then(() => {});
    const { connect, statement } = this.#limits;
    try {
      await withDeadline(
        Promise.race([opened, running, lost]),
        connect + GRACE_MS,
        () => this.#lose(`there was no answer within ${connect} ms`),
      );
      await withDeadline(
        Promise.race([running, lost]),
        statement,
        () => this.#lose(`a statement took more than ${statement} ms`),
      );
    } catch (fault) {
      if (isRefusal(fault) && this.#isOpen) throw this.#refusal(fault);
      throw this.#lose(reasonOf(fault, connect), fault);
    } finally {
      this.#waiting = undefined;
      // It may still fail, which has been told.
      running.catch(() => {});
    }
  }

  /** Says goodbye to the server. */
  async end(): Promise<void> {
    this.#over ??= new PgAdapterError("CLOSED", "Cannot emit as the emitter was closed");
    await this.#sql.end({ timeout: FAREWELL_MS / 1000 });
    // One that is half-open cannot say goodbye.
    this.#dial?.destroy();
  }

  /** What a server says of itself once it has let us in. */
  #told(name: string, value: string): void {
    this.#isOpen = true;
    if (name === "server_encoding" && value !== "UTF8") {
      this.#fail(
        new PgAdapterError(
          "NOT_UTF8",
          `Cannot use ${this.#where} as its encoding is ${value}: create the database with ENCODING 'UTF8' TEMPLATE template0`,
        ),
      );
    } else if (name === "in_hot_standby" && value === "on") this.#fail(this.#standby());
    else this.#waiting?.opened();
  }

  #standby(cause?: unknown): PgAdapterError {
    return new PgAdapterError(
      "STANDBY",
      `Cannot use ${this.#where} as it is a standby, which refuses NOTIFY: give the address of the primary`,
      cause === undefined ? undefined : { cause },
    );
  }

  /** A standby before version 14 says so only now. */
  #refusal(fault: unknown): unknown {
    return codeOf(fault) === READ_ONLY ? this.#fail(this.#standby(fault)) : fault;
  }

  /** Gives the connection up; what was the reason first stays it. */
  #lose(why: string, cause?: unknown): PgAdapterError {
    if (this.#over !== undefined) return this.#over;
    const options = cause === undefined ? undefined : { cause };
    if (this.#isOpen) {
      return this.#fail(
        new PgAdapterError(
          "CONNECTION_LOST",
          `Lost the connection to ${this.#where} as ${why}: whether what was under way was sent is not known`,
          options,
        ),
      );
    }
    const isRefused = codeOf(cause).startsWith("28");
    return this.#fail(
      new PgAdapterError(
        isRefused ? "AUTHENTICATION_FAILED" : "CONNECT_FAILED",
        `Cannot connect to ${this.#where} as ${why}: ${
          isRefused
            ? "check the user, the password and pg_hba.conf"
            : "check that PostgreSQL runs there and can be reached"
        }`,
        options,
      ),
    );
  }

  #fail(error: PgAdapterError): PgAdapterError {
    if (this.#over !== undefined) return this.#over;
    this.#over = error;
    this.#waiting?.lost(error);
    // The instance forgets its queries and closes what it has.
    this.#sql.end({ timeout: 0 }).catch(() => {});
    this.#dial?.destroy();
    return error;
  }
}

function applicationName({ connection }: CompletedOptions): string {
  const { application_name: name } = connection;
  return name === undefined || name === "postgres.js" ? "socketio-pg:emit" : name;
}

/** What does not check certificates, or does it by options of its own. */
const UNCHECKED: readonly unknown[] = [false, "disable", "allow", "prefer", "require"];

/** Without a host the driver has a certificate checked against "localhost" where the host is an address. */
function tlsOf(ssl: unknown, host: string): unknown {
  return dial === undefined || UNCHECKED.includes(ssl) || typeof ssl === "object" ? ssl : { host };
}

function reasonOf(fault: unknown, connectMs: number): string {
  switch (codeOf(fault)) {
    case "CONNECT_TIMEOUT":
      return `there was no answer within ${connectMs} ms`;
    case "CONNECTION_CLOSED":
    case "CONNECTION_DESTROYED":
      return "the server closed it";
    default:
      return messageOf(fault);
  }
}

/** Whether the server refused a statement and goes on; everything else (FATAL, the socket) ends the connection. */
function isRefusal(fault: unknown): boolean {
  if (!(fault instanceof Error)) return false;
  // Poolers leave out the one that is not translated.
  const { severity, severity_local } = fault as { severity?: unknown; severity_local?: unknown };
  return (severity ?? severity_local) === "ERROR";
}
