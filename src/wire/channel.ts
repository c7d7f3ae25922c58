/**
 * Names of channels. A channel is a PostgreSQL identifier: at most 63 **bytes**. LISTEN silently truncates a longer
 * one and `pg_notify` refuses it (https://www.postgresql.org/docs/current/sql-notify.html), so longer names keep the
 * prefix and end in a hash.
 */
import { sha256Hex } from "./sha256.ts";
import { isPlainText, utf8Length } from "./utf8.ts";

/** NAMEDATALEN - 1: the most bytes that a channel name may have. */
export const MAX_CHANNEL_BYTES = 63;

/** The most bytes of a prefix, so that `prefix:#` and 32 hexadecimal digits fit a channel name. */
export const MAX_PREFIX_BYTES = 29;

/** The channel of a namespace: `socket.io:/chat`. */
export function namespaceChannel(prefix: string, nsp: string): string {
  return fit(prefix, `${prefix}:${nsp}`);
}

/** The channel of one room of a namespace: `socket.io:/chat:news#`. */
export function roomChannel(prefix: string, nsp: string, room: string): string {
  return fit(prefix, `${prefix}:${nsp}:${room}#`);
}

/** The channel of what concerns processes, not namespaces (heartbeats): no namespace starts with a tilde. */
export function clusterChannel(prefix: string): string {
  return `${prefix}:~`;
}

/** The channel of what only one process should get: answers to its requests. */
export function privateChannel(prefix: string, uid: string): string {
  return `${prefix}:~${uid}`;
}

/** Whether a channel is that of one process. */
export function isPrivateChannel(prefix: string, channel: string): boolean {
  return channel.length > prefix.length + 2 && channel.startsWith(`${prefix}:~`);
}

/**
 * Whether a room has the form of a default socket id, of which every socket has a room. They would be one channel per
 * client, so both sides always use the channel of the namespace for such a room, whatever it is.
 */
export function hasFormOfSocketId(room: string): boolean {
  return /^[A-Za-z0-9_-]{20}$/.test(room);
}

function fit(prefix: string, name: string): string {
  if (isPlainText(name) && utf8Length(name) <= MAX_CHANNEL_BYTES) return name;
  return `${prefix}:#${sha256Hex(name).slice(0, 32)}`;
}
