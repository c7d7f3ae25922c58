/**
 * The wire of `@socket.io/postgres-adapter` 0.5: one JSON object for each notification, on the channel of its namespace.
 * What is binary or too large lies in a table as MessagePack, and the notification says where.
 */
import {
  argsOf,
  flags as checkedFlags,
  MalformedMessage,
  type Message,
  MessageType,
  parseObject,
  rooms as checkedRooms,
  timeoutOf,
  timeoutValue,
} from "../wire/message.ts";
import { MAX_CHANNEL_BYTES } from "../wire/channel.ts";
import { decodeEvent, encodeArgs, encodeEvent, hasBinary } from "../wire/packet.ts";
import { isRoom, targetRooms } from "../wire/rooms.ts";
import { isPlainText, utf8Length } from "../wire/utf8.ts";
import { encodeMsgpack } from "./msgpack.ts";
import type { OfficialOptions } from "./options.ts";

/** A NOTIFY of this wire. */
export interface OfficialNotification {
  readonly channel: string;
  /** All of it; or, where something lies in the table, what stands before the id of that. */
  readonly payload: string;
  /** What is to lie in the table. */
  readonly attachment?: Uint8Array;
  /** About how many bytes it has. */
  readonly bytes: number;
}

/** Who sends a message. */
export interface OfficialSender {
  /** Its id; emitters are all called the same, and nobody waits for their answers. */
  readonly uid: string;
  /** Tells what it sends apart from all else, as PostgreSQL folds equal payloads of a transaction into one: plain text. */
  readonly id: string;
}

/** What came from a server of theirs, or from an emitter. */
export interface OfficialMessage {
  /** Nothing for an emitter, which is nobody to answer to. */
  readonly uid: string | undefined;
  readonly message: Message;
}

/** The sender of what emitters send: a server of theirs takes every other one for a server. */
export const EMITTER_UID = "emitter";

/** What stands behind the id of what lies in the table. */
export const AFTER_ID = '"}';

/** The most bytes of a NOTIFY. */
const MAX_PAYLOAD_BYTES = 7_999;

/** The type of an event in Socket.IO's protocol. */
const EVENT = 2;

/**
 * What everything of ours on this wire starts with. Those who speak both wires have it on the other one; whoever knows
 * only this one passes over a property that it does not know.
 */
const MARK = '{"socketio-pg":';

/** The channel of a namespace; nothing where its name is too long, as theirs cannot use it either. */
export function officialChannel(prefix: string, nsp: string): string | undefined {
  const channel = `${prefix}#${nsp}`;
  return isPlainText(channel) && utf8Length(channel) <= MAX_CHANNEL_BYTES ? channel : undefined;
}

/** Whether a payload came from somebody who speaks both wires. */
export function isOurs(payload: string): boolean {
  return payload.startsWith(MARK);
}

/**
 * Encodes a message.
 *
 * @param message With its namespace.
 * @param eventOf The event and its arguments in a broadcast that another than Socket.IO's default parser has encoded.
 */
export function encodeOfficial(
  channel: string,
  message: Message,
  { uid, id }: OfficialSender,
  { payloadThreshold }: Pick<OfficialOptions, "payloadThreshold">,
  eventOf: (message: Message) => unknown[] | undefined = () => undefined,
): OfficialNotification {
  const { type, nsp } = message;
  const data = dataOf(message, eventOf);
  if (data === undefined || !hasBinary(data)) {
    // What is undefined is left out.
    const payload = `${MARK}"${id}",${JSON.stringify({ uid, type, nsp, data }).slice(1)}`;
    const bytes = utf8Length(payload);
    if (bytes <= Math.min(payloadThreshold, MAX_PAYLOAD_BYTES)) return { channel, payload, bytes };
  }
  const head = JSON.stringify({ uid, type, attachmentId: "" }).slice(1, -AFTER_ID.length);
  const attachment = encodeMsgpack({ uid, type, nsp, data });
  return {
    channel,
    payload: `${MARK}"${id}",${head}`,
    attachment,
    bytes: attachment.length + head.length,
  };
}

