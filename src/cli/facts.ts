/**
 * What `doctor` judges by: what PostgreSQL says, and what was tried. Each fact stands alone: one that cannot be had is a
 * reason, and the others go on.
 */
import { Presence } from "../bus/presence.ts";
import type { Rows, Session } from "../bus/session.ts";
import type { Address, ConnectionSettings, Tls } from "../bus/settings.ts";
import { codeOf } from "../bus/sql_state.ts";
import { messageOf } from "../errors.ts";
import { createUid } from "../wire/frame.ts";
import { Listening } from "./listening.ts";
import { quantile } from "./quantile.ts";
import { type HeardProcess, RollCall } from "./roll_call.ts";

/** A fact, or why it cannot be had. */
export type Seen<T> =
  | { readonly value: T }
  | { readonly fault: string; /** SQLSTATE, or a code of ours. */ readonly code: string };

/** The server, and the way to it. */
export interface ServerFacts {
  /** As `server_version_num`. */
  readonly versionNumber: number;
  readonly version: string;
  readonly encoding: string;
  /** The version of TLS, as the server sees it: behind a pooler that of the pooler. */
  readonly tls?: string;
}

/** What this role may call. */
export interface RightsFacts {
  readonly role: string;
  /** What servers need and this role may not: functions and views, as GRANT takes them. */
  readonly missing: readonly string[];
}

/** Functions or tables in the schema `socketio`. */
export interface SchemaFacts {
  readonly role: string;
  readonly database: string;
  /** Version of the functions of SQL; none where they are not there. */
  readonly sql?: number;
  /** Version of what recovery needs; none where it is not there. */
  readonly recovery?: number;
  readonly isDurable: boolean;
  /** Whether this role may make what is missing, or replace what is old. */
  readonly mayInstall: boolean;
  /** Whether this role may call what recovery needs. */
  readonly mayUse: boolean;
}

/** A session that may hold up the queue of notifications. */
export interface Holder {
  readonly pid: number;
  readonly state: string;
  readonly ms: number;
  readonly application: string;
  readonly user: string;
  readonly database: string;
  /** Whether it waits for its client to read. */
  readonly isStuck: boolean;
}

/** Sessions that may hold up the queue. */
export interface HoldersFacts {
  /** The longest first. */
  readonly holders: readonly Holder[];
  /** Whether those of other roles are seen. */
  readonly seesAll: boolean;
}

/** How many more connections there may be. */
export interface RoomFacts {
  readonly left: number;
  readonly max: number;
  /** Whose limit that is. */
  readonly of: "server" | "database" | "role";
}

/** A limit that sessions of servers would have, in milliseconds. */
export interface LimitFacts {
  readonly name: string;
  readonly ms: number;
}

/** Servers of Socket.IO, by their locks and connections. */
export interface PeersFacts {
  readonly count: number;
  /** Other listening connections of servers, by database. */
  readonly elsewhere: readonly { readonly database: string; readonly count: number }[];
}

/** All that is known. */
export interface Facts {
  readonly prefix: string;
  readonly hasSecret: boolean;
  /** Whether recovery is wanted. */
  readonly wantsRecovery: boolean;
  readonly where: string;
  readonly isLocal: boolean;
  /** What hosts before it failed with. */
  readonly failures: readonly string[];
  readonly tls: Pick<Tls, "mode"> & { readonly isVerified: boolean };
  readonly isPooled: boolean;
  readonly server: Seen<ServerFacts>;
  /** Milliseconds from one connection to the other, the median. */
  readonly roundTripMs: Seen<number>;
  readonly rights: Seen<RightsFacts>;
  readonly schema: Seen<SchemaFacts>;
  /** From 0 to 1. */
  readonly queueUsage: Seen<number>;
  readonly holders: Seen<HoldersFacts>;
  /** Milliseconds by which the clock of the database is ahead, and how wrong that may be. */
  readonly clock: Seen<{ readonly aheadMs: number; readonly errorMs: number }>;
  readonly room: Seen<RoomFacts>;
  readonly limits: Seen<readonly LimitFacts[]>;
  readonly peers: Seen<PeersFacts>;
  /** The first server that was heard; none within the time for that. */
  readonly heard: HeardProcess | undefined;
  /** How long heartbeats were waited for. */
  readonly waitedMs: number;
}

