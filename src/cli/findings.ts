/**
 * What `doctor` says: facts in, findings out.
 */
import { RECOVERY_VERSION } from "../recovery/schema.ts";
import { SQL_VERSION } from "../sql.ts";
import { SEAL_WINDOW_MS } from "../wire/seal.ts";
import type { Facts, Holder, Seen } from "./facts.ts";

/**
 * How well something is: `broken` keeps servers from working, `warning` may, some day, and `unknown` could not be
 * looked at.
 */
export type Level = "ok" | "warning" | "broken" | "unknown";

/** What was found out about one thing. */
export interface Finding {
  readonly check: string;
  readonly level: Level;
  readonly text: string;
  /** What to do. */
  readonly remedy?: string;
}

/** The oldest version that this package is made for. */
const OLDEST_VERSION = 13;

/** Milliseconds for a notification from which on it is told: servers give one up after 3,000. */
const SLOW_MS = 1_000;

/** From how much on the queue of notifications is told, as by servers. */
const QUEUE_FILLS = 0.1;

/** From how much on PostgreSQL itself warns. */
const QUEUE_FULL = 0.5;

/** How long a transaction may take. */
const LONG_MS = 60_000;

/** The same while the queue fills. */
const SUSPECT_MS = 1_000;

/** How many sessions are named. */
const MAX_NAMED = 5;

/** How many milliseconds clocks may differ. */
const CLOCK_MS = 5_000;

/** How long a statement of a server may take, by default. */
const STATEMENT_MS = 3_000;

/** How many connections a server needs. */
const SERVER_CONNECTIONS = 2;

/** How many connections should be left, for the next deployment. */
const FEW_CONNECTIONS = 10;

/** What an error while connecting is about; all others are about the way there. */
const CHECKS: Readonly<Record<string, string>> = { STANDBY: "primary", NOT_UTF8: "encoding" };

/** Judges everything, in the order in which it matters. */
export function findingsOf(facts: Facts): Finding[] {
  return [
    database(facts),
    tls(facts),
    ...server(facts),
    pooler(facts),
    listening(facts),
    rights(facts),
    queue(facts),
    transactions(facts),
    clock(facts),
    connections(facts),
    timeouts(facts),
    functions(facts),
    recovery(facts),
    ...servers(facts),
  ];
}

/** What keeps it from looking at anything else. */
export function unreachable(error: { readonly code: string; readonly message: string }): Finding {
  const check = CHECKS[error.code] ?? "database";
  // These sentences end in what to do.
  return { check, level: "broken", text: error.message };
}

/** Whether something keeps servers from working. */
export function isBroken(findings: readonly Finding[]): boolean {
  return findings.some(({ level }) => level === "broken");
}

function database({ where, failures }: Facts): Finding {
  const text = `reached ${where}`;
  if (failures.length === 0) return { check: "database", level: "ok", text };
  return {
    check: "database",
    level: "warning",
    text: `${text}, after ${failures.join("; ")}`,
    remedy: "put the primary first: servers ask the others at each start",
  };
}

function tls({ tls, server, isLocal, isPooled }: Facts): Finding {
  const check = "tls";
  const version = "value" in server && !isPooled ? server.value.tls : undefined;
  // What is required and there is no connection without.
  if (version !== undefined || tls.mode === "require") {
    const name = version ?? "TLS";
    const text = `${name}, its certificate is ${tls.isVerified ? "" : "not "}verified`;
    if (tls.isVerified || isLocal) return { check, level: "ok", text };
    return {
      check,
      level: "warning",
      text,
      remedy: "sslmode=verify-full, with sslrootcert where the authority is not a known one",
    };
  }
  if (isLocal) return { check, level: "ok", text: "none, on this machine" };
  if (isPooled && tls.mode === "prefer") {
    return { check, level: "unknown", text: "behind a pooler it cannot be told" };
  }
  return {
    check,
    level: "warning",
    // What ends TLS before the server may be in between.
    text: tls.mode === "prefer"
      ? "not required, and the server sees none"
      : "none: whoever is in between reads and changes everything",
    remedy: "sslmode=verify-full in the connection string",
  };
}

