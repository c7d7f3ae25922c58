/** The session of a client that has left, and may come back. */
import type { Sealer } from "../runtime/sealer.ts";
import { encodeFrame } from "../wire/frame.ts";
import { decodeMessages, encodeMessage, MalformedMessage, MessageType } from "../wire/message.ts";
import { decodeArgs, encodeArgs } from "../wire/packet.ts";
import { isRoom, type Room } from "../wire/rooms.ts";

/** What Socket.IO gives an adapter to keep. */
export interface Session {
  /** The id of the socket, which it gets again. */
  readonly sid: string;
  /** What the client proves with that it is the same: nobody else knows it. */
  readonly pid: string;
  readonly rooms: readonly Room[];
  readonly data: unknown;
}

/** The form of a pid, as of all ids of Socket.IO. */
const PID = /^[A-Za-z0-9_-]{20}$/;

/** Whether a text that a client sends can be a pid. */
export function isPid(text: string): boolean {
  return PID.test(text);
}

/**
 * Encodes a session as it is kept, sealed where there is a secret: as a frame for a channel of its own.
 *
 * @throws What the data of the socket cannot be serialized with.
 */
export function encodeSession(session: Session, uid: string, sealer: Sealer | undefined): string {
  const { sid, pid, rooms, data } = session;
  const record = encodeMessage({
    type: MessageType.BROADCAST,
    parts: encodeArgs([sid, rooms.filter(isRoom), data]),
  });
  const frame = encodeFrame({ kind: "r", uid, sequence: 1, previous: 0 }, record);
  return sealer === undefined ? frame : sealer.seal(channelOf(pid), frame);
}

/**
 * Decodes a session that was kept.
 *
 * @throws MalformedMessage or Refused when it is none.
 */
export function decodeSession(pid: string, text: string, sealer: Sealer | undefined): Session {
  const frame = sealer === undefined ? text : sealer.openKept(channelOf(pid), text);
  const [decode] = decodeMessages(frame.slice(frame.indexOf(";") + 1));
  const [sid, rooms, data] = decodeArgs(decode?.().parts ?? []);
  if (typeof sid !== "string" || !Array.isArray(rooms) || !rooms.every(isRoom)) {
    throw new MalformedMessage("Cannot read a session");
  }
  return { sid, pid, rooms, data };
}

function channelOf(pid: string): string {
  return `session ${pid}`;
}
