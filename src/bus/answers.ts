/** Answers of other processes, to requests and to broadcasts with acknowledgements. */
import { argsOf, countOf, type Message, MessageType } from "../wire/message.ts";
import type { Acknowledgements } from "./acknowledgements.ts";
import type { Requests } from "./requests.ts";

/**
 * Gives an answer to who waits for it.
 *
 * @param uid Who sent it.
 * @returns Whether it is one.
 * @throws MalformedMessage when it cannot be read.
 */
export function takeAnswer(
  requests: Requests,
  acknowledgements: Acknowledgements,
  uid: string,
  message: Message,
): boolean {
  const { requestId = "" } = message;
  switch (message.type) {
    case MessageType.FETCH_SOCKETS_RESPONSE:
    case MessageType.SERVER_SIDE_EMIT_RESPONSE:
      requests.answer(
        uid,
        requestId,
        typeof message.value === "string"
          ? { ok: false, error: message.value }
          : { ok: true, value: argsOf(message) },
      );
      return true;
    case MessageType.BROADCAST_CLIENT_COUNT:
      acknowledgements.clientCount(requestId, countOf(message));
      return true;
    case MessageType.BROADCAST_ACK:
      acknowledgements.ack(requestId, argsOf(message)[0]);
      return true;
    default:
      return false;
  }
}
