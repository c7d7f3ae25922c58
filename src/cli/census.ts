/**
 * The processes of a cluster, out of what was heard of them and what PostgreSQL shows of their connections.
 */
import { keyOf } from "../bus/presence.ts";
import type { Session } from "../bus/session.ts";
import { UID_LENGTH } from "../wire/frame.ts";
import type { HeardProcess } from "./roll_call.ts";

/**
 * What others can see of a process:
 *
 * - `ready`: it listens, and was heard, so it publishes, too.
 * - `silent`: it listens, and was not heard: it is starting, blocked or stopped, or cannot publish.
 * - `deaf`: it was heard, and does not listen: its listening connection is being replaced.
 * - `left`: it said goodbye.
 */
export type NodePhase = "ready" | "silent" | "deaf" | "left";

/** A connection that listens for a process, as far as this role may see it. */
export interface ListeningConnection {
  readonly pid: number;
  /** Its "application_name". */
  readonly name: string;
  readonly user?: string;
  /** Where it comes from; "local" for a Unix socket. */
  readonly address?: string;
  /** When it was opened. */
  readonly since?: Date;
}

/** A process of a cluster. */
export interface ClusterNode {
  /** Its uid; only the first half, with an ellipsis, of one that was not heard and does not name its connection by it. */
  readonly uid: string;
  readonly phase: NodePhase;
  readonly since?: Date;
  /** How many milliseconds ago it was heard. */
  readonly heardMs?: number;
  readonly address?: string;
  readonly user?: string;
  /** The "application_name" that the connection string gives it, if it does. */
  readonly application?: string;
  /** The process of the server that its listening connection has. */
  readonly pid?: number;
  readonly namespaces?: readonly string[];
  /** Whether it listens to the channels of its rooms. */
  readonly roomChannels?: boolean;
  /** The mark of its parser, where it is not Socket.IO's default one. */
  readonly parser?: string;
  readonly seal?: HeardProcess["seal"];
  /** Why what it says cannot be read. */
  readonly error?: string;
}

/** What the connections of servers are called, unless the connection string says otherwise. */
const LISTENER = /^socketio-pg:listen:([0-9a-f]{16})$/;

/** What is known of the sessions with these pids. */
export async function connectionsOf(
  session: Session,
  pids: Iterable<number>,
): Promise<ListeningConnection[]> {
  const wanted = [...pids];
  if (wanted.length === 0) return [];
  const rows = await session.query(`select pid, application_name as name, usename as user,
      case when client_port = -1 then 'local' else host(client_addr) end as address,
      (extract(epoch from backend_start) * 1000)::float8 as since
    from pg_stat_activity where pid in (${wanted.join(",")})`);
  return rows.map(({ pid, name, user, address, since }) => ({
    pid: Number(pid),
    name: String(name ?? ""),
    ...(user === null ? {} : { user: String(user) }),
    ...(address === null ? {} : { address: String(address) }),
    ...(since === null ? {} : { since: new Date(Number(since)) }),
  }));
}

/**
 * Puts together what is known.
 *
 * @param listeners Which session listens for a process, by the key of the process.
 * @param now As `performance.now()` says it.
 */
export function census(
  listeners: ReadonlyMap<number, number>,
  connections: readonly ListeningConnection[],
  heard: Iterable<HeardProcess>,
  now: number,
): ClusterNode[] {
  const byPid = new Map(connections.map((each) => [each.pid, each]));
  const nodes: ClusterNode[] = [];
  const found = new Set<number>();
  for (const process of heard) {
    const key = keyOf(process.uid);
    found.add(key);
    const pid = listeners.get(key);
    nodes.push({ ...told(process, pid !== undefined, now), ...shown(pid, byPid) });
  }
  for (const [key, pid] of listeners) {
    if (found.has(key)) continue;
    const named = LISTENER.exec(byPid.get(pid)?.name ?? "")?.[1];
    const start = key.toString(16).padStart(UID_LENGTH / 2, "0");
    const uid = named?.startsWith(start) ? named : `${start}…`;
    nodes.push({ uid, phase: "silent", ...shown(pid, byPid) });
  }
  return nodes.sort((a, b) =>
    (a.since?.getTime() ?? Infinity) - (b.since?.getTime() ?? Infinity) ||
    (a.uid < b.uid ? -1 : 1)
  );
}

/** Whether everybody who listens was heard, and has said all that it says. */
export function isComplete(
  listeners: ReadonlyMap<number, number>,
  heard: Iterable<HeardProcess>,
): boolean {
  const done = new Set<number>();
  for (const { uid, state, fault, hasLeft } of heard) {
    if (state !== undefined || fault !== undefined || hasLeft) done.add(keyOf(uid));
  }
  return [...listeners.keys()].every((key) => done.has(key));
}

function told(
  { uid, at, seal, fault, state, hasLeft }: HeardProcess,
  isListening: boolean,
  now: number,
): ClusterNode {
  return {
    uid,
    phase: hasLeft ? "left" : isListening ? "ready" : "deaf",
    heardMs: Math.max(0, Math.round(now - at)),
    seal,
    ...(fault === undefined ? {} : { error: fault }),
    ...(state === undefined ? {} : {
      namespaces: state.namespaces,
      roomChannels: state.hasRoomChannels,
      ...(state.parser === "" ? {} : { parser: state.parser }),
    }),
  };
}

function shown(
  pid: number | undefined,
  byPid: ReadonlyMap<number, ListeningConnection>,
): Partial<ClusterNode> {
  if (pid === undefined) return {};
  const { name = "", user, address, since } = byPid.get(pid) ?? {};
  return {
    pid,
    ...(since === undefined ? {} : { since }),
    ...(address === undefined ? {} : { address }),
    ...(user === undefined ? {} : { user }),
    ...(name === "" || LISTENER.test(name) ? {} : { application: name }),
  };
}
