/**
 * The channels of the rooms that this process has members in (subscription mode "dynamic"). PostgreSQL up to 18 walks
 * all channels of a session for every notification, so there is a bound; while it is passed, the process says that it
 * does not listen to the channels of its rooms, and everybody sends on those of the namespaces.
 */
import type { Listener } from "./listener.ts";

/** Below this part of the bound room channels are used again: at the bound itself one room would switch to and fro. */
const RESUME_AT = 0.9;

/** Which room channels are wanted. */
export class RoomChannels {
  readonly #listener: Listener;
  readonly #max: number;
  /** Tells whether this process listens to the channels of all its rooms; settles when the others were told. */
  readonly #announce: (has: boolean) => Promise<void>;
  readonly #channels: Set<string> = new Set();
  #suspended = false;
  #told: Promise<void> = Promise.resolve();

  constructor(listener: Listener, max: number, announce: (has: boolean) => Promise<void>) {
    this.#listener = listener;
    this.#max = max;
    this.#announce = announce;
  }

  /**
   * A room has its first member, or one more.
   *
   * @returns A promise that settles when messages to the room arrive, and never rejects; nothing when they already do.
   */
  join(channel: string): Promise<void> | undefined {
    this.#channels.add(channel);
    if (!this.#suspended && this.#channels.size > this.#max) {
      this.#suspended = true;
      this.#told = this.#announce(false);
    }
    return this.#suspended ? this.#told : this.#listener.listen(channel);
  }

  /** No room of the channel has members any more. */
  leave(channel: string): void {
    if (!this.#channels.delete(channel)) return;
    if (this.#suspended && this.#channels.size <= this.#max * RESUME_AT) this.#resume();
  }

  #resume(): void {
    this.#suspended = false;
    const pending = [...this.#channels].map((channel) => this.#listener.listen(channel));
    Promise.all(pending).then(() => {
      if (!this.#suspended) return this.#announce(true);
    }).catch(() => {
      // Neither listening nor announcing rejects; a closed bus has nobody to tell.
    });
  }
}
