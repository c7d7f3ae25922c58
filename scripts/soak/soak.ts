/**
 * A run of the soak: servers, faults, and what is looked at meanwhile.
 *
 * @module
 */

import { setTimeout as delay } from "node:timers/promises";
import postgres, { type Sql } from "postgres";
import { FaultProxy } from "../../tests/support/fault_proxy.ts";
import type { PostgresServer } from "../../tests/support/postgres.ts";
import { Random } from "../../tests/support/random.ts";
import { until } from "../../tests/support/wait.ts";
import type { Arguments } from "./arguments.ts";
import { type FaultKind, pickFault } from "./faults.ts";
import { Ledger } from "./ledger.ts";
import { Member, type Program } from "./member.ts";
import type { Report, Sample } from "./protocol.ts";
import { Recovery } from "./recovery.ts";

/** For how long after a fault others may still be without a connection: the time limit of an attempt, and a pause. */
const AFTERMATH_MS = 7_000;

/** What a process says that closes and has to take along what it had to say. */
const UNFLUSHED = "PUBLISH_FAILED: Cannot flush";

/** Between two faults. */
const FAULT_MS = [3_000, 15_000] as const;
const SAMPLE_MS = 10_000;
const CHECK_MS = 1_000;
/** When what an ended process said has come or does not come any more: a long fault, and the time for an answer. */
const SETTLED_MS = 45_000;
/** How long everything may take to arrive in the end. */
const LAST_WORDS_MS = 60_000;
/** How long a server may go unheard by another one, whatever happens meanwhile. */
const SILENCE_MS = 120_000;
/** What is told of the past when a promise is broken. */
const HISTORY_MS = 60_000;
/** Short time limits, to see more faults in less time. */
const QUICK = {
  heartbeatInterval: 500,
  heartbeatTimeout: 2_500,
  statementTimeout: 1_000,
  connectTimeout: 1_000,
};

/** Memory of one server, over time. */
export interface Memory {
  readonly name: string;
  /** Seconds since it was ready, and bytes. */
  readonly points: { readonly at: number; readonly rss: number; readonly heap: number }[];
}

/** A place for a server, which has its own way to the database. */
interface Slot {
  readonly number: number;
  readonly program: Program;
  readonly proxy: FaultProxy;
  member: Member | undefined;
  generation: number;
  /** What happens to it at the moment. */
  fault: string | undefined;
}

/** A run. */
export class Soak {
  readonly ledger: Ledger;
  readonly recovery: Recovery = new Recovery();
  readonly memories: Map<Member, Memory> = new Map();
  /** What broke a promise, in words. */
  readonly broken: string[] = [];
  /** The faults so far, in words. */
  readonly faults: string[] = [];
  /** How often sessions and sockets were counted while there was no fault. */
  counts = 0;
  repaired = 0;
  duplicates = 0;
  readonly #options: Arguments;
  readonly #database: PostgresServer;
  readonly #say: (line: string) => void;
  readonly #slots: Slot[] = [];
  /** Whoever runs, those that leave included. */
  readonly #members: Set<Member> = new Set();
  readonly #random: Random;
  readonly #start: number = Date.now();
  readonly #log: { at: number; words: string; uid?: string }[] = [];
  /** Those who said that they could not flush. */
  readonly #unflushed: Set<string> = new Set();
  readonly #prefix = "soak";
  readonly #latest: Map<Member, Sample> = new Map();
  #databaseFault: string | undefined;
  #lastFaultAt = 0;
  #isOver = false;
  #lastGap = "";
  readonly #running: Set<Promise<void>> = new Set();

  constructor(options: Arguments, database: PostgresServer, say: (line: string) => void) {
    this.#options = options;
    this.#database = database;
    this.#say = say;
    this.#random = new Random(options.seed);
    this.ledger = new Ledger(
      (words, uids) => this.#isBroken(words, uids),
      (...arrival) => this.recovery.arrived(...arrival),
    );
  }

