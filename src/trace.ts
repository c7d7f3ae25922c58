/** What those who watch an application's messages are told of one. */
import { type Message, MessageType } from "./wire/message.ts";
import { byteLength } from "./wire/packet.ts";

/** What a message makes the servers do that get it: the methods of Socket.IO. */
export type PgAdapterVerb =
  | "emit"
  | "socketsJoin"
  | "socketsLeave"
  | "disconnectSockets"
  | "fetchSockets"
  | "serverSideEmit";

/** A message of the application, on its way between servers. */
export interface PgAdapterTrace {
  /** The id of this process in the cluster: what tells several adapters apart. */
  uid: string;
  /** The namespace. */
  nsp: string;
  /** What it makes the servers do. */
  verb: PgAdapterVerb;
  /** The rooms that it is for; everybody, where there are none. */
  rooms: (string | number)[];
  /** The rooms that it is not for. */
  except: (string | number)[];
  /** How many bytes of packet or arguments it carries. */
  bytes: number;
  /** The id of the request, where answers are waited for: the same at all servers. */
  requestId: string | undefined;
}

/** What a message is about, in words. Answers have none: they are part of a request. */
export const VERBS: ReadonlyMap<MessageType, PgAdapterVerb> = new Map([
  [MessageType.BROADCAST, "emit"],
  [MessageType.SOCKETS_JOIN, "socketsJoin"],
  [MessageType.SOCKETS_LEAVE, "socketsLeave"],
  [MessageType.DISCONNECT_SOCKETS, "disconnectSockets"],
  [MessageType.FETCH_SOCKETS, "fetchSockets"],
  [MessageType.SERVER_SIDE_EMIT, "serverSideEmit"],
]);

/** What is told of a message; nothing of what processes say of themselves, and of answers. */
export function traceOf(message: Message): Omit<PgAdapterTrace, "uid"> | undefined {
  const { type, nsp, rooms = [], except = [], parts = [], requestId } = message;
  const verb = VERBS.get(type);
  if (nsp === undefined || verb === undefined) return undefined;
  return {
    nsp,
    verb,
    // Copies: what is done to them is no concern of the message.
    rooms: [...rooms],
    except: [...except],
    bytes: byteLength(parts),
    requestId,
  };
}
