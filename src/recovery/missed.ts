/** What a client has missed: which packets of the log are for its session. */
import type { Message } from "../wire/message.ts";
import type { Room } from "../wire/rooms.ts";

/**
 * Whether a packet is for a session, as Socket.IO's own adapter judges.
 *
 * https://github.com/socketio/socket.io/blob/main/packages/socket.io-adapter/lib/in-memory-adapter.ts (shouldIncludePacket)
 */
export function isFor(
  rooms: ReadonlySet<Room>,
  { rooms: to = [], except = [] }: Pick<Message, "rooms" | "except">,
): boolean {
  return (to.length === 0 || to.some((room) => rooms.has(room))) &&
    !except.some((room) => rooms.has(room));
}