  /** Runs it for its time, and stops what it started. */
  async run(programs: readonly Program[]): Promise<void> {
    try {
      for (const [number, program] of programs.entries()) {
        const proxy = await FaultProxy.start(this.#database.uri);
        this.#slots.push({
          number,
          program,
          proxy,
          member: undefined,
          generation: 0,
          fault: undefined,
        });
      }
      await Promise.all(this.#slots.map((slot) => this.#replace(slot)));
      const end = this.#start + this.#options.minutes * 60_000;
      await Promise.all([this.#hurt(end), this.#watch(end), this.#sample(end)]);
      await Promise.all(this.#running);
      await this.#finish();
    } finally {
      await this.stop();
    }
  }

  /** Ends everything that it started. */
  async stop(): Promise<void> {
    this.#isOver = true;
    for (const member of this.#members) {
      member.kill("SIGCONT");
      member.kill("SIGKILL");
    }
    await Promise.all([...this.#members].map((member) => member.gone(10_000)));
    await Promise.all(this.#slots.map(({ proxy }) => proxy.close()));
  }

  /** Starts a server in a place. */
  async #replace(slot: Slot): Promise<void> {
    const { program, proxy, number } = slot;
    const name = `server ${number} ${program.name} ${++slot.generation}`;
    const member = new Member(name, program, {
      uri: proxy.uri,
      adapter: {
        prefix: this.#prefix,
        subscriptionMode: "dynamic",
        // Some cannot listen to all of their rooms, which moves everybody's messages to other channels.
        ...this.#random.chance(0.25) && { maxRoomChannels: 4 },
        ...this.#options.isQuick && QUICK,
      },
      rate: this.#options.rate,
      seed: this.#random.below(2 ** 32),
    }, {
      report: (from, report) => this.#report(from, report),
      ended: (which) => this.#ended(which),
    });
    slot.member = member;
    this.#members.add(member);
    await member.ready;
  }

  #report(member: Member, report: Report): void {
    this.ledger.report(member.uid, member.name, report);
    if (report.fault !== undefined) {
      this.#isBroken(`unheard in ${member.name}: ${report.fault}`, [member.uid]);
    }
    for (const [event, detail, at] of report.told ?? []) {
      const what = typeof detail === "object" ? JSON.stringify(detail) : detail ?? "";
      this.#log.push({ at, uid: member.uid, words: `${member.name}: ${event} ${what}` });
      if (event === "gap") this.#gap(`${member.name}: gap ${what}`);
      if (event === "error" && String(what).startsWith(UNFLUSHED)) this.#unflushed.add(member.uid);
      if (event === "client" && !member.isLeaving) {
        this.#isBroken(`the client of ${member.name} was disconnected: ${detail}`, [member.uid]);
      }
    }
  }

  /** Each is worth a line, a hundred of them are not. */
  #gap(words: string): void {
    if (this.#lastGap !== words) this.#say(`${this.#time(Date.now())} ${words}`);
    this.#lastGap = words;
  }

  #ended(member: Member): void {
    this.#members.delete(member);
    this.#latest.delete(member);
    if (member.isLeaving || this.#isOver) return;
    const { code, signal } = member.ended ?? {};
    this.#isBroken(`${member.name} ended by itself: ${signal ?? code} ${member.lastWords}`, [
      member.uid,
    ]);
  }

  /** Faults, until the end. */
  async #hurt(end: number): Promise<void> {
    const [least, most] = FAULT_MS;
    for (;;) {
      const pause = least + this.#random.next() * (most - least);
      if (Date.now() + pause > end) return await this.#pass(end);
      await this.#pass(Date.now() + pause);
      if (this.#isOver) return;
      const slot = this.#random.pick(this.#slots);
      const kind = pickFault(this.#random, (each) => this.#isPossible(each, slot));
      const { member } = slot;
      if (kind === undefined || member === undefined) continue;
      const { detail, run } = kind.plan(this.#random);
      const running = this.#suffer(kind, detail, slot, member, run)
        .catch((fault: unknown) => {
          if (!this.#isOver) this.#isBroken(`"${kind.name}" failed: ${fault}`, [member.uid]);
        })
        .finally(() => this.#running.delete(running));
      this.#running.add(running);
    }
  }

  #isPossible({ name, of }: FaultKind, slot: Slot): boolean {
    const { only } = this.#options;
    if (only.length > 0 && !only.some((text) => name.includes(text))) return false;
    if (of === "database") return this.#databaseFault === undefined;
    if (slot.fault !== undefined || slot.member?.uid === "") return false;
    // The first one stays for the whole run, so that it shows whether anything grows.
    return of === "server" || slot.number > 0;
  }

  async #suffer(
    { name, of }: FaultKind,
    detail: string,
    slot: Slot,
    member: Member,
    run: ReturnType<FaultKind["plan"]>["run"],
  ): Promise<void> {
    const isOfAll = of === "database";
    const victims = isOfAll ? this.#slots : [slot];
    this.recovery.began(name, victims.map(({ member }) => member?.uid ?? ""));
    if (isOfAll) this.#databaseFault = name;
    else slot.fault = name;
    const where = isOfAll ? "all" : member.name;
    const words = `${where}: ${name}${detail && `, ${detail}`}`;
    this.#note(words);
    const count = this.faults.push(`${this.#time(Date.now())} ${words}`);
    const hadTrouble = this.#databaseFault !== undefined || !this.recovery.isComplete ||
      Date.now() - this.#lastFaultAt < AFTERMATH_MS;
    try {
      await run({
        proxy: slot.proxy,
        member,
        database: this.#database,
        prefix: this.#prefix,
        withSql: (statements) => this.#withSql(statements),
        replace: () => this.#replace(slot),
      });
    } finally {
      if (isOfAll) this.#databaseFault = undefined;
      else slot.fault = undefined;
      this.#lastFaultAt = Date.now();
      this.#note(`${where}: ${name} is over`);
    }
    if (of === "replaceable") {
      // Who leaves while the others are away cannot be asked any more once they are back.
      const isGraceful = name.includes("closed") && !hadTrouble &&
        this.faults.length === count && !this.#unflushed.delete(member.uid);
      this.ledger.ended(member.uid, isGraceful);
    }
    this.recovery.ended(name, this.#pairs(victims));
  }

  /** Who should hear of whom, where one of both had a fault and none has any more. */
  #pairs(victims: readonly Slot[]): [receiver: string, sender: string][] {
    if (this.#databaseFault !== undefined) return [];
    const well = this.#slots.filter(({ fault, member }) =>
      fault === undefined && member !== undefined && member.uid !== "" && !member.isLeaving
    );
    const pairs: [string, string][] = [];
    for (const receiver of well) {
      for (const sender of well) {
        if (receiver === sender || !(victims.includes(receiver) || victims.includes(sender))) {
          continue;
        }
        pairs.push([receiver.member!.uid, sender.member!.uid]);
      }
    }
    return pairs;
  }

  /** Looks at the promises, until the end. */
  async #watch(end: number): Promise<void> {
    while (Date.now() < end && !this.#isOver) {
      await this.#pass(Date.now() + CHECK_MS);
      this.ledger.check(Date.now() - SETTLED_MS);
      for (const { kind, pairs } of this.recovery.stuck()) {
        for (const [receiver, sender] of pairs) {
          this.#isBroken(
            `stuck: a minute after "${kind}" ${receiver} has heard nothing of ${sender}`,
            [receiver, sender],
          );
        }
      }
      for (const [receiver, sender] of this.#pairs(this.#slots)) {
        const at = this.ledger.lastAt(receiver, sender);
        if (at !== undefined && at < Date.now() - SILENCE_MS) {
          this.#isBroken(`stuck: ${receiver} has not heard ${sender} for two minutes`, [
            receiver,
            sender,
          ]);
        }
      }
    }
  }

