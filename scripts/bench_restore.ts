/**
 * How long it takes to give back the session of a client that has missed 1,000 packets, with a million packets in the log;
 * and how PostgreSQL finds them.
 *
 *     deno task bench:restore
 *     deno task bench:restore --rows 5000000 --missed 10000 --times 100
 *
 * The packets are for 1,000 rooms and, each hundredth, for everybody; clients are in ten of the rooms.
 *
 * @module
 */

import { randomBytes } from "node:crypto";
import process from "node:process";
import { parseArgs } from "node:util";
import postgres from "postgres";
import { Server } from "socket.io";
import { pgAdapter } from "../mod.ts";
import { encodeOffset, offsetMark } from "../src/recovery/offset.ts";
import { roomChannel } from "../src/wire/channel.ts";
import { startPostgres } from "../tests/support/postgres.ts";
import { until } from "../tests/support/wait.ts";
import { count, median, quantile } from "./bench/figures.ts";
import { postmasterOf, processorTime } from "./bench/processor.ts";
import { text } from "./bench/text.ts";

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    rows: { type: "string", default: "1000000" },
    missed: { type: "string", default: "1000" },
    times: { type: "string", default: "300" },
    size: { type: "string", default: "100" },
    "postgres-bin": { type: "string" },
  },
});
const [rows, missed, times, size] = [values.rows, values.missed, values.times, values.size]
  .map(Number) as [number, number, number, number];
const ROOMS = Array.from({ length: 1_000 }, (_, i) => `room ${i}`);
const JOINED = ROOMS.slice(0, 10);

/** What a server of Socket.IO calls. */
interface Recovering {
  readonly prefix: string;
  readonly channel: string;
  persistSession(session: object): void;
  restoreSession(pid: string, offset: string): Promise<{ missedPackets: unknown[] } | null>;
}

const bin = values["postgres-bin"];
const database = await startPostgres(bin === undefined ? {} : { bin });
const sql = postgres(database.uri, { max: 1, onnotice: () => {} });
const adapter = pgAdapter(database.uri);
adapter.on("error", (error) => console.error(`${error}`));
const io = new Server(0, { adapter, connectionStateRecovery: { maxDisconnectionDuration: 6e5 } });
const own = io.of("/").adapter as unknown as Recovering;
const keys = [own.channel, ...JOINED.map((room) => roomChannel(own.prefix, "/", room))];
try {
  await adapter.ready();
  await fill();
  const after = await lastReceived();
  console.log(
    `PostgreSQL ${database.version}, ${rows} packets of ${size} B for ${ROOMS.length} rooms, ` +
      `${missed} of them missed by a client in ${JOINED.length}`,
  );
  await measure("without statistics", after);
  const before = await plan(after);
  await sql`analyze socketio.recovery_packets`;
  await measure("with statistics", after);
  const shown = await plan(after);
  console.log(shown);
  if (shapeOf(before) !== shapeOf(shown)) console.log(`Without statistics it was\n${before}`);
} finally {
  await io.close();
  await sql.end();
  await database.stop();
}
process.exit();

/** Sends to each room and to all, and copies what the log has of that, over its parts. */
async function fill(): Promise<void> {
  const data = text(size);
  for (const room of ROOMS) io.to(room).emit("tick", data);
  io.emit("tick", data);
  const total = ROOMS.length + 1;
  await until("the log has everything", async () => {
    const [row] = await sql<{ count: number }[]>`
      select count(*)::int as count from socketio.recovery_packets`;
    return row?.count === total;
  });
  await sql`create temporary table sample as
    select row_number() over (order by number) - 1 as i, * from socketio.recovery_packets`;
  await sql`truncate socketio.recovery_packets`;
  await sql`create index on sample (i)`;
  await sql`insert into socketio.recovery_packets
    select n * 3 / ${rows}::int, nextval('socketio.recovery_number'), key, channel, origin, frame
    from generate_series(0, ${rows}::int - 1) n join sample
      on i = case when n % 100 = 0 then ${ROOMS.length}::int else n * 7919::bigint % ${ROOMS.length}::int end
    order by n`;
}

/** The number of the last packet before those that are missed. */
async function lastReceived(): Promise<number> {
  const [row] = await sql<{ number: string }[]>`
    select number from socketio.recovery_packets where key = any (${keys})
    order by number desc offset ${missed}::int limit 1`;
  return Number(row?.number);
}

/** Keeps sessions, and gives each of them back. */
async function measure(name: string, after: number): Promise<void> {
  const pids = Array.from({ length: times }, () => randomBytes(15).toString("base64url"));
  const persisted = (adapter.stats().recovery?.persisted ?? 0) + times;
  for (const pid of pids) own.persistSession({ sid: pid, pid, rooms: [pid, ...JOINED], data: {} });
  await until("sessions are kept", () => adapter.stats().recovery?.persisted === persisted);
  const each: number[] = [];
  const postmaster = await postmasterOf(sql);
  const before = { own: process.cpuUsage(), database: processorTime(postmaster) };
  for (const pid of pids) {
    const start = performance.now();
    const restored = await own.restoreSession(pid, encodeOffset(after, offsetMark(own.channel)));
    each.push(performance.now() - start);
    const found = restored?.missedPackets.length;
    if (found !== missed) throw new Error(`Cannot go on as ${found} packets were found`);
  }
  const { user, system } = process.cpuUsage(before.own);
  const databaseUs = processorTime(postmaster) - before.database;
  const [ownMs, databaseMs] = [user + system, databaseUs].map((us) => us / 1_000 / times);
  console.log(
    `${name}: median ${count(median(each))} ms, 99 % below ${count(quantile(each, 0.99))} ms, ` +
      `at most ${count(Math.max(...each))} ms (${times} times); ` +
      `processor ms: server ${count(ownMs!)}, PostgreSQL ${count(databaseMs!)}`,
  );
}

/** The steps of a plan, without what they cost. */
function shapeOf(plan: string): string {
  return plan.split("\n").flatMap((line) => /^(.*?) +\(cost=/.exec(line)?.[1] ?? []).join("\n");
}

/** How the packets are found, as PostgreSQL says it. */
async function plan(after: number): Promise<string> {
  await sql`deallocate all`;
  await sql`set plan_cache_mode = force_generic_plan`;
  const statement =
    `prepare missed (text[], bigint, bigint) as select number, channel, frame from socketio.recovery_packets
     where key = any ($1) and number > $2 and number <= $3 order by number`;
  await sql.unsafe(statement);
  const list = keys.map((key) => `'${key}'`).join(",");
  const found = await sql.unsafe(
    `explain (analyze, buffers) execute missed (array[${list}], ${after}, 9007199254740991)`,
  );
  return found.map((row) => row["QUERY PLAN"]).join("\n");
}
