/**
 * Which rooms a message is for, when it travels. Applications pass all kinds of things as rooms.
 */

/** A room; Socket.IO's users pass numbers, too, and a number stays one. */
export type Room = string | number;

/** The most rooms that one message may name; applications pass the rooms of thousands of users. */
export const MAX_ROOMS = 100_000;

/** The longest name of a room or a namespace, in UTF-16 code units; they may come from clients. */
export const MAX_NAME_LENGTH = 16_384;

/** A room that nobody is in. */
const NOBODY = "\0nobody";

/** Whether a room can have members on another server: `undefined` and the like cannot. */
export function isRoom(room: unknown): room is Room {
  return typeof room === "string" || (typeof room === "number" && Number.isFinite(room));
}

/** Whether rooms are given and none of them can have members; without them the message would be for everyone. */
export function isForNobody(rooms: Iterable<unknown>): boolean {
  const given = [...rooms];
  return given.length > 0 && !given.some(isRoom);
}

/** The rooms that travel: those that can have members, and one without where there is none of these. */
export function targetRooms(rooms: Iterable<unknown>): Room[] {
  return isForNobody(rooms) ? [NOBODY] : [...rooms].filter(isRoom);
}
