/**
 * What an emitter says on the wire of `@socket.io/postgres-adapter`, besides its own.
 */
import type { Message } from "../wire/message.ts";
import {
  EMITTER_UID,
  encodeOfficial,
  officialChannel,
  type OfficialNotification,
} from "./message.ts";
import type { OfficialOptions } from "./options.ts";

/** Encodes what one emitter sends. */
export class OfficialEncoder {
  readonly #uid: string;
  readonly #options: OfficialOptions;
  #count = 0;

  /** @param uid The emitter's own: on the other wire all of them have one name, and their payloads must differ. */
  constructor(uid: string, options: OfficialOptions) {
    this.#uid = uid;
    this.#options = options;
  }

  /** Encodes a message: one notification, or none where the namespace has no channel there. */
  encode(message: Message): OfficialNotification[] {
    const channel = officialChannel(this.#options.channelPrefix, message.nsp ?? "/");
    if (channel === undefined) return [];
    const sender = { uid: EMITTER_UID, id: `${this.#uid}:${++this.#count}` };
    return [encodeOfficial(channel, message, sender, this.#options)];
  }
}
