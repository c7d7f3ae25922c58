/**
 * What a server has sent and its own clients have not been given yet, as it is on its way through PostgreSQL. It is for
 * those who were to get it when it was emitted: who has left a room since gets it, who has joined one since does not.
 */
import type { Message } from "../wire/message.ts";
import type { Room } from "../wire/rooms.ts";
import { isFor } from "./missed.ts";

/** A packet on its way. */
export interface OwnPacket {
  readonly message: Message;
  /** Whether it is in the log, and gets a number. */
  readonly isLogged: boolean;
  /** Its place among all that the process has emitted. */
  readonly order: number;
  /** Whether clients were given it without its number, as it could not be sent. */
  isGiven: boolean;
  /** Whether it has come back, or will not. */
  isBack: boolean;
  /** Its number in the log, once it is known to be there. */
  number: number | undefined;
  /** Sockets whose rooms have changed since, and whether it is for them; it is for no one who has it already. */
  readonly decided: Map<string, boolean>;
  /** Writes it to clients. */
  write(number: number | undefined): void;
}

/** The packets of a namespace that are on their way. */
export class OwnPackets {
  readonly #packets: Set<OwnPacket> = new Set();
  /** How many of them were given to clients without their numbers. */
  #given = 0;

  /** Whether some were given to clients and may not be in the log yet. */
  get hasGiven(): boolean {
    return this.#given > 0;
  }

  /** A packet is about to be sent. */
  add(
    message: Message,
    isLogged: boolean,
    order: number,
    write: OwnPacket["write"],
  ): OwnPacket {
    const packet: OwnPacket = {
      message,
      isLogged,
      order,
      isGiven: false,
      isBack: false,
      number: undefined,
      decided: new Map(),
      write,
    };
    this.#packets.add(packet);
    return packet;
  }

  /**
   * A packet has come back, or will not.
   *
   * @returns What clients get now, in order: what will not come back has its place among what does.
   */
  back(packet: OwnPacket, number: number | undefined): OwnPacket[] {
    packet.isBack = true;
    packet.number = number;
    if (packet.isGiven && this.#packets.delete(packet)) this.#given--;
    const due: OwnPacket[] = [];
    for (const each of this.#packets) {
      if (each.isGiven) continue;
      if (!each.isBack) break;
      this.#packets.delete(each);
      due.push(each);
    }
    return due;
  }

  /** It is given to clients before it is back. */
  give(packet: OwnPacket): void {
    packet.isGiven = true;
    if (packet.isBack) this.#packets.delete(packet);
    else this.#given++;
  }

  /** Those that clients wait for, in order. */
  waiting(): OwnPacket[] {
    return this.#packets.size === 0 ? [] : [...this.#packets].filter(({ isGiven }) => !isGiven);
  }

  /** The rooms of a socket are about to change. */
  changing(id: string, rooms: ReadonlySet<Room>): void {
    for (const { message, isGiven, decided } of this.#packets) {
      if (!isGiven && !decided.has(id)) decided.set(id, isFor(rooms, message));
    }
  }

  /** The packets that a socket waits for, in order; they are not for it any more. */
  takeOf(id: string, rooms: ReadonlySet<Room>): OwnPacket[] {
    const taken = this.waiting().filter(({ message, decided }) =>
      decided.get(id) ?? isFor(rooms, message)
    );
    for (const { decided } of taken) decided.set(id, false);
    return taken;
  }
}
