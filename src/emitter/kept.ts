/**
 * What is kept for clients that are away, see connection state recovery: messages share a frame with what is kept under
 * the same key, and the pieces of a large one are kept beside the last of them.
 */
import { piecesKey } from "../bus/packer.ts";
import { namespaceChannel, roomChannel } from "../wire/channel.ts";
import type { PackedFrame } from "../wire/frame.ts";
import type { KeptNotification } from "./transport.ts";
import type { Statement } from "./statement.ts";

/** Under what a message is kept: that of the one room that it is for, or where everybody looks. */
export function keyOf(prefix: string, nsp: string, rooms: readonly string[]): string {
  const [room, ...more] = new Set(rooms);
  return room === undefined || more.length > 0
    ? namespaceChannel(prefix, nsp)
    : roomChannel(prefix, nsp, room);
}

/**
 * Frames with what the log needs to know of them.
 *
 * @param uid Their sender.
 */
export function keptFrames(
  frames: readonly PackedFrame[],
  uid: string,
): KeptNotification[] {
  let key: string | undefined;
  let first = 0;
  return frames.map(({ channel, payload, sequence, items }, i) => {
    // The first of several chunks stands for all of them.
    if (items.length > 0) {
      key = items[0]!.key;
      first = sequence;
    }
    if (key === undefined) return { channel, payload };
    const next = frames[i + 1];
    const isLast = next === undefined || next.items.length > 0;
    return {
      channel,
      payload,
      key: isLast ? key : piecesKey(uid, first),
      origin: `${uid}:${sequence}`,
    };
  });
}

/** The statement that keeps and sends notifications, in order, when its transaction commits. */
export function keepStatementOf(items: readonly KeptNotification[]): Statement {
  return {
    text: "select socketio.recovery_send($1::text::json)",
    parameters: [JSON.stringify(items)],
    isCommon: true,
  };
}
