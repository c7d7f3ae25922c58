/**
 * What can go wrong, as a word to switch on.
 *
 * | code | when |
 * | --- | --- |
 * | `INVALID_URI` | the connection string cannot be read |
 * | `INVALID_OPTION` | an option is unknown, of the wrong type or out of range |
 * | `ALREADY_ATTACHED` | one `pgAdapter()` was given to a second server |
 * | `CONNECT_FAILED` | PostgreSQL cannot be reached or refuses the connection |
 * | `AUTHENTICATION_FAILED` | PostgreSQL refuses the user or the password |
 * | `NOT_UTF8` | the database has another encoding than UTF8 |
 * | `STANDBY` | the server is a standby, where LISTEN and NOTIFY are refused |
 * | `NO_LOOPBACK` | a session does not hear its own notification (a transaction pooler in between) |
 * | `CONNECTION_LOST` | a connection that worked was lost; it is being replaced |
 * | `DISCONNECTED` | other servers cannot be asked as a connection is being replaced |
 * | `PUBLISH_FAILED` | PostgreSQL refused a message |
 * | `LISTEN_FAILED` | PostgreSQL refused a LISTEN |
 * | `QUEUE_FILLING` | the queue of notifications of the database server fills: some session does not read |
 * | `BUFFER_FULL` | PostgreSQL was away for longer than `maxBuffer` holds: messages were dropped, or an emitter refused one |
 * | `NOT_ENCODABLE` | data that cannot be serialized (a cycle, a BigInt) |
 * | `PAYLOAD_TOO_LARGE` | a packet of more than `maxPayload` bytes |
 * | `MALFORMED_MESSAGE` | something on one of our channels is no message of ours |
 * | `UNSIGNED` | something on one of our channels has no valid seal, where `secret` requires one; the message says why |
 * | `WIRE_VERSION` | a frame of another version of the protocol |
 * | `PARSER_MISMATCH` | another server of the cluster uses another Socket.IO parser |
 * | `REQUEST_TIMEOUT` | not every server answered in time |
 * | `REQUEST_FAILED` | another server could not answer |
 * | `RECOVERY_UNAVAILABLE` | connection state recovery finds no tables and may not make them |
 * | `RECOVERY_FAILED` | a session could not be kept or given back: the client gets a new one |
 * | `ATTACHMENTS_UNAVAILABLE` | the table of `@socket.io/postgres-adapter` for what is binary or large is not there, or may not be used |
 * | `HANDLER_FAILED` | a function of the application threw: a listener while a message was delivered, `redactHandshake`, `tracing` |
 * | `CLOSED` | the adapter or the emitter was used after `close()`, or what it sends with was over: a batch, a transaction |
 */
export type PgAdapterErrorCode =
  | "INVALID_URI"
  | "INVALID_OPTION"
  | "ALREADY_ATTACHED"
  | "CONNECT_FAILED"
  | "AUTHENTICATION_FAILED"
  | "NOT_UTF8"
  | "STANDBY"
  | "NO_LOOPBACK"
  | "CONNECTION_LOST"
  | "DISCONNECTED"
  | "PUBLISH_FAILED"
  | "LISTEN_FAILED"
  | "QUEUE_FILLING"
  | "BUFFER_FULL"
  | "NOT_ENCODABLE"
  | "PAYLOAD_TOO_LARGE"
  | "MALFORMED_MESSAGE"
  | "UNSIGNED"
  | "WIRE_VERSION"
  | "PARSER_MISMATCH"
  | "REQUEST_TIMEOUT"
  | "REQUEST_FAILED"
  | "RECOVERY_UNAVAILABLE"
  | "RECOVERY_FAILED"
  | "ATTACHMENTS_UNAVAILABLE"
  | "HANDLER_FAILED"
  | "CLOSED";

/**
 * Every error of this package: a `code` to switch on, a sentence with the value that was wrong, and the `cause`.
 *
 * @example
 * ```ts
 * import { pgAdapter, PgAdapterError } from "@x/socketio-pg";
 *
 * const adapter = pgAdapter("postgresql://127.0.0.1:1/nowhere");
 * try {
 *   await adapter.ready();
 * } catch (error) {
 *   if (error instanceof PgAdapterError && error.code === "CONNECT_FAILED") {
 *     console.error(error.message);
 *   }
 * }
 * await adapter.close();
 * ```
 */
export class PgAdapterError extends Error {
  /** The name of the class. */
  override readonly name: string = "PgAdapterError";
  /** What went wrong, as a word to switch on. */
  readonly code: PgAdapterErrorCode;

  /**
   * Makes an error.
   *
   * @param code What went wrong, as a word to switch on.
   * @param message A sentence that says what was attempted, why it failed and which value was wrong.
   * @param options The `cause`, where there is one.
   */
  constructor(code: PgAdapterErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The text of whatever was thrown; the driver's AggregateErrors (a host with two addresses) have none of their own. */
export function messageOf(fault: unknown): string {
  if (fault instanceof AggregateError && fault.message === "") {
    return fault.errors.map(messageOf).join("; ");
  }
  return fault instanceof Error ? fault.message || fault.name : String(fault);
}

/** A connection string as an error may show it, also one that is malformed: without its password. */
export function withoutPassword(uri: string): string {
  return uri
    // Whatever is between the first colon after the scheme and the last @, with slashes and all.
    .replace(/^(\w[\w+.-]*:\/\/)?([^:@]*):.*@/s, "$1$2:***@")
    // As a parameter, and as in `host=db password='a b'`.
    .replace(/(\w*password\s*=\s*)('(?:[^'\\]|\\.)*'?|[^\s&]*)/gi, "$1***");
}