function dataOf(
  message: Message,
  eventOf: (message: Message) => unknown[] | undefined,
): Record<string, unknown> | undefined {
  const { type, nsp = "/", requestId, value, parts = [] } = message;
  switch (type) {
    case MessageType.BROADCAST: {
      const flags = requestId === undefined
        ? message.flags ?? {}
        : { ...message.flags, timeout: timeoutOf(message) };
      const packet = { type: EVENT, data: eventOf(message) ?? decodeEvent(nsp, parts), nsp };
      return { packet, requestId, opts: { ...optsOf(message), flags } };
    }
    case MessageType.SOCKETS_JOIN:
    case MessageType.SOCKETS_LEAVE:
      return { opts: optsOf(message), rooms: value };
    case MessageType.DISCONNECT_SOCKETS:
      return { opts: optsOf(message), close: value };
    case MessageType.FETCH_SOCKETS:
      return { opts: optsOf(message), requestId };
    case MessageType.FETCH_SOCKETS_RESPONSE:
      return { requestId, sockets: argsOf({ ...message, trusted: true }) };
    case MessageType.SERVER_SIDE_EMIT:
      return { requestId, packet: argsOf({ ...message, trusted: true }) };
    case MessageType.SERVER_SIDE_EMIT_RESPONSE:
    case MessageType.BROADCAST_ACK:
      return { requestId, packet: argsOf({ ...message, trusted: true })[0] };
    case MessageType.BROADCAST_CLIENT_COUNT:
      return { requestId, clientCount: value };
    default:
      return undefined;
  }
}

function optsOf({ rooms = [], except = [] }: Message): Record<string, unknown> {
  return { rooms, except, flags: {} };
}

/**
 * Reads the JSON of a notification.
 *
 * @throws MalformedMessage when it is no JSON object.
 */
export function parseOfficial(payload: string): Record<string, unknown> {
  return parseObject(payload);
}

/**
 * Where the rest of a notification lies, if it lies in the table.
 *
 * @returns The id, as PostgreSQL writes it.
 * @throws MalformedMessage when it is no id.
 */
export function attachmentIdOf({ attachmentId }: Record<string, unknown>): string | undefined {
  // As theirs does, which asks whether there is any.
  if (attachmentId === undefined || attachmentId === null || attachmentId === "") return undefined;
  const id = String(attachmentId);
  if (/^\d{1,18}$/.test(id)) return id;
  throw new MalformedMessage("Cannot read a message as its attachment has no id");
}

/**
 * Reads a message, the whole of it.
 *
 * @param nsp The namespace of its channel: emitters of theirs do not say it.
 * @param patience Milliseconds for acknowledgements, where none are said.
 * @throws MalformedMessage when it is none.
 */
export function decodeOfficial(
  given: unknown,
  nsp: string,
  patience: number,
): OfficialMessage {
  const { uid, type, nsp: named, data } = objectOf(given, "message");
  if (typeof uid !== "string" || uid === "" || uid.length > 256) {
    throw new MalformedMessage("Cannot read a message as it has no sender");
  }
  if (named !== undefined && named !== null && named !== nsp) {
    throw new MalformedMessage(
      `Cannot read a message as it came on the channel of namespace "${nsp}" and is for another`,
    );
  }
  const message: Message = {
    type: type as MessageType,
    nsp,
    ...contentOf(type, data, nsp, patience),
  };
  return { uid: uid === EMITTER_UID ? undefined : uid, message };
}

