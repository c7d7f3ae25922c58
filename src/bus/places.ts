/**
 * What the channels that this process listens to stand for: a namespace or a room. Channels may stand for several of
 * them (`/a:b#` and the room `b` of `/a`; the rooms `7` and `"7"`), and are listened to as long as there is one.
 */

/** A namespace, or one room of it. */
export interface Place {
  nsp: string;
  room?: string | number;
}

/** The places by channel. */
export class Places {
  readonly #channels: Map<string, Map<string, Place>> = new Map();

  /** Adds a place, if it is not there yet. */
  add(channel: string, place: Place): void {
    const places = this.#channels.get(channel) ?? new Map<string, Place>();
    places.set(keyOf(place), place);
    this.#channels.set(channel, places);
  }

  /** Removes a place. */
  remove(channel: string, place: Place): void {
    const places = this.#channels.get(channel);
    if (places?.delete(keyOf(place)) && places.size === 0) this.#channels.delete(channel);
  }

  /** Whether the channel stands for anything. */
  has(channel: string): boolean {
    return this.#channels.has(channel);
  }

  /** Whether the channel stands for a room. */
  hasRoom(channel: string): boolean {
    return this.#find(channel, ({ room }) => room !== undefined) !== undefined;
  }

  /** Whether the channel stands for a namespace. */
  isNamespace(channel: string): boolean {
    return this.#find(channel, ({ room }) => room === undefined) !== undefined;
  }

  /** What a plain message on the channel is for: the namespace, where it stands for one. */
  of(channel: string): Place | undefined {
    return this.#find(channel, ({ room }) => room === undefined) ?? this.#find(channel, () => true);
  }

  /** Forgets all places. */
  clear(): void {
    this.#channels.clear();
  }

  #find(channel: string, matches: (place: Place) => boolean): Place | undefined {
    for (const place of this.#channels.get(channel)?.values() ?? []) {
      if (matches(place)) return place;
    }
    return undefined;
  }
}

function keyOf({ nsp, room }: Place): string {
  return JSON.stringify(room === undefined ? [nsp] : [nsp, room]);
}
