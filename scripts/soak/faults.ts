/**
 * What may happen to a server, to its connections and to the database.
 *
 * @module
 */

import { setTimeout as delay } from "node:timers/promises";
import type { Sql } from "postgres";
import type { FaultProxy, Kind } from "../../tests/support/fault_proxy.ts";
import type { PostgresServer } from "../../tests/support/postgres.ts";
import type { Random } from "../../tests/support/random.ts";
import type { Member } from "./member.ts";

/** What a fault happens to. */
export interface Target {
  readonly proxy: FaultProxy;
  readonly member: Member;
  readonly database: PostgresServer;
  /** Runs statements on the database, by a connection that has no faults. */
  withSql<T>(run: (sql: Sql) => Promise<T>): Promise<T>;
  /** Starts a server in the place of one that is gone, or leaves; settles when it is ready. */
  replace(): Promise<void>;
  readonly prefix: string;
}

/** A fault that is chosen: what it is in particular, and what makes it happen; it is over when that settles. */
export interface Planned {
  readonly detail: string;
  run(target: Target): Promise<void>;
}

/** A kind of fault. */
export interface FaultKind {
  readonly name: string;
  /** Of one server, of one that may be replaced by another, or of the database and so of all. */
  readonly of: "server" | "replaceable" | "database";
  /** How often it comes, compared with the others. */
  readonly weight: number;
  plan(random: Random): Planned;
}

const between = (random: Random, least: number, most: number) =>
  Math.round(least + random.next() * (most - least));
const only = (random: Random): { only?: Kind } =>
  random.pick<{ only?: Kind }>([{}, { only: "listen" }, { only: "publish" }]);
const words = ({ only }: { only?: Kind }) =>
  only === undefined ? "both connections" : `the ${only}ing connection`;