function contentOf(
  type: unknown,
  data: unknown,
  nsp: string,
  patience: number,
): Partial<Message> {
  switch (type) {
    case MessageType.INITIAL_HEARTBEAT:
    case MessageType.HEARTBEAT:
    case MessageType.ADAPTER_CLOSE:
      return {};
    case MessageType.BROADCAST: {
      const { packet, requestId, opts } = objectOf(data, "data");
      const event = objectOf(packet, "packet")["data"];
      const message: Partial<Message> = {
        ...selectionOf(opts),
        parts: encodeEvent(nsp, listOf(event, "event")),
      };
      const flags = flagsOf(opts);
      const checked = checkedFlags(flags);
      if (Object.keys(checked).length > 0) message.flags = checked;
      if (requestId === undefined || requestId === null) return message;
      const { timeout } = flags;
      return {
        ...message,
        requestId: textOf(requestId),
        value: timeoutValue(typeof timeout === "number" ? timeout : patience),
      };
    }
    case MessageType.SOCKETS_JOIN:
    case MessageType.SOCKETS_LEAVE: {
      const { opts, rooms } = objectOf(data, "data");
      return { ...selectionOf(opts), value: checkedRooms(listOf(rooms, "rooms").filter(isRoom)) };
    }
    case MessageType.DISCONNECT_SOCKETS: {
      const { opts, close } = objectOf(data, "data");
      return { ...selectionOf(opts), value: Boolean(close) };
    }
    case MessageType.FETCH_SOCKETS: {
      const { opts, requestId } = objectOf(data, "data");
      return { ...selectionOf(opts), requestId: textOf(requestId) };
    }
    case MessageType.SERVER_SIDE_EMIT: {
      const { requestId, packet } = objectOf(data, "data");
      const parts = encodeArgs(listOf(packet, "event"));
      return requestId === undefined || requestId === null
        ? { parts }
        : { parts, requestId: textOf(requestId) };
    }
    case MessageType.FETCH_SOCKETS_RESPONSE: {
      const { requestId, sockets } = objectOf(data, "data");
      return { requestId: textOf(requestId), parts: encodeArgs(listOf(sockets, "sockets")) };
    }
    case MessageType.SERVER_SIDE_EMIT_RESPONSE:
    case MessageType.BROADCAST_ACK: {
      const { requestId, packet } = objectOf(data, "data");
      return { requestId: textOf(requestId), parts: encodeArgs([packet]) };
    }
    case MessageType.BROADCAST_CLIENT_COUNT: {
      const { requestId, clientCount } = objectOf(data, "data");
      return { requestId: textOf(requestId), value: clientCount };
    }
    default:
      throw new MalformedMessage(
        `Cannot read a message of type ${typeof type === "number" ? type : typeof type}`,
      );
  }
}

/** Applications pass all kinds of things as rooms; those that JSON has made `null` of have no members. */
function selectionOf(opts: unknown): Pick<Message, "rooms" | "except"> {
  const { rooms, except } = objectOf(opts, "options");
  return {
    rooms: checkedRooms(targetRooms(listOf(rooms, "rooms"))),
    except: checkedRooms(listOf(except ?? [], "exceptions").filter(isRoom)),
  };
}

function flagsOf(opts: unknown): Record<string, unknown> {
  const { flags } = objectOf(opts, "options");
  if (flags === undefined || flags === null) return {};
  // What was never set is left out of JSON, and null in MessagePack.
  const set = Object.entries(objectOf(flags, "flags")).filter(([, value]) => value !== null);
  return Object.fromEntries(set);
}

function objectOf(value: unknown, what: string): Record<string, unknown> {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new MalformedMessage(`Cannot read a message as its ${what} is no object`);
  }
  return value as Record<string, unknown>;
}

function listOf(value: unknown, what: string): unknown[] {
  if (Array.isArray(value)) return value;
  throw new MalformedMessage(`Cannot read a message as its ${what} is no array`);
}

function textOf(requestId: unknown): string {
  if (typeof requestId === "string" && requestId.length <= 256) return requestId;
  throw new MalformedMessage("Cannot read a request as its id is no text");
}
