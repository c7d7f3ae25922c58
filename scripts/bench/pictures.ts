/**
 * What of the results is drawn.
 *
 * @module
 */

import type { Chart } from "./chart.ts";
import { count } from "./figures.ts";
import { medianOf, type Results } from "./report.ts";
import type { Turn } from "./workloads.ts";

/** Which peers the pictures show, and in which order. */
const SHOWN = ["socketio-pg", "redis", "redis-sharded", "redis-streams", "postgres"];

/** The charts of the core group, by the names of their files. */
export function pictures({ core }: Results): Record<string, Chart> {
  if (core === undefined) return {};
  const groups = (
    names: readonly string[],
    pick: (turn: Turn) => number | undefined,
    unit: string,
    prefix = "",
  ) =>
    names.flatMap((name) => {
      const measured = core.workloads[name];
      if (measured === undefined) return [];
      const bars = SHOWN.flatMap((peer) => {
        const value = medianOf(measured.turns[peer] ?? [], pick);
        return value === undefined ? [] : [{ name: peer, value, label: `${count(value)} ${unit}` }];
      });
      return bars.length === 0 ? [] : [{ title: `${prefix}${measured.title}`, bars }];
    });
  const streams = ["steady-500", "steady-3000"];
  return {
    throughput: {
      title: "Messages a second, to all clients of three servers",
      subtitle: `Bursts; more is better. Node; ${core.configuration[0] ?? "one machine"}`,
      groups: groups(
        ["100B", "1KB", "10KB", "100KB", "binary", "room"],
        ({ rate }) => rate,
        "/s",
      ),
    },
    latency: {
      title: "Milliseconds from emit to a client of another server",
      subtitle: "Steady streams; less is better",
      groups: [
        ...groups(streams, ({ p50 }) => p50, "ms", "Median: "),
        ...groups(streams, ({ p99 }) => p99, "ms", "99 %: "),
      ],
    },
    cost: {
      title: "Processor time for a message, in microseconds",
      subtitle: "Bursts of 100 B to all, and to a room that one server has; less is better",
      groups: [
        ...groups(["100B"], ({ processor }) => processor.sender, "µs", "Sender: "),
        ...groups(["100B"], ({ processor }) => processor.receiver, "µs", "Receiver: "),
        ...groups(
          ["room"],
          ({ processor }) => processor.uninterested,
          "µs",
          "A server without members: ",
        ),
        ...groups(["100B"], ({ processor }) => processor.database, "µs", "Database: "),
      ],
    },
  };
}