/** All kinds. */
export const FAULTS: readonly FaultKind[] = [
  ...(["listen", "publish"] as const).map((kind): FaultKind => ({
    name: `${kind}ing backend terminated`,
    of: "server",
    weight: 2,
    plan(random) {
      const pauses = Array.from({ length: random.pick([1, 1, 2, 5]) }, () => random.below(500));
      return {
        detail: `${pauses.length} times`,
        async run({ withSql, member: { uid } }) {
          for (const pause of pauses) {
            await withSql((sql) =>
              sql`select pg_terminate_backend(pid) from pg_stat_activity
                where application_name = ${`socketio-pg:${kind}:${uid}`}`
            );
            await delay(pause);
          }
        },
      };
    },
  })),
  ...(["rst", "fin"] as const).map((how): FaultKind => ({
    name: `${how.toUpperCase()} storm`,
    of: "server",
    weight: 2,
    plan(random) {
      const which = only(random);
      const pauses = Array.from({ length: between(random, 1, 25) }, () => between(random, 20, 300));
      return {
        detail: `${pauses.length} cuts of ${words(which)}`,
        async run({ proxy }) {
          for (const pause of pauses) {
            proxy.cut(how, which);
            await delay(pause);
          }
        },
      };
    },
  })),
  ...(["both", "up", "down"] as const).map((direction): FaultKind => ({
    name: `silence, ${direction === "both" ? "both ways" : direction}`,
    of: "server",
    weight: 2,
    plan(random) {
      const which = only(random);
      const ms = between(random, 500, 15_000);
      return {
        detail: `${words(which)} for ${ms} ms`,
        async run({ proxy }) {
          proxy.blackhole(direction, which);
          await delay(ms);
          proxy.pass();
        },
      };
    },
  })),
  {
    name: "bytes held back",
    of: "server",
    weight: 2,
    plan(random) {
      const which = only(random);
      const direction = random.pick(["both", "up", "down"] as const);
      const ms = between(random, 500, 9_000);
      return {
        detail: `${direction}, ${words(which)} for ${ms} ms`,
        async run({ proxy }) {
          proxy.hold(direction, which);
          await delay(ms);
          proxy.pass();
        },
      };
    },
  },
  {
    name: "delay",
    of: "server",
    weight: 1,
    plan(random) {
      const [latency, ms] = [between(random, 20, 800), between(random, 2_000, 10_000)];
      return slowed(`${latency} ms`, { latency }, ms);
    },
  },
  {
    name: "drip",
    of: "server",
    weight: 1,
    plan(random) {
      const [slice, ms] = [random.pick([7, 100, 1_000]), between(random, 2_000, 10_000)];
      const bandwidth = random.pick([20_000, 100_000, 500_000]);
      return slowed(`${slice} bytes at ${bandwidth} bytes/s`, { slice, bandwidth }, ms);
    },
  },
  {
    name: "connections refused",
    of: "server",
    weight: 2,
    plan(random) {
      const [how, ms] = [random.pick(["rst", "fin"] as const), between(random, 200, 12_000)];
      const which = only(random);
      return {
        detail: `after a ${how} of ${words(which)}, for ${ms} ms`,
        async run({ proxy }) {
          await proxy.refuse();
          proxy.cut(how, which);
          await delay(ms);
          await proxy.accept();
        },
      };
    },
  },
  {
    name: "connections turned away",
    of: "server",
    weight: 1,
    plan(random) {
      const [how, ms] = [random.pick(["rst", "fin"] as const), between(random, 200, 12_000)];
      return {
        detail: `by ${how} for ${ms} ms`,
        async run({ proxy }) {
          proxy.turnAway(how);
          proxy.cut(how);
          await delay(ms);
          proxy.pass();
        },
      };
    },
  },
  {
    name: "answers to commits lost",
    of: "server",
    weight: 2,
    plan(random) {
      const [times, how] = [between(random, 1, 15), random.pick(["rst", "fin"] as const)];
      return {
        detail: `${times} by ${how}`,
        async run({ proxy, prefix }) {
          const rule = proxy.cutOn({
            on: `${prefix}:/`,
            only: "publish",
            at: "replied",
            times,
            how,
          });
          for (let waited = 0; rule.count < times && waited < 10_000; waited += 50) await delay(50);
          rule.cancel();
        },
      };
    },
  },
  {
    name: "process stopped",
    of: "server",
    weight: 2,
    plan(random) {
      const ms = between(random, 500, 14_000);
      return {
        detail: `for ${ms} ms`,
        async run({ member }) {
          member.kill("SIGSTOP");
          await delay(ms);
          member.kill("SIGCONT");
        },
      };
    },
  },
  {
    name: "event loop blocked",
    of: "server",
    weight: 2,
    plan(random) {
      const ms = between(random, 300, 8_000);
      return {
        detail: `for ${ms} ms`,
        async run({ member }) {
          member.tell({ order: "block", ms });
          await delay(ms);
        },
      };
    },
  },
  {
    name: "process killed and replaced",
    of: "replaceable",
    weight: 3,
    plan: () => ({
      detail: "",
      async run({ member, replace }) {
        member.kill("SIGKILL");
        await member.gone(10_000);
        await replace();
      },
    }),
  },
  {
    name: "process closed and replaced",
    of: "replaceable",
    weight: 3,
    plan(random) {
      const isOverlapping = random.chance(0.5);
      return {
        detail: isOverlapping ? "its successor starts meanwhile" : "",
        async run({ member, replace }) {
          member.leave();
          if (!isOverlapping) await member.gone(20_000);
          await Promise.all([replace(), member.gone(20_000)]);
        },
      };
    },
  },
  ...(["fast", "immediate"] as const).map((mode): FaultKind => ({
    name: `database restarted, ${mode}`,
    of: "database",
    weight: 1,
    plan: () => ({ detail: "", run: ({ database }) => database.restart(mode) }),
  })),
  {
    name: "database away",
    of: "database",
    weight: 2,
    plan(random) {
      const [mode, ms] = [
        random.pick(["fast", "immediate"] as const),
        between(random, 500, 15_000),
      ];
      return {
        detail: `${mode}, for ${ms} ms`,
        async run({ database }) {
          await database.halt(mode);
          try {
            await delay(ms);
          } finally {
            await database.start();
          }
        },
      };
    },
  },
  {
    name: "backend killed, and all with it",
    of: "database",
    weight: 1,
    plan(random) {
      const kind = random.pick<Kind>(["listen", "publish"]);
      return {
        detail: kind,
        async run({ database, withSql, member: { uid } }) {
          const rows = await withSql((sql) =>
            sql<{ pid: number }[]>`select pid from pg_stat_activity
              where application_name = ${`socketio-pg:${kind}:${uid}`}`
          );
          for (const { pid } of rows) database.killBackend(pid);
        },
      };
    },
  },
];

function slowed(detail: string, shape: Parameters<FaultProxy["slow"]>[0], ms: number): Planned {
  return {
    detail: `${detail} for ${ms} ms`,
    async run({ proxy }) {
      proxy.slow(shape);
      await delay(ms);
      proxy.pass();
    },
  };
}

/** One of the kinds that are possible, if any is, by their weights. */
export function pickFault(
  random: Random,
  isPossible: (kind: FaultKind) => boolean,
): FaultKind | undefined {
  const possible = FAULTS.filter(isPossible);
  let at = random.next() * possible.reduce((sum, { weight }) => sum + weight, 0);
  return possible.find(({ weight }) => (at -= weight) < 0);
}