function server({ server }: Facts): Finding[] {
  if ("fault" in server) return [unseen("version", server)];
  const { versionNumber, version, encoding } = server.value;
  const isOld = versionNumber < OLDEST_VERSION * 10_000;
  return [
    { check: "primary", level: "ok", text: "it is one" },
    { check: "encoding", level: "ok", text: encoding },
    {
      check: "version",
      level: isOld ? "warning" : "ok",
      text: `PostgreSQL ${version}`,
      ...(isOld ? { remedy: `upgrade: this package is made for ${OLDEST_VERSION} and later` } : {}),
    },
  ];
}

function pooler({ isPooled, roundTripMs }: Facts): Finding {
  const check = "pooler";
  if (!isPooled) return { check, level: "ok", text: "none in between" };
  if (isDeaf(roundTripMs)) {
    return {
      check,
      level: "broken",
      text: "one in between that does not keep sessions: it accepts LISTEN and delivers nothing",
      remedy:
        'give a direct address, or pool_mode = session; "listen" can differ from "publish", which may go through it',
    };
  }
  if ("fault" in roundTripMs) return unseen(check, roundTripMs);
  return {
    check,
    level: "warning",
    text: "one in between, which keeps sessions",
    remedy:
      "a direct address is better: the limits that make the server give up a listener that does not read cannot be set through it",
  };
}

function isDeaf(roundTripMs: Seen<number>): boolean {
  return "code" in roundTripMs && roundTripMs.code === "NO_LOOPBACK";
}

function listening({ roundTripMs }: Facts): Finding {
  const check = "listen";
  if ("fault" in roundTripMs) {
    return { check, level: "broken", text: roundTripMs.fault };
  }
  const ms = roundTripMs.value;
  const text = `hears what is notified after ${milliseconds(ms)}`;
  if (ms < SLOW_MS) return { check, level: "ok", text };
  return {
    check,
    level: "warning",
    text,
    remedy:
      `servers replace a connection after ${STATEMENT_MS} ms: look at the load, and the network`,
  };
}

function rights({ rights }: Facts): Finding {
  const check = "rights";
  if ("fault" in rights) return unseen(check, rights);
  const { role, missing } = rights.value;
  if (missing.length === 0) {
    return { check, level: "ok", text: `role "${role}" may notify, and see who listens` };
  }
  return {
    check,
    level: "broken",
    text: `role "${role}" lacks ${missing.join(", ")}`,
    remedy: missing.map((right) => `GRANT ${right} TO ${quoted(role)}`).join("; "),
  };
}

function queue({ queueUsage }: Facts): Finding {
  const check = "queue";
  if ("fault" in queueUsage) return unseen(check, queueUsage);
  const usage = queueUsage.value;
  const percent = usage > 0 && usage < 0.01 ? "less than 1" : `${Math.round(usage * 100)}`;
  const text = `the queue of notifications is ${percent} % full`;
  if (usage < QUEUE_FILLS) return { check, level: "ok", text };
  return {
    check,
    level: usage < QUEUE_FULL ? "warning" : "broken",
    text: `${text}; at 100 % nobody can notify`,
    remedy: "end the session that listens and does not read: see transactions",
  };
}

