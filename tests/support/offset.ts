/** Runs of the contract with connection state recovery, which adds an argument to each event. */
import process from "node:process";

/** Whether all servers have connection state recovery. */
export const HAS_RECOVERY: boolean = process.env["TEST_RECOVERY"] === "1";

const OFFSET = /^[0-9a-z]{8,11}\.[0-9a-f]{6}$/;

/** The arguments of an event without its offset. */
export function withoutOffset(args: readonly unknown[]): unknown[] {
  const last = args.at(-1);
  return typeof last === "string" && OFFSET.test(last) ? args.slice(0, -1) : [...args];
}