/** What is looked for. */
export interface Looking {
  readonly prefix: string;
  readonly secret: string | undefined;
  readonly wantsRecovery: boolean;
  /** The longest wait for a heartbeat, where there are servers. */
  readonly waitMs: number;
}

/** How often a notification goes round, and the clock is asked. */
const SAMPLES = 5;

/**
 * Finds out.
 *
 * @throws PgAdapterError when there is no connection.
 */
export async function gatherFacts(
  settings: ConnectionSettings,
  { prefix, secret, wantsRecovery, waitMs }: Looking,
): Promise<Facts> {
  const call = new RollCall(prefix, secret);
  let heardOne: () => void = () => {};
  const listening = await Listening.open(
    // A session prepares nothing behind a pooler, and so shows whether there is one.
    { ...settings, prepare: true },
    "socketio-pg:doctor",
    (channel, payload) => {
      call.receive(channel, payload, performance.now());
      if (call.heard.size > 0) heardOne();
    },
  );
  try {
    const { session, address, where, failures } = listening.opened;
    const isPooled = !session.prepares;
    const roundTripMs = await see(async () => {
      await listening.listen(call.channels);
      return await medianRoundTrip(listening);
    });
    const look = <T>(ask: (session: Session) => Promise<T>) => see(() => ask(session));
    const peers = await look((each) => peersOf(each, prefix));
    const start = performance.now();
    if ("value" in peers && peers.value.count > 0 && "value" in roundTripMs) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, waitMs);
        heardOne = () => {
          clearTimeout(timer);
          resolve();
        };
        if (call.heard.size > 0) heardOne();
      });
    }
    const waitedMs = performance.now() - start;
    return {
      prefix,
      hasSecret: secret !== undefined,
      wantsRecovery,
      where,
      isLocal: isLocal(address),
      failures: failures.map(messageOf),
      tls: {
        mode: settings.tls.mode,
        isVerified: settings.tls.options.rejectUnauthorized !== false,
      },
      isPooled,
      roundTripMs,
      server: await look(serverOf),
      rights: await look(rightsOf),
      schema: await look(schemaOf),
      queueUsage: await look(queueUsageOf),
      holders: await look(holdersOf),
      clock: await look(clockOf),
      room: await look(roomOf),
      limits: await look(limitsOf),
      peers,
      heard: call.heard.values().next().value,
      waitedMs,
    };
  } finally {
    await listening.close();
  }
}

async function see<T>(ask: () => Promise<T>): Promise<Seen<T>> {
  try {
    return { value: await ask() };
  } catch (fault) {
    return { fault: messageOf(fault), code: codeOf(fault) };
  }
}

/** Whether nobody but this machine is in between. */
function isLocal(address: Address): boolean {
  return "path" in address || /^(localhost|127(\.\d+){3}|::1)$/.test(address.host);
}

async function medianRoundTrip(listening: Listening): Promise<number> {
  // The first one connects.
  await listening.roundTrip();
  const times: number[] = [];
  for (let i = 0; i < SAMPLES; i++) times.push(await listening.roundTrip());
  return quantile(times, 0.5);
}

async function one(session: Session, text: string): Promise<Rows[number]> {
  const [row] = await session.query(text);
  if (row === undefined) throw new Error("the server answered with nothing");
  return row;
}