  /** Counts what servers hold, until the end. */
  async #sample(end: number): Promise<void> {
    while (Date.now() < end && !this.#isOver) {
      await this.#pass(Math.min(end, Date.now() + SAMPLE_MS));
      if (this.#isOver) return;
      const isCalm = this.#isCalm(3_000);
      const since = Date.now();
      await Promise.all(this.#slots.map(async ({ fault, member }) => {
        if (member === undefined || member.uid === "" || fault !== undefined) return;
        const sample = await member.sample();
        if (sample !== undefined) this.#take(member, sample);
        if (sample === undefined || !isCalm || !this.#isCalm(3_000, since)) return;
        const { sockets, phase } = sample;
        if (phase !== "ready") this.#isBroken(`${member.name} is ${phase}`, [member.uid]);
        if (sockets !== this.#slots.length) {
          this.#isBroken(`fetchSockets() of ${member.name} finds ${sockets}`, [member.uid]);
        }
      }));
      if (isCalm) await this.#countSessions();
    }
  }

  #take(member: Member, sample: Sample): void {
    const before = this.#latest.get(member);
    this.repaired += sample.repaired - (before?.repaired ?? 0);
    this.duplicates += sample.duplicates - (before?.duplicates ?? 0);
    this.#latest.set(member, sample);
    const memory = this.memories.get(member) ?? { name: member.name, points: [] };
    this.memories.set(member, memory);
    memory.points.push({
      at: (Date.now() - this.#start) / 1_000,
      rss: sample.rss,
      heap: sample.heap,
    });
    const resources = Object.values(sample.resources ?? {}).reduce((sum, n) => sum + n, 0);
    // A server has two connections to the database, its clients', and timers for what it waits for.
    if (resources > 200) {
      this.#isBroken(`${member.name} has ${JSON.stringify(sample.resources)}`, [member.uid]);
    }
  }

  /** Whether there has been no fault for a while, and everybody hears everybody. */
  #isCalm(ms: number, since: number = Date.now()): boolean {
    return this.#databaseFault === undefined && this.recovery.isComplete &&
      this.#slots.every(({ fault, member }) => fault === undefined && member?.uid !== "") &&
      this.#lastFaultAt < since - ms;
  }

  async #countSessions(): Promise<void> {
    const wanted = this.#slots.flatMap(({ member }) =>
      ["listen", "publish"].map((kind) => `socketio-pg:${kind}:${member?.uid}`)
    ).sort();
    const since = Date.now();
    let found: string[] = [];
    // The server needs a moment to let go of those whose connections were cut.
    for (let attempt = 0; attempt < 10; attempt++) {
      found = await this.#sessions();
      if (!this.#isCalm(3_000, since)) return;
      if (found.join() === wanted.join()) return void this.counts++;
      await delay(300);
    }
    this.#isBroken(`PostgreSQL has the sessions ${found} and should have ${wanted}`, []);
  }

  async #sessions(): Promise<string[]> {
    const rows = await this.#withSql((sql) =>
      sql<{ name: string }[]>`select application_name as name from pg_stat_activity
        where application_name like 'socketio-pg:%'`
    );
    return rows.map(({ name }) => name).sort();
  }

  /** All are told to stop talking; then everything must arrive, everybody leave, and nothing stay. */
  async #finish(): Promise<void> {
    if (this.#isOver) return;
    const isHeard = () =>
      this.#pairs(this.#slots).every(([receiver, sender]) =>
        this.ledger.isComplete(receiver, sender)
      );
    await this.#until("everything arrives in the end", () => this.recovery.isComplete);
    for (const { member } of this.#slots) member?.tell({ order: "pause" });
    // The last words are told with the next reports.
    await delay(1_000);
    await this.#until("everything arrives in the end", isHeard);
    await this.#countSessions();
    // What ended processes said is told as missed, where it is, by now or soon.
    if (this.#log.some(({ words, at }) => / is over$/.test(words) && at > Date.now() - 20_000)) {
      await delay(20_000);
    }
    this.ledger.check(Date.now() + 1);
    const members = this.#slots.flatMap(({ member }) => member ?? []);
    for (const member of members) {
      const sample = await member.sample();
      if (sample !== undefined) this.#take(member, sample);
    }
    for (const member of members) member.leave();
    for (const member of members) {
      await this.#until(`${member.name} ends by itself`, () => member.ended !== undefined, 10_000);
      const { code, signal } = member.ended ?? {};
      if (member.ended !== undefined && code !== 0) {
        this.#isBroken(`${member.name} ended with ${signal ?? code} ${member.lastWords}`, []);
      }
    }
    await this.#until(
      "PostgreSQL has no sessions left",
      async () => (await this.#sessions()).length === 0,
      5_000,
    );
  }

  async #until(
    what: string,
    condition: () => boolean | Promise<boolean>,
    ms: number = LAST_WORDS_MS,
  ): Promise<void> {
    await until(what, () => this.#isOver || condition(), ms).catch((fault: Error) => {
      this.#isBroken(fault.message, this.#slots.map(({ member }) => member?.uid ?? ""));
    });
  }

  async #withSql<T>(run: (sql: Sql) => Promise<T>): Promise<T> {
    for (let attempt = 1;; attempt++) {
      const sql = postgres(this.#database.uri, {
        max: 1,
        fetch_types: false,
        connect_timeout: 5,
        onnotice: () => {},
      });
      try {
        return await run(sql);
      } catch (error) {
        // The database may be away at the moment; faults of both kinds can meet.
        if (attempt >= 100 || this.#isOver) throw error;
        await delay(200);
      } finally {
        await sql.end({ timeout: 1 });
      }
    }
  }

  /** Waits until a time, or until it is over. */
  async #pass(until: number): Promise<void> {
    while (!this.#isOver && Date.now() < until) {
      await delay(Math.min(200, Math.max(1, until - Date.now())));
    }
  }

  #note(words: string): void {
    this.#log.push({ at: Date.now(), words });
    while (this.#log.length > 2_000) this.#log.shift();
    this.#say(`${this.#time(Date.now())} ${words}`);
  }

  #isBroken(words: string, uids: readonly string[]): void {
    const line = `${this.#time(Date.now())} BROKEN ${words}`;
    this.broken.push(line);
    // What follows is likely the same.
    if (this.broken.length > 10) return;
    this.#say(line);
    const since = Date.now() - HISTORY_MS;
    const recent = this.#log
      .filter(({ at, uid }) => at > since && (uid === undefined || uids.includes(uid)))
      .sort((a, b) => a.at - b.at);
    let [last, times] = ["", 0];
    const flush = () => {
      if (times > 1) this.#say(`             ${times} times`);
    };
    for (const { at, words } of recent) {
      if (words === last) {
        times++;
        continue;
      }
      flush();
      [last, times] = [words, 1];
      this.#say(`    ${this.#time(at)} ${words}`);
    }
    flush();
  }

  #time(at: number): string {
    return `${((at - this.#start) / 1_000).toFixed(1).padStart(7)}s`;
  }
}
