/**
 * Plain messages: JSON that anyone can NOTIFY by hand or from any language,
 *
 * ```sql
 * NOTIFY "socket.io:/", '{"emit":["hello",{"a":1}],"to":["news"],"except":["muted"]}';
 * ```
 */
import { checkCount, checkEventName, RESERVED_EVENTS, RESERVED_SERVER_EVENTS } from "./event.ts";
import {
  binary,
  flags,
  MalformedMessage,
  type Message,
  MessageType,
  namespace,
  parseObject,
  type Room,
  rooms,
  text,
} from "./message.ts";
import { decodeArgs, encodeArgs, encodeEvent } from "./packet.ts";

export { checkEventName, RESERVED_EVENTS, RESERVED_SERVER_EVENTS };

const VERBS = [
  "emit",
  "socketsJoin",
  "socketsLeave",
  "disconnectSockets",
  "serverSideEmit",
] as const;
const KEYS: ReadonlySet<string> = new Set([
  ...VERBS,
  "to",
  "except",
  "nsp",
  "volatile",
  "compress",
  "attachments",
  // Whatever tells apart what PostgreSQL would fold into one.
  "id",
]);

/**
 * Decodes a plain message.
 *
 * @param payload JSON.
 * @param channel What the channel it came on stands for: where `nsp` and `to` come from when the message has none.
 * @throws MalformedMessage when it is none.
 */
export function decodePlain(payload: string, channel: { nsp: string; room?: Room }): Message {
  const given = parseObject(payload);
  const strange = Object.keys(given).find((key) => !KEYS.has(key));
  if (strange !== undefined) {
    throw new MalformedMessage(
      `Cannot read a plain message as it has an unknown key ${JSON.stringify(strange)}`,
    );
  }
  const verbs = VERBS.filter((verb) => given[verb] !== undefined);
  const [verb] = verbs;
  if (verb === undefined || verbs.length > 1) {
    throw new MalformedMessage(
      `Cannot read a plain message as it needs one verb of ${
        VERBS.join(", ")
      }: it has ${verbs.length}`,
    );
  }
  const nsp = given.nsp === undefined ? channel.nsp : namespace(given.nsp);
  const message: Message = {
    type: MessageType.BROADCAST,
    nsp,
    rooms: given.to === undefined
      ? (channel.room === undefined ? [] : [channel.room])
      : list(given.to),
    except: given.except === undefined ? [] : list(given.except),
    flags: flags({ volatile: given.volatile, compress: given.compress }),
  };
  switch (verb) {
    case "emit":
      message.parts = encodeEvent(nsp, event(given.emit, given.attachments, RESERVED_EVENTS));
      return message;
    case "serverSideEmit":
      message.type = MessageType.SERVER_SIDE_EMIT;
      message.parts = encodeArgs(
        event(given.serverSideEmit, given.attachments, RESERVED_SERVER_EVENTS),
      );
      return message;
    case "disconnectSockets":
      if (typeof given.disconnectSockets !== "boolean") {
        throw new MalformedMessage(
          "Cannot read a plain message as disconnectSockets is no boolean",
        );
      }
      message.type = MessageType.DISCONNECT_SOCKETS;
      message.value = given.disconnectSockets;
      return message;
    default:
      message.type = verb === "socketsJoin" ? MessageType.SOCKETS_JOIN : MessageType.SOCKETS_LEAVE;
      message.value = list(given[verb]);
      return message;
  }
}

/** A room or an array of rooms. */
function list(value: unknown): Room[] {
  return rooms(Array.isArray(value) ? value : [value]);
}

/** An event's name and arguments, with binary for the placeholders. */
function event(args: unknown, attachments: unknown, reserved: ReadonlySet<unknown>): unknown[] {
  if (!Array.isArray(args)) {
    throw new MalformedMessage(
      "Cannot read a plain message as its event and arguments are no array",
    );
  }
  checkEventName(args[0], reserved);
  checkCount(args);
  if (attachments === undefined) return args;
  if (!Array.isArray(attachments)) {
    throw new MalformedMessage(
      "Cannot read a plain message as its attachments are no array of base64",
    );
  }
  const given = attachments.map((attachment) => binary(text(attachment, "attachment")));
  try {
    return decodeArgs([JSON.stringify(args), ...given]);
  } catch (cause) {
    throw new MalformedMessage("Cannot read a plain message as an attachment is missing", {
      cause,
    });
  }
}