async function serverOf(session: Session): Promise<ServerFacts> {
  const row = await one(
    session,
    `select current_setting('server_version_num')::int as number,
      current_setting('server_version') as version, current_setting('server_encoding') as encoding,
      (select version from pg_stat_ssl where pid = pg_backend_pid() and ssl) as tls`,
  );
  return {
    versionNumber: Number(row.number),
    version: String(row.version),
    encoding: String(row.encoding),
    ...(row.tls === null ? {} : { tls: String(row.tls) }),
  };
}

/** What the connections of servers call and read, as GRANT takes it. */
const NEEDED_FUNCTIONS = [
  "pg_catalog.pg_notify(text, text)",
  "pg_catalog.pg_try_advisory_lock_shared(integer, integer)",
  "pg_catalog.pg_notification_queue_usage()",
];
const NEEDED_VIEWS = ["pg_catalog.pg_locks"];

async function rightsOf(session: Session): Promise<RightsFacts> {
  const row = await one(
    session,
    `select current_user as role, array_to_string(array(
      select 'EXECUTE ON FUNCTION ' || name from unnest(array[${
      NEEDED_FUNCTIONS.map(literal)
    }]) as name
        where not has_function_privilege(name, 'execute')
      union all
      select 'SELECT ON ' || name from unnest(array[${NEEDED_VIEWS.map(literal)}]) as name
        where not has_table_privilege(name, 'select')), ';') as missing`,
  );
  return { role: String(row.role), missing: String(row.missing).split(";").filter(Boolean) };
}

/** What servers with connection state recovery call. */
const RECOVERY_FUNCTIONS = [
  "recovery_begin",
  "recovery_notify",
  "recovery_notify_all",
  "recovery_keep",
  "recovery_restore",
  "recovery_pieces",
];

/** From the catalog, which everybody may read: nothing that is there is called. */
async function schemaOf(session: Session): Promise<SchemaFacts> {
  const row = await one(
    session,
    `select current_user as role, current_database() as database,
      max(version) filter (where name = 'version') as sql,
      max(version) filter (where name = 'recovery_version') as recovery,
      coalesce(bool_and(may_call) filter (where name in (${
      RECOVERY_FUNCTIONS.map(literal)
    })), false)
        and coalesce(has_schema_privilege(to_regnamespace('socketio')::oid, 'usage'), false) as may_use,
      case when to_regnamespace('socketio') is null
        then has_database_privilege(current_database(), 'create')
        else has_schema_privilege(to_regnamespace('socketio')::oid, 'create')
          and coalesce(bool_and(is_mine), true) end as may_install,
      (select relpersistence = 'p' from pg_class
        where relname = 'recovery_state' and relnamespace = to_regnamespace('socketio')::oid) as durable
    from (
      select proname as name, has_function_privilege(oid, 'execute') as may_call,
        pg_has_role(proowner, 'usage') as is_mine,
        case when proname in ('version', 'recovery_version') and pronargs = 0
          then substring(prosrc from '[0-9]{1,9}')::int end as version
      from pg_proc where pronamespace = to_regnamespace('socketio')::oid
    ) as functions`,
  );
  return {
    role: String(row.role),
    database: String(row.database),
    ...(row.sql === null ? {} : { sql: Number(row.sql) }),
    ...(row.recovery === null ? {} : { recovery: Number(row.recovery) }),
    isDurable: row.durable === true,
    mayInstall: row.may_install === true,
    mayUse: row.may_use === true,
  };
}

async function queueUsageOf(session: Session): Promise<number> {
  const row = await one(session, "select pg_notification_queue_usage()::float8 as usage");
  return Number(row.usage);
}

/** How many sessions are looked at. */
const MAX_HOLDERS = 20;

