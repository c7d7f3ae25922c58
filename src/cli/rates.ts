/**
 * How much travels.
 */
import type { Heard } from "./traffic.ts";

/** How much there was. */
export interface RatesReport {
  readonly seconds: number;
  /** Messages that could be read. */
  readonly messages: number;
  /** Those of them that were shown. */
  readonly shown: number;
  /** Bytes of payloads. */
  readonly bytes: number;
  /** Of late, as of the whole time at the end. */
  readonly perSecond: number;
  readonly bytesPerSecond: number;
  readonly malformed: number;
  /** Payloads whose seal is wrong. */
  readonly refused: number;
  /** Sealed payloads, where there is no secret. */
  readonly sealed: number;
  /** Messages in chunks that did not come whole. */
  readonly incomplete: number;
  readonly channels: Readonly<Record<string, { messages: number; bytes: number }>>;
}

/** Counts. */
export class Rates {
  readonly #start: number;
  #since: number;
  #messages = 0;
  #bytes = 0;
  #shown = 0;
  readonly #troubles = { malformed: 0, refused: 0, sealed: 0 };
  #lastMessages = 0;
  #lastBytes = 0;
  readonly #channels: Map<string, { messages: number; bytes: number }>;

  /** @param now Milliseconds. */
  constructor(channels: Iterable<string>, now: number) {
    this.#start = this.#since = now;
    this.#channels = new Map([...channels].map((each) => [each, { messages: 0, bytes: 0 }]));
  }

  /** Messages that were shown. */
  get shown(): number {
    return this.#shown;
  }

  /** A payload came. */
  payload(channel: string, bytes: number): void {
    this.#bytes += bytes;
    const counts = this.#channels.get(channel);
    if (counts !== undefined) counts.bytes += bytes;
  }

  /** A message came, or something that is none. */
  heard({ channel, type }: Heard, isShown: boolean): void {
    if (type === "malformed" || type === "refused" || type === "sealed") {
      this.#troubles[type]++;
      return;
    }
    this.#messages++;
    if (isShown) this.#shown++;
    const counts = this.#channels.get(channel);
    if (counts !== undefined) counts.messages++;
  }

  /** How much there was since it was last asked. */
  latest(now: number, incomplete: number): RatesReport {
    const report = this.#report(now, incomplete, this.#since, this.#lastMessages, this.#lastBytes);
    this.#since = now;
    this.#lastMessages = this.#messages;
    this.#lastBytes = this.#bytes;
    return report;
  }

  /** How much there was. */
  total(now: number, incomplete: number): RatesReport {
    return this.#report(now, incomplete, this.#start, 0, 0);
  }

  #report(
    now: number,
    incomplete: number,
    since: number,
    messages: number,
    bytes: number,
  ): RatesReport {
    const seconds = Math.max(1, now - since) / 1_000;
    return {
      seconds: rounded((now - this.#start) / 1_000),
      messages: this.#messages,
      shown: this.#shown,
      bytes: this.#bytes,
      perSecond: rounded((this.#messages - messages) / seconds),
      bytesPerSecond: rounded((this.#bytes - bytes) / seconds),
      ...this.#troubles,
      incomplete,
      channels: Object.fromEntries(this.#channels),
    };
  }
}

function rounded(number: number): number {
  return Math.round(number * 10) / 10;
}
