/**
 * What servers and clients would refuse is refused where it is emitted, since those who emit do not hear of it later.
 */
import { MAX_ARGUMENTS } from "../wire/event.ts";
import type { Message } from "../wire/message.ts";
import { isJsonTooDeep, MAX_NESTING } from "../wire/nesting.ts";
import { isRoom, MAX_NAME_LENGTH, MAX_ROOMS } from "../wire/rooms.ts";

/** Something that cannot be emitted. Its message is the rest of a sentence. */
export class Unfit extends Error {
  override readonly name: string = "Unfit";
}

/**
 * Requires an event that applications may use.
 *
 * @throws Unfit
 */
export function checkOutgoingEvent(
  name: unknown,
  args: readonly unknown[],
  reserved: ReadonlySet<unknown>,
): void {
  if (typeof name !== "string") {
    throw new Unfit(`the name of an event must be a string: current value is a ${typeof name}`);
  }
  if (reserved.has(name)) throw new Unfit("Socket.IO keeps this name for itself");
  if (args.length >= MAX_ARGUMENTS) {
    throw new Unfit(`it has ${args.length} arguments, and there can be ${MAX_ARGUMENTS - 1}`);
  }
}

/**
 * Requires rooms to join or to leave.
 *
 * @throws Unfit
 */
export function checkRoomNames(given: readonly unknown[]): void {
  const odd = given.find((room) => !isRoom(room));
  if (odd !== undefined || given.includes(undefined)) {
    throw new Unfit(`a room must be a string: current value is ${String(odd)}`);
  }
}

/**
 * Requires a message that others read.
 *
 * @param start How many characters of its text stand before the JSON.
 * @throws Unfit
 */
export function checkOutgoing(
  { nsp = "/", rooms = [], except = [], value, parts }: Message,
  start: number,
): void {
  if (nsp.length > MAX_NAME_LENGTH) {
    throw new Unfit(
      `its namespace has ${nsp.length} characters, and there can be ${MAX_NAME_LENGTH}`,
    );
  }
  for (const names of [rooms, except, Array.isArray(value) ? value : []]) {
    if (names.length > MAX_ROOMS) {
      throw new Unfit(`it names ${names.length} rooms, and there can be ${MAX_ROOMS}`);
    }
    if (names.some((room) => typeof room === "string" && room.length > MAX_NAME_LENGTH)) {
      throw new Unfit(`a room has more than ${MAX_NAME_LENGTH} characters`);
    }
  }
  const [text] = parts ?? [];
  if (typeof text === "string" && text.length > MAX_NESTING && isJsonTooDeep(text.slice(start))) {
    throw new Unfit(`it is nested more deeply than ${MAX_NESTING} levels`);
  }
}