/** A session that listens reads only between its transactions, and only as fast as its client does. */
async function holdersOf(session: Session): Promise<HoldersFacts> {
  const seen = await one(session, "select pg_has_role('pg_read_all_stats', 'usage') as all");
  const rows = await session.query(
    `select pid, state, application_name as application, usename as user, datname as database, is_stuck,
      (extract(epoch from clock_timestamp() - since) * 1000)::float8 as ms
    from (
      select *, wait_event = 'ClientWrite' and state = 'idle' as is_stuck, coalesce(xact_start, state_change) as since
      from pg_stat_activity
      where backend_type = 'client backend' and pid <> pg_backend_pid()
    ) as sessions
    where xact_start is not null or is_stuck
    order by since limit ${MAX_HOLDERS}`,
  );
  const holders = rows.map((row) => ({
    pid: Number(row.pid),
    state: String(row.state ?? ""),
    ms: Number(row.ms),
    application: String(row.application ?? ""),
    user: String(row.user ?? ""),
    database: String(row.database ?? ""),
    isStuck: row.is_stuck === true,
  }));
  return { holders, seesAll: seen.all === true };
}

/** The one whose answer came soonest is the most exact. */
async function clockOf(session: Session): Promise<{ aheadMs: number; errorMs: number }> {
  let best = { aheadMs: 0, errorMs: Infinity };
  for (let i = 0; i < SAMPLES; i++) {
    const before = Date.now();
    const start = performance.now();
    const row = await one(
      session,
      "select (extract(epoch from clock_timestamp()) * 1000)::float8 as now",
    );
    const errorMs = (performance.now() - start) / 2;
    if (errorMs < best.errorMs) {
      best = { aheadMs: Number(row.now) - (before + errorMs), errorMs };
    }
  }
  return best;
}

/** The least that is left, of what the server, the database and the role may have. */
async function roomOf(session: Session): Promise<RoomFacts> {
  const row = await one(
    session,
    `select rolsuper as super, rolconnlimit as role_max, datconnlimit as database_max,
      (select count(*)::int from pg_stat_activity where usesysid = pg_roles.oid) as role_used,
      (select numbackends from pg_stat_database where datid = pg_database.oid) as database_used,
      (select sum(numbackends)::int from pg_stat_database) as used,
      current_setting('max_connections')::int as max,
      current_setting('superuser_reserved_connections')::int
        + coalesce(current_setting('reserved_connections', true)::int, 0) as reserved
    from pg_roles, pg_database where rolname = current_user and datname = current_database()`,
  );
  const number = (name: string) => Number(row[name]);
  const isSuper = row.super === true;
  const max = number("max") - (isSuper ? 0 : number("reserved"));
  const limits: RoomFacts[] = [{ left: max - number("used"), max, of: "server" }];
  for (const owner of ["database", "role"] as const) {
    const limit = number(`${owner}_max`);
    if (limit < 0 || isSuper) continue;
    limits.push({ left: limit - number(`${owner}_used`), max: limit, of: owner });
  }
  return limits.reduce((least, each) => each.left < least.left ? each : least);
}

/** As they are in a session that was set up like those of servers. */
async function limitsOf(session: Session): Promise<LimitFacts[]> {
  const rows = await session.query(
    `select name, setting::float8 as ms from pg_settings
    where name in ('statement_timeout', 'idle_session_timeout', 'transaction_timeout') and setting <> '0'
    order by name`,
  );
  return rows.map(({ name, ms }) => ({ name: String(name), ms: Number(ms) }));
}

async function peersOf(session: Session, prefix: string): Promise<PeersFacts> {
  // Its own lock it never takes.
  const listeners = await new Presence(prefix, createUid()).sessions(session);
  const pids = [0, ...listeners.values()].join(",");
  const rows = await session.query(
    `select datname as database, count(*)::int as count from pg_stat_activity
    where application_name like 'socketio-pg:listen:%' and pid not in (${pids})
    group by datname order by datname`,
  );
  const elsewhere = rows.map(({ database, count }) => ({
    database: String(database),
    count: Number(count),
  }));
  return { count: listeners.size, elsewhere };
}

function literal(text: string): string {
  return `'${text}'`;
}
