/**
 * What the soak and its servers tell each other, by lines of JSON, and what the servers say to each other's clients.
 *
 * @module
 */

import type { PgAdapterOptions } from "../../mod.ts";

/** How a server is started. */
export interface ServerOptions {
  readonly uri: string;
  readonly adapter: PgAdapterOptions;
  /** Messages per second. */
  readonly rate: number;
  /** Chooses what is said to whom, and the rooms. */
  readonly seed: number;
}

/** What a server is told to do. */
export type Order =
  | { readonly order: "start"; readonly options: ServerOptions }
  /** Stands still for so many milliseconds. */
  | { readonly order: "block"; readonly ms: number }
  | { readonly order: "sample"; readonly id: number }
  /** Says one last thing to everyone, and then nothing more. */
  | { readonly order: "pause" }
  /** Closes, and lets the process end by itself. */
  | { readonly order: "leave" };

/** A message that was sent: its number, when (`Date.now()`), to whom. */
export type SentLine = readonly [n: number, at: number, target: string];

/** A message that a client got: of whom, and when; whether its content is what it should be. */
export type ReceivedLine = readonly [
  sender: string,
  n: number,
  sentAt: number,
  target: string,
  at: number,
  isIntact: boolean,
];

/** What became of the client's place in a room: `called` and `joined` are the begin and the end of `join()`. */
export type RoomLine = readonly [
  target: string,
  what: "called" | "joined" | "left",
  at: number,
];

/** Something that the adapter told. */
export type ToldLine = readonly [event: string, detail: unknown, at: number];

/** What a server holds. */
export interface Sample {
  readonly id: number;
  /** Bytes. */
  readonly rss: number;
  readonly heap: number;
  /** Timers and handles by their kind, where the runtime tells. */
  readonly resources?: Readonly<Record<string, number>>;
  readonly phase: string;
  readonly queued: number;
  /** How many sockets `fetchSockets()` found in the whole cluster, or the code of its error. */
  readonly sockets: number | string;
  readonly repaired: number;
  readonly duplicates: number;
}

/** What a server tells. */
export interface Report {
  /** Once, when it is ready, its client is connected, and it begins to talk. */
  readonly ready?: { readonly uid: string; readonly at: number };
  readonly sent?: readonly SentLine[];
  readonly received?: readonly ReceivedLine[];
  readonly rooms?: readonly RoomLine[];
  readonly told?: readonly ToldLine[];
  readonly sample?: Sample;
  /** What was thrown or rejected unheard. */
  readonly fault?: string;
}

/** The second namespace. */
export const SECOND = "/second";

/** A room that every client is in from the start. */
export const EVERYONE = "everyone";

/** Stands for rooms that all clients are made to join just before, and to leave just after. */
export const MOVED = "moved";

/** Rooms that clients join and leave, as targets. */
export const CHANGING: readonly string[] = [
  ...["a", "b", "c", "d", "e", "f"].map((room) => targetOf("/", room)),
  ...["a", "b", "c"].map((room) => targetOf(SECOND, room)),
];

/** A namespace, and one of its rooms or none. */
export function targetOf(nsp: string, room = ""): string {
  return `${nsp} ${room}`;
}

/** Whether whoever is there gets it. */
export function isForAll(target: string): boolean {
  return !CHANGING.includes(target);
}

/** Bytes; small ones are the rule. */
const SIZES = [0, 5, 40, 300, 10, 1_500, 80, 2, 7_000, 120, 30, 8_000, 60, 400, 20_000, 15];
/** Every so many messages one is very large. */
const LARGE_EVERY = 250;
const LARGE = 100_000;

/** What message `n` of a sender says: text or binary, of many sizes. */
export function contentOf(sender: string, n: number): string | Uint8Array {
  const size = n % LARGE_EVERY === LARGE_EVERY - 1 ? LARGE : SIZES[n % SIZES.length] ?? 0;
  // Not in step with the sizes, so that each size comes in each kind.
  if (n % 3 !== 0) return `${sender} ${n}é "`.repeat(Math.ceil(size / 20)).slice(0, size);
  return new Uint8Array(size).map((_, i) => (n + i * 7) & 255);
}

/** Whether a client got what message `n` of a sender says. */
export function isContentOf(sender: string, n: number, content: unknown): boolean {
  const original = contentOf(sender, n);
  if (typeof original === "string") return content === original;
  const bytes = content instanceof ArrayBuffer ? new Uint8Array(content) : content;
  return bytes instanceof Uint8Array && bytes.length === original.length &&
    bytes.every((byte, i) => byte === original[i]);
}
