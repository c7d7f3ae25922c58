/**
 * `bench`: how fast notifications are on a database of the user's.
 */
import type { ConnectionSettings } from "../bus/settings.ts";
import { createUid } from "../wire/frame.ts";
import { UsageError } from "./arguments.ts";
import { benchAsJson, benchAsText, type Measured } from "./bench_view.ts";
import {
  type Command,
  CONNECTION_HELP,
  CONNECTION_OPTIONS,
  EXIT,
  millisecondsOf,
  SECRET_HELP,
  SECRET_OPTION,
  secretOf,
} from "./command.ts";
import { settingsOfArgument } from "./database.ts";
import { Listening } from "./listening.ts";
import { Pair } from "./pair.ts";
import { quantile } from "./quantile.ts";

const SECONDS = 10;

/** The sizes of packets, in bytes. */
const SIZES = [100, 1_000, 10_000];

/** From how much of the queue on nothing more is put into it. */
const MAX_QUEUE_USAGE = 0.1;

const HELP = `Measures how fast notifications are on a database, for about ${SECONDS} seconds.

  socketio-pg bench [URI] [options]

Examples:
  socketio-pg bench
  socketio-pg bench --seconds 30
  socketio-pg bench --json

First one notification at a time, from one connection to another: how long it takes. Then
two servers, both in this process and without Socket.IO and clients, send each other as
much as arrives, in packets of 100 B, 1 KB and 10 KB.

It sends as much as the database takes: do not run it where that hurts. Every session of
this database that listens to anything has to pass over it, and everybody else who notifies
waits for the same lock. Nothing is created, and nothing reaches the servers: it notifies
channels of a prefix of its own, on four connections. It does not begin while the
queue of notifications is more than a tenth full.

What it says depends on this machine as much as on the database.

Options:
  --seconds NUMBER    how long it measures, in all: ${SECONDS} by default
  --encrypt           as the option of servers; needs a secret
  --json              a line of JSON for each result
${SECRET_HELP}
${CONNECTION_HELP}
`;

/** Measures. */
export const bench: Command = {
  name: "bench",
  summary: "measure how fast notifications are on a database",
  help: HELP,
  options: {
    seconds: { type: "string" },
    encrypt: { type: "boolean" },
    json: { type: "boolean" },
    ...SECRET_OPTION,
    ...CONNECTION_OPTIONS,
  },
  async run(given, io) {
    const settings = settingsOfArgument(given, "bench");
    const secret = secretOf(given, io);
    const encrypt = given.has("encrypt");
    if (encrypt && secret === undefined) {
      throw new UsageError(
        "Cannot encrypt without a secret: set SOCKETIO_PG_SECRET, or name a file with --secret-file",
      );
    }
    const ms = millisecondsOf(given, "seconds", SECONDS);
    const view = given.has("json") ? benchAsJson : benchAsText;
    const show = (measured: Measured) => io.out.write(view(measured));
    io.err.write(
      `For ${
        ms / 1_000
      } s this sends as many notifications as the database takes: all who listen in it pass over them. Nothing is created. Ctrl-C ends it\n`,
    );
    const stopped = io.stopped();
    const share = ms / (SIZES.length + 1);
    await measureAlone(settings, share, stopped, show);
    // At most 29 bytes.
    const prefix = `bench:${createUid()}`;
    const sealing = secret === undefined ? {} : { secret, encrypt };
    const pair = new Pair(settings, { prefix, ...sealing });
    try {
      if (!stopped.aborted) await pair.open();
      for (const bytes of SIZES) {
        if (stopped.aborted) break;
        const exchanged = await pair.exchange(bytes, share, (rest) => pause(rest, stopped));
        // What was cut short is no measurement.
        if (!stopped.aborted) show({ type: "throughput", bytes, ...exchanged });
      }
    } finally {
      await pair.close();
    }
    if (!stopped.aborted) return;
    io.err.write("Stopped before everything was measured\n");
    return EXIT.failed;
  },
};

/** One notification after the other. */
async function measureAlone(
  settings: ConnectionSettings,
  ms: number,
  stopped: AbortSignal,
  show: (measured: Measured) => void,
): Promise<void> {
  const listening = await Listening.open(settings, "socketio-pg:bench");
  try {
    await listening.listen([]);
    const [row] = await listening.session.query(
      "select pg_notification_queue_usage()::float8 as usage",
    );
    const usage = Number(row?.usage);
    if (usage > MAX_QUEUE_USAGE) {
      throw new Error(
        `Cannot measure as the queue of notifications is ${
          Math.round(usage * 100)
        } % full already: "socketio-pg doctor" says more`,
      );
    }
    // The first one connects.
    await listening.roundTrip();
    const times: number[] = [];
    const end = performance.now() + ms;
    while (!stopped.aborted && performance.now() < end) times.push(await listening.roundTrip());
    if (stopped.aborted) return;
    show({
      type: "latency",
      count: times.length,
      p50: quantile(times, 0.5),
      p99: quantile(times, 0.99),
    });
  } finally {
    await listening.close();
  }
}

/** Waits, unless it is stopped. */
async function pause(ms: number, stopped: AbortSignal): Promise<void> {
  if (stopped.aborted) return;
  await new Promise<void>((resolve) => {
    const end = () => {
      clearTimeout(timer);
      stopped.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    stopped.addEventListener("abort", end);
  });
}
