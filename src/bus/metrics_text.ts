/**
 * What Prometheus reads: the figures of `stats()` in its text format, version 0.0.4.
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 */
import type { BusPhase, ConnectionStats, PgAdapterStats } from "./stats.ts";

/** The start of all names. */
const PREFIX = "socketio_pg_";

/** Figures of one name. */
interface Family {
  /** Without the prefix. */
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly samples: readonly Sample[];
}

/** One figure. */
interface Sample {
  /** What its name has behind that of its family: a histogram is several. */
  readonly suffix?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Every phase, so that a figure says of each whether it is the one. */
const PHASES: Readonly<Record<BusPhase, true>> = {
  idle: true,
  connecting: true,
  ready: true,
  disconnected: true,
  closed: true,
};

/**
 * The text.
 *
 * @returns Lines, the last of which ends, too: texts of other libraries may come before it and after it.
 */
export function metricsText(stats: PgAdapterStats): string {
  return families(stats).filter(({ samples }) => samples.length > 0).map(familyText).join("");
}

function families(stats: PgAdapterStats): Family[] {
  return [
    ...state(stats),
    ...sending(stats),
    ...receiving(stats),
    ...recovering(stats),
    counter(
      "errors_total",
      "Error events, by code.",
      ...Object.entries(stats.errors).map(([code, value]) => ({ labels: { code }, value })),
    ),
  ];
}

/** Where it stands. */
function state(stats: PgAdapterStats): Family[] {
  const { uid, prefix, phase, nodes, namespaces, channels, notifyQueueUsage: usage } = stats;
  return [
    gauge("info", "The process: its id in the cluster, the prefix of its channels.", {
      labels: { uid, prefix },
      value: 1,
    }),
    gauge(
      "phase",
      "1 for where the process stands, 0 for the other phases.",
      ...Object.keys(PHASES).map((each) => ({
        labels: { phase: each },
        value: each === phase ? 1 : 0,
      })),
    ),
    gauge(
      "connection_up",
      "Whether a connection to PostgreSQL works.",
      ...byConnection(stats, ({ isUp }) => isUp ? 1 : 0),
    ),
    counter(
      "reconnects_total",
      "How often a connection to PostgreSQL worked again after it was lost.",
      ...byConnection(stats, ({ reconnects }) => reconnects),
    ),
    gauge("nodes", "Servers of the cluster that the process knows, itself included.", {
      value: nodes.length + 1,
    }),
    gauge("namespaces", "Namespaces of the process.", { value: namespaces }),
    gauge("channels", "Channels that the process listens to.", { value: channels }),
    gauge(
      "notify_queue_usage_ratio",
      "How full the queue of notifications of the database server is, of 1.",
      ...usage === undefined ? [] : [{ value: usage }],
    ),
    latency(stats),
  ];
}

function sending({ published, queued }: PgAdapterStats): Family[] {
  return [
    total(
      "published_messages",
      "Messages given to be sent, heartbeats included.",
      published.messages,
    ),
    total("published_frames", "Notifications that PostgreSQL has taken.", published.frames),
    total("published_bytes", "Bytes of messages that were sent.", published.bytes),
    total("published_statements", "Statements that PostgreSQL has taken.", published.statements),
    total(
      "dropped_messages",
      "Messages that PostgreSQL refused or that maxBuffer had no room for.",
      published.dropped,
    ),
    total(
      "repeated_frames",
      "Notifications that were sent again to processes that had missed them.",
      published.repeated,
    ),
    gauge("queued_messages", "Messages that wait to be sent.", { value: queued.messages }),
    gauge("queued_bytes", "Bytes of the messages that wait to be sent.", { value: queued.bytes }),
  ];
}

function receiving({ received }: PgAdapterStats): Family[] {
  return [
    total("received_messages", "Messages of others, heartbeats included.", received.messages),
    total("received_frames", "Notifications of other adapters and emitters.", received.frames),
    total(
      "received_characters",
      "Characters (UTF-16 code units) of those notifications.",
      received.characters,
    ),
    total(
      "duplicate_frames",
      "Notifications that had been received before, and were dropped.",
      received.duplicates,
    ),
    total(
      "repaired_frames",
      "Notifications that had been missed, and came when they were asked for.",
      received.repaired,
    ),
    total("gaps", "How often messages of another server were missed for good.", received.gaps),
    total(
      "missed_messages",
      "Messages that were missed for good, as far as anybody knows how many.",
      received.missed,
    ),
    total(
      "incomplete_messages",
      "Messages in several notifications that did not come whole.",
      received.incomplete,
    ),
    total(
      "malformed_messages",
      "Notifications and messages that could not be read or were refused, of whatever kind.",
      received.malformed,
    ),
    total(
      "forged_frames",
      "Notifications in the name of a process that did not send them, as far as numbers tell.",
      received.forged,
    ),
    total(
      "unsigned_messages",
      "Notifications without a valid seal, where there is a secret.",
      received.refused,
    ),
  ];
}

/** Nothing where the server has no connection state recovery. */
function recovering({ recovery }: PgAdapterStats): Family[] {
  if (recovery === undefined) return [];
  const { persisted, restored, expired, failed } = recovery;
  return [
    total("recovery_persisted_sessions", "Sessions of clients that were kept.", persisted),
    total(
      "recovery_restored_sessions",
      "Clients that came back and got what they had missed.",
      restored,
    ),
    total(
      "recovery_expired_sessions",
      "Clients that came back too late, or with what no session is known for.",
      expired,
    ),
    total(
      "recovery_failed_sessions",
      "Sessions that could not be kept or given back as something failed.",
      failed,
    ),
  ];
}

function latency({ latency: { buckets, count, sum } }: PgAdapterStats): Family {
  const inSeconds = (milliseconds: number) => milliseconds / 1_000;
  const bucket = (le: number, value: number): Sample => ({
    suffix: "_bucket",
    labels: { le: numberText(le) },
    value,
  });
  return {
    name: "latency_seconds",
    type: "histogram",
    help: "How long heartbeats of the process took to come back to it through PostgreSQL.",
    samples: [
      ...buckets.map(({ upTo, count }) => bucket(inSeconds(upTo), count)),
      bucket(Infinity, count),
      { suffix: "_sum", value: inSeconds(sum) },
      { suffix: "_count", value: count },
    ],
  };
}

function byConnection(
  { connections }: PgAdapterStats,
  value: (connection: ConnectionStats) => number,
): Sample[] {
  return Object.entries(connections).map(([connection, stats]) => ({
    labels: { connection },
    value: value(stats),
  }));
}

function total(name: string, help: string, value: number): Family {
  return counter(`${name}_total`, help, { value });
}

function counter(name: string, help: string, ...samples: Sample[]): Family {
  return { name, type: "counter", help, samples };
}

function gauge(name: string, help: string, ...samples: Sample[]): Family {
  return { name, type: "gauge", help, samples };
}

function familyText({ name, type, help, samples }: Family): string {
  const full = `${PREFIX}${name}`;
  const lines = [
    `# HELP ${full} ${escaped(help)}`,
    `# TYPE ${full} ${type}`,
    ...samples.map(({ suffix = "", labels = {}, value }) =>
      `${full}${suffix}${labelsText(labels)} ${numberText(value)}`
    ),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) =>
    `${name}="${escaped(value).replaceAll('"', '\\"')}"`
  );
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

/** As Go reads it. */
function numberText(value: number): string {
  if (Number.isFinite(value) || Number.isNaN(value)) return String(value);
  return value > 0 ? "+Inf" : "-Inf";
}
