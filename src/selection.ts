/**
 * Who a message is for: rooms, exceptions and flags, as Socket.IO has them and as they travel.
 */
import type { BroadcastFlags, BroadcastOptions, Room } from "socket.io-adapter";
import type { Flags, Message } from "./wire/message.ts";

/** A room that nobody is in: what a question to nobody is for, which every server answers all the same. */
const NOBODY = "\0nobody";

/** Who a message is for, as it travels. Rooms that are no names (`undefined`) have no members. */
export function selection(opts: BroadcastOptions): { rooms: Room[]; except: Room[] } {
  const rooms = isForNobody(opts) ? [NOBODY] : [...opts.rooms].filter(isRoom);
  return { rooms, except: [...opts.except ?? []].filter(isRoom) };
}

/** Whether rooms are given, and none of them can have members: without them the message would be for everyone. */
export function isForNobody(opts: BroadcastOptions): boolean {
  return opts.rooms.size > 0 && ![...opts.rooms].some(isRoom);
}

function isRoom(room: unknown): boolean {
  return typeof room === "string" || typeof room === "number";
}

/** Who a message is for, as an adapter wants it. */
export function selected(message: Message): BroadcastOptions {
  const { rooms = [], except = [], flags = {} } = message;
  return { rooms: new Set(rooms as Room[]), except: new Set(except as Room[]), flags };
}

/** Who a message is for, as the cluster adapter's messages have it. */
export function listed(message: Message): { rooms: Room[]; except: Room[]; flags: BroadcastFlags } {
  const { rooms = [], except = [], flags = {} } = message;
  return { rooms: rooms as Room[], except: except as Room[], flags };
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