function transactions({ holders, queueUsage }: Facts): Finding {
  const check = "transactions";
  if ("fault" in holders) return unseen(check, holders);
  const isFilling = "value" in queueUsage && queueUsage.value >= QUEUE_FILLS;
  const limit = isFilling ? SUSPECT_MS : LONG_MS;
  const long = holders.value.holders.filter(({ ms, isStuck }) =>
    ms >= limit && (!isStuck || isFilling)
  );
  if (long.length > 0) {
    const more = long.length - MAX_NAMED;
    const names = long.slice(0, MAX_NAMED).map(holder).join("; ");
    return {
      check,
      level: "warning",
      text: `${names}${more > 0 ? `; and ${more} more` : ""}: ${
        isFilling
          ? "one that listens holds the queue up"
          : "one that listens would hold the queue up"
      }`,
      remedy: `select pg_terminate_backend(${
        long[0]!.pid
      }); idle_in_transaction_session_timeout ends idle ones by itself`,
    };
  }
  if (!holders.value.seesAll) {
    return {
      check,
      level: "unknown",
      text: "none long of this role; those of others are not seen",
      remedy: "GRANT pg_read_all_stats to the role, to see them",
    };
  }
  return { check, level: "ok", text: `none longer than ${duration(limit)}` };
}

function holder({ pid, state, ms, application, user, database, isStuck }: Holder): string {
  const name = application === "" ? "" : `, "${application}"`;
  return `pid ${pid} (${isStuck ? "its client does not read" : state} for ${
    duration(ms)
  }${name}, user "${user}", database "${database}")`;
}

function clock({ clock, hasSecret }: Facts): Finding {
  const check = "clock";
  if ("fault" in clock) return unseen(check, clock);
  const { aheadMs, errorMs } = clock.value;
  const off = Math.max(0, Math.abs(aheadMs) - errorMs);
  const which = aheadMs > 0 ? "ahead of" : "behind";
  const text = off < 1
    ? "that of the database is the same"
    : `that of the database is ${duration(off)} ${which} this machine's`;
  if (off < CLOCK_MS) return { check, level: "ok", text };
  return {
    check,
    level: hasSecret && off >= SEAL_WINDOW_MS ? "broken" : "warning",
    text,
    remedy: `set both by NTP: with a secret, what SQL sends is refused from ${
      SEAL_WINDOW_MS / 1_000
    } s on`,
  };
}

function connections({ room }: Facts): Finding {
  const check = "connections";
  if ("fault" in room) return unseen(check, room);
  const { left, max, of } = room.value;
  const text = `${Math.max(0, left)} of ${max} that the ${of} may have are left`;
  if (left >= Math.max(FEW_CONNECTIONS, max / 10)) return { check, level: "ok", text };
  const remedy = {
    server: "raise max_connections, or put pools of the application behind a pooler",
    database: "ALTER DATABASE … CONNECTION LIMIT",
    role: "ALTER ROLE … CONNECTION LIMIT",
  }[of];
  return {
    check,
    level: left < SERVER_CONNECTIONS ? "broken" : "warning",
    text: `${text}; a server needs ${SERVER_CONNECTIONS}`,
    remedy,
  };
}

function timeouts({ limits, isPooled }: Facts): Finding {
  const check = "timeouts";
  if ("fault" in limits) return unseen(check, limits);
  const harmful = limits.value.filter(({ name, ms }) =>
    name === "idle_session_timeout" || ms < STATEMENT_MS
  );
  if (harmful.length === 0) return { check, level: "ok", text: "none that cuts servers off" };
  return {
    check,
    level: "warning",
    text: `${
      harmful.map(({ name, ms }) => `${name} is ${duration(ms)}`).join(", ")
    }: it ends connections, or statements, of servers`,
    remedy: isPooled
      ? "servers switch it off on a direct address, not through a pooler: ALTER ROLE … SET it to 0"
      : "take it out of the connection string: servers leave what that sets as it is",
  };
}

function functions({ schema }: Facts): Finding {
  const check = "functions";
  if ("fault" in schema) return unseen(check, schema);
  const { sql, mayInstall } = schema.value;
  if (sql === undefined) {
    return { check, level: "ok", text: "none, which are only for those who emit from SQL" };
  }
  if (sql >= SQL_VERSION) return { check, level: "ok", text: versionText(sql, SQL_VERSION) };
  return {
    check,
    level: "warning",
    text: versionText(sql, SQL_VERSION),
    remedy: `socketio-pg install-sql${mayInstall ? "" : ", as their owner"}`,
  };
}

