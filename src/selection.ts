/**
 * Who a message is for: rooms, exceptions and flags, as Socket.IO has them and as they travel.
 */
import type { BroadcastFlags, BroadcastOptions } from "socket.io-adapter";
import type { Flags, Message } from "./wire/message.ts";
import { isRoom, type Room, targetRooms } from "./wire/rooms.ts";

/** Who a message is for, as it travels. */
export function selection(opts: BroadcastOptions): { rooms: Room[]; except: Room[] } {
  return { rooms: targetRooms(opts.rooms), except: [...opts.except ?? []].filter(isRoom) };
}

/** Who a message is for, as an adapter wants it. */
export function selected(message: Message): BroadcastOptions {
  const { rooms = [], except = [], flags = {} } = message;
  return { rooms: new Set(rooms as string[]), except: new Set(except as string[]), flags };
}

/** Who a message is for, as the cluster adapter's messages have it. */
export function listed(
  message: Message,
): { rooms: readonly Room[]; except: readonly Room[]; flags: BroadcastFlags } {
  const { rooms = [], except = [], flags = {} } = message;
  return { rooms, except, flags };
}

/** The flags that matter to those who deliver, as they travel. */
export function flagged(flags: BroadcastFlags = {}): { flags?: Flags } {
  const { volatile, compress } = flags;
  if (volatile === undefined && compress === undefined) return {};
  return {
    flags: {
      ...volatile !== undefined && { volatile: Boolean(volatile) },
      ...compress !== undefined && { compress: Boolean(compress) },
    },
  };
}
