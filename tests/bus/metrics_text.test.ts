import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Latency } from "../../src/bus/latency.ts";
import { metricsText } from "../../src/bus/metrics_text.ts";
import type { PgAdapterStats } from "../../src/bus/stats.ts";
import { Exposition } from "../support/exposition.ts";
import { test } from "../support/test.ts";

/** Each figure is another one, so that none stands for another. */
function statsOf(changes: Partial<PgAdapterStats> = {}): PgAdapterStats {
  const latency = new Latency();
  for (const milliseconds of [0.5, 1, 3, 40, 20_000]) latency.add(milliseconds);
  return {
    uid: "0123456789abcdef",
    prefix: "socket.io",
    phase: "disconnected",
    connections: {
      listen: { isUp: false, reconnects: 1 },
      publish: { isUp: true, reconnects: 2 },
    },
    nodes: ["a", "b"],
    namespaces: 4,
    channels: 5,
    published: { messages: 6, frames: 7, bytes: 8, statements: 9, dropped: 10, repeated: 11 },
    received: {
      messages: 12,
      frames: 13,
      characters: 14,
      duplicates: 15,
      repaired: 16,
      missed: 17,
      gaps: 18,
      incomplete: 19,
      malformed: 20,
      forged: 21,
      refused: 22,
    },
    queued: { messages: 23, bytes: 24 },
    notifyQueueUsage: 0.25,
    latency: latency.stats,
    errors: { UNSIGNED: 26, BUFFER_FULL: 27 },
    recovery: { persisted: 28, restored: 29, expired: 30, failed: 31 },
    ...changes,
  };
}

const FIGURES: readonly [name: string, value: number, labels?: Record<string, string>][] = [
  ["info", 1, { uid: "0123456789abcdef", prefix: "socket.io" }],
  ["phase", 0, { phase: "idle" }],
  ["phase", 0, { phase: "connecting" }],
  ["phase", 0, { phase: "ready" }],
  ["phase", 1, { phase: "disconnected" }],
  ["phase", 0, { phase: "closed" }],
  ["connection_up", 0, { connection: "listen" }],
  ["connection_up", 1, { connection: "publish" }],
  ["reconnects_total", 1, { connection: "listen" }],
  ["reconnects_total", 2, { connection: "publish" }],
  ["nodes", 3],
  ["namespaces", 4],
  ["channels", 5],
  ["published_messages_total", 6],
  ["published_frames_total", 7],
  ["published_bytes_total", 8],
  ["published_statements_total", 9],
  ["dropped_messages_total", 10],
  ["repeated_frames_total", 11],
  ["received_messages_total", 12],
  ["received_frames_total", 13],
  ["received_characters_total", 14],
  ["duplicate_frames_total", 15],
  ["repaired_frames_total", 16],
  ["missed_messages_total", 17],
  ["gaps_total", 18],
  ["incomplete_messages_total", 19],
  ["malformed_messages_total", 20],
  ["forged_frames_total", 21],
  ["unsigned_messages_total", 22],
  ["queued_messages", 23],
  ["queued_bytes", 24],
  ["notify_queue_usage_ratio", 0.25],
  ["errors_total", 26, { code: "UNSIGNED" }],
  ["errors_total", 27, { code: "BUFFER_FULL" }],
  ["recovery_persisted_sessions_total", 28],
  ["recovery_restored_sessions_total", 29],
  ["recovery_expired_sessions_total", 30],
  ["recovery_failed_sessions_total", 31],
  ...([["0.001", 2], ["0.0025", 2], ["0.005", 3], ["0.01", 3], ["0.025", 3], ["0.05", 4]] as const)
    .map(([le, value]) => ["latency_seconds_bucket", value, { le }] as [string, number, object]),
  ...["0.1", "0.25", "0.5", "1", "2.5", "5", "10"]
    .map((le) => ["latency_seconds_bucket", 4, { le }] as [string, number, object]),
  ["latency_seconds_bucket", 5, { le: "+Inf" }],
  ["latency_seconds_sum", 20.0445],
  ["latency_seconds_count", 5],
] as [string, number, Record<string, string>?][];

test("every figure has its name, and there is no other", () => {
  const read = new Exposition(metricsText(statsOf()));
  for (const [name, value, labels] of FIGURES) {
    assert.equal(read.value(`socketio_pg_${name}`, labels), value, name);
  }
  const count = read.families.reduce((sum, { samples }) => sum + samples.length, 0);
  assert.equal(count, FIGURES.length);
});