function recovery({ schema, wantsRecovery }: Facts): Finding {
  const check = "recovery";
  if ("fault" in schema) return unseen(check, schema);
  const { recovery, isDurable, mayInstall, mayUse, role, database } = schema.value;
  const install = "as a role that may: socketio-pg install-sql --recovery";
  if (recovery === undefined || recovery < RECOVERY_VERSION) {
    const text = recovery === undefined
      ? "no tables, which are only for connectionStateRecovery"
      : versionText(recovery, RECOVERY_VERSION);
    if (mayInstall) {
      return { check, level: "ok", text: `${text}; servers make them when they start` };
    }
    // Nobody may need them.
    const level = wantsRecovery ? "broken" : recovery === undefined ? "ok" : "warning";
    return {
      check,
      level,
      text: `${text}; role "${role}" may not make them in database "${database}"`,
      ...(level === "ok" ? {} : { remedy: install }),
    };
  }
  const text = `${versionText(recovery, RECOVERY_VERSION)}, ${isDurable ? "" : "not "}durable`;
  if (mayUse) return { check, level: "ok", text };
  return {
    check,
    level: wantsRecovery ? "broken" : "warning",
    text: `${text}; role "${role}" may not use it`,
    remedy: `GRANT USAGE ON SCHEMA socketio, and EXECUTE ON ALL FUNCTIONS IN SCHEMA socketio, TO ${
      quoted(role)
    }`,
  };
}

function versionText(version: number, own: number): string {
  if (version === own) return `version ${version}`;
  return `version ${version}, ${version < own ? "older" : "later"} than this package's ${own}`;
}

function servers({ peers, prefix, heard, waitedMs, roundTripMs, hasSecret }: Facts): Finding[] {
  const check = "servers";
  if ("fault" in peers) return [unseen(check, peers)];
  const { count, elsewhere } = peers.value;
  if (count === 0) {
    const others = elsewhere.map(({ database, count }) => `${count} in database "${database}"`);
    return [{
      check,
      level: "warning",
      text: `none with prefix "${prefix}" in this database${
        others.length === 0 ? "" : `; others: ${others.join(", ")}`
      }`,
      remedy: "start one, or give the database and the --prefix of those that run",
    }];
  }
  const here: Finding = {
    check,
    level: "ok",
    text: `${count} with prefix "${prefix}"; socketio-pg nodes shows them`,
  };
  const beat = "heartbeat";
  if ("fault" in roundTripMs) {
    return [here, { check: beat, level: "unknown", text: "it cannot listen" }];
  }
  if (heard === undefined) {
    return [here, {
      check: beat,
      level: "warning",
      text: `none was heard for ${duration(waitedMs)}`,
      remedy: "servers whose heartbeatInterval is not longer are blocked, or cannot publish",
    }];
  }
  const { uid, seal, fault } = heard;
  if (fault !== undefined) {
    return [here, {
      check: beat,
      // Without a secret it is this command that is to be given one.
      level: hasSecret ? "broken" : "warning",
      text: `server ${uid} was heard, and cannot be read: ${fault}`,
      remedy: hasSecret
        ? `give the secret of the servers, or none where they have none; clocks may differ by ${
          SEAL_WINDOW_MS / 1_000
        } s`
        : "give the secret of the servers: SOCKETIO_PG_SECRET, or --secret-file",
    }];
  }
  const how = seal === "none" ? "" : `, ${seal}`;
  return [here, { check: beat, level: "ok", text: `server ${uid} was heard${how}` }];
}

function unseen(check: string, { fault }: { readonly fault: string }): Finding {
  return { check, level: "unknown", text: fault };
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** For people. */
function duration(ms: number): string {
  if (ms < 1_000) return milliseconds(ms);
  const seconds = ms / 1_000;
  if (seconds < 120) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = seconds / 60;
  return minutes < 120 ? `${Math.round(minutes)} min` : `${Math.round(minutes / 60)} h`;
}

function milliseconds(ms: number): string {
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}
