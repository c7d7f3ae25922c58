/**
 * What was measured as text, or as lines of JSON.
 */
import { jsonLine } from "./view.ts";

/** One result. */
export type Measured =
  | {
    readonly type: "latency";
    readonly count: number;
    /** Milliseconds. */
    readonly p50: number;
    readonly p99: number;
  }
  | {
    readonly type: "throughput";
    /** Of one packet. */
    readonly bytes: number;
    readonly messages: number;
    readonly ms: number;
  };

/** A result as a line. */
export function benchAsText(measured: Measured): string {
  if (measured.type === "latency") {
    const { count, p50, p99 } = measured;
    return `One notification, alone: ${p50.toFixed(2)} ms (p50), ${
      p99.toFixed(2)
    } ms (p99), of ${count}\n`;
  }
  const { bytes, perSecond, bytesPerSecond } = rates(measured);
  const size = bytes < 1_000 ? `${bytes} B` : `${bytes / 1_000} KB`;
  return `Two servers, packets of ${size}: ${perSecond} messages/s, ${
    (bytesPerSecond / 1e6).toFixed(1)
  } MB/s\n`;
}

/** A result as a line of JSON. */
export function benchAsJson(measured: Measured): string {
  if (measured.type === "latency") {
    const { type, count, p50, p99 } = measured;
    return jsonLine(type, { count, p50: rounded(p50), p99: rounded(p99) });
  }
  return jsonLine(measured.type, rates(measured));
}

function rates({ bytes, messages, ms }: Extract<Measured, { type: "throughput" }>) {
  const perSecond = Math.round(messages / ms * 1_000);
  return { bytes, messages, perSecond, bytesPerSecond: perSecond * bytes };
}

/** To a microsecond. */
function rounded(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}