test("what is not known is not there", () => {
  const read = new Exposition(
    metricsText(statsOf({ notifyQueueUsage: undefined, errors: {}, recovery: undefined })),
  );
  assert.ok(!read.has("socketio_pg_notify_queue_usage_ratio"));
  assert.ok(!read.has("socketio_pg_errors_total"));
  assert.ok(!read.families.some(({ name }) => name.includes("recovery")));
});

test("labels are escaped", () => {
  const prefix = 'a"b\\c\nd\\n,e="f"}';
  const text = metricsText(statsOf({ prefix }));
  assert.ok(text.includes('prefix="a\\"b\\\\c\\nd\\\\n,e=\\"f\\"}"'), text.split("\n")[2]);
  const labels = { uid: "0123456789abcdef", prefix };
  assert.equal(new Exposition(text).value("socketio_pg_info", labels), 1);
});

test("numbers are written as Go reads them", () => {
  const queued = { messages: 1e21, bytes: 2 ** 53 };
  const read = new Exposition(metricsText(statsOf({ queued, notifyQueueUsage: 1e-7 })));
  assert.equal(read.value("socketio_pg_queued_messages"), 1e21);
  assert.equal(read.value("socketio_pg_queued_bytes"), 2 ** 53);
  assert.equal(read.value("socketio_pg_notify_queue_usage_ratio"), 1e-7);
});

test("it can be joined with what other libraries return", () => {
  const other = "# HELP up Whether it is up.\n# TYPE up gauge\nup 1\n";
  const read = new Exposition(other + metricsText(statsOf()) + other.replaceAll("up", "down"));
  assert.deepEqual([read.value("up"), read.value("down")], [1, 1]);
});

test("docs/monitoring.md has a row for each name, and for no other", () => {
  const page = readFileSync(new URL("../../docs/monitoring.md", import.meta.url), "utf8");
  const rows = [...page.matchAll(/^\| `(socketio_pg_\w+)(?:\{(\w+)\})?` +\| (\w+) +\|/gm)];
  const { families } = new Exposition(metricsText(statsOf()));
  assert.deepEqual(
    rows.map(([, name, label, type]) => `${name} ${label ?? ""} ${type}`).sort(),
    families.map(({ name, type, samples }) => {
      const label = name.endsWith("_info") || type === "histogram"
        ? undefined
        : Object.keys(samples[0]?.labels ?? {})[0];
      return `${name} ${label ?? ""} ${type}`;
    }).sort(),
  );
  // What is asked of them elsewhere on the page is there, too.
  const names = families.flatMap(({ samples }) => samples.map(({ name }) => name));
  for (const [name] of page.matchAll(/socketio_pg_\w+/g)) {
    assert.ok(names.includes(name) || families.some((family) => family.name === name), name);
  }
});

test("what is not in the format is refused by the reader of these tests", () => {
  const head = "# HELP a_total A.\n# TYPE a_total counter\n";
  const histogram = "# HELP h H.\n# TYPE h histogram\n";
  const bad: Record<string, string> = {
    "no end of the last line": `${head}a_total 1`,
    "no TYPE": "# HELP a_total A.\na_total 1\n",
    "no HELP": "# TYPE a_total counter\na_total 1\n",
    "no figures": head,
    "another name": `${head}b_total 1\n`,
    "a counter without _total": "# HELP a A.\n# TYPE a counter\na 1\n",
    "a gauge with _total": "# HELP a_total A.\n# TYPE a_total gauge\na_total 1\n",
    "an empty line": `${head}a_total 1\n\n`,
    "no value": `${head}a_total\n`,
    "a value that is none": `${head}a_total 1x\n`,
    "Infinity as JavaScript writes it": `${head}a_total Infinity\n`,
    "a quote that is not escaped": `${head}a_total{b="""} 1\n`,
    "an escape that is none": `${head}a_total{b="\\x"} 1\n`,
    "a label twice": `${head}a_total{b="1",b="2"} 1\n`,
    "a series twice": `${head}a_total 1\na_total 2\n`,
    "a name twice": `${head}a_total 1\n${head}a_total{b="1"} 1\n`,
    "a count below zero": `${head}a_total -1\n`,
    "buckets that do not grow":
      `${histogram}h_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n`,
    "no bucket of all": `${histogram}h_bucket{le="1"} 2\nh_sum 1\nh_count 2\n`,
    "another count": `${histogram}h_bucket{le="+Inf"} 2\nh_sum 1\nh_count 3\n`,
    "no sum": `${histogram}h_bucket{le="+Inf"} 2\nh_count 2\n`,
  };
  for (const [what, text] of Object.entries(bad)) {
    assert.throws(() => new Exposition(text), Error, what);
  }
  assert.equal(new Exposition(`${head}a_total{b="1",c="\\\\"} 1.5e+3\n`).families.length, 1);
});
