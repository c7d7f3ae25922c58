/** What `doctor` makes of facts. */
import assert from "node:assert/strict";
import type { Facts, Holder } from "../../src/cli/facts.ts";
import { type Finding, findingsOf, isBroken, unreachable } from "../../src/cli/findings.ts";
import { findingsAsJson, findingsAsText } from "../../src/cli/findings_view.ts";
import { RECOVERY_VERSION } from "../../src/recovery/schema.ts";
import { SQL_VERSION } from "../../src/sql.ts";
import { test } from "../support/test.ts";

const HEALTHY: Facts = {
  prefix: "socket.io",
  hasSecret: false,
  wantsRecovery: false,
  where: 'db:5432, database "shop", user "me"',
  isLocal: false,
  failures: [],
  tls: { mode: "require", isVerified: true },
  isPooled: false,
  server: {
    value: { versionNumber: 160004, version: "16.4", encoding: "UTF8", tls: "TLSv1.3" },
  },
  roundTripMs: { value: 0.61 },
  rights: { value: { role: "me", missing: [] } },
  schema: {
    value: { role: "me", database: "shop", isDurable: false, mayInstall: true, mayUse: false },
  },
  queueUsage: { value: 0 },
  holders: { value: { holders: [], seesAll: true } },
  clock: { value: { aheadMs: 3, errorMs: 0.5 } },
  room: { value: { left: 80, max: 97, of: "server" } },
  limits: { value: [] },
  peers: { value: { count: 2, elsewhere: [] } },
  heard: { uid: "0123456789abcdef", at: 0, seal: "none", hasLeft: false },
  waitedMs: 100,
};

const FAULT = { fault: "permission denied for view pg_locks", code: "42501" };

function finding(check: string, facts: Partial<Facts>): Finding {
  const found = findingsOf({ ...HEALTHY, ...facts }).find((each) => each.check === check);
  assert.ok(found, check);
  return found;
}

function schema(value: Partial<Extract<Facts["schema"], { value: unknown }>["value"]>): {
  schema: Facts["schema"];
} {
  assert.ok("value" in HEALTHY.schema);
  return { schema: { value: { ...HEALTHY.schema.value, ...value } } };
}

const HOLDER: Holder = {
  pid: 7,
  state: "idle in transaction",
  ms: 5_000,
  application: "psql",
  user: "me",
  database: "shop",
  isStuck: false,
};

function holders(...list: Partial<Holder>[]): Pick<Facts, "holders"> {
  return {
    holders: { value: { holders: list.map((each) => ({ ...HOLDER, ...each })), seesAll: true } },
  };
}

const deaf = { fault: "Cannot listen", code: "NO_LOOPBACK" };
const filling = { queueUsage: { value: 0.2 } };
const old = { versionNumber: 120022, version: "12.22", encoding: "UTF8" };
const noTls = { value: { versionNumber: 160004, version: "16.4", encoding: "UTF8" } };

const CASES: readonly [
  check: string,
  facts: Partial<Facts>,
  level: Finding["level"],
  text: RegExp,
  remedy?: RegExp,
][] = [
  ["database", {}, "ok", /^reached db:5432, database "shop", user "me"$/],
  ["database", { failures: ["Cannot connect to a"] }, "warning", /after Cannot/, /primary first/],
  ["tls", {}, "ok", /^TLSv1\.3, its certificate is verified$/],
  [
    "tls",
    { tls: { mode: "require", isVerified: false } },
    "warning",
    /certificate is not verified/,
    /verify-full/,
  ],
  ["tls", { tls: { mode: "require", isVerified: false }, isLocal: true }, "ok", /not verified/],
  ["tls", { tls: { mode: "prefer", isVerified: false }, server: noTls }, "warning", /sees none/],
  ["tls", { tls: { mode: "disable", isVerified: true }, server: noTls }, "warning", /^none: /],
  [
    "tls",
    { tls: { mode: "disable", isVerified: true }, server: noTls, isLocal: true },
    "ok",
    /none/,
  ],
  // What the server sees behind a pooler is the pooler's.
  ["tls", { tls: { mode: "prefer", isVerified: false }, isPooled: true }, "unknown", /pooler/],
  ["tls", { tls: { mode: "require", isVerified: true }, isPooled: true }, "ok", /^TLS, /],
  ["primary", {}, "ok", /it is one/],
  ["encoding", {}, "ok", /^UTF8$/],
  ["version", {}, "ok", /^PostgreSQL 16\.4$/],
  ["version", { server: { value: old } }, "warning", /12\.22/, /13 and later/],
  ["version", { server: FAULT }, "unknown", /permission denied/],
  ["pooler", {}, "ok", /none/],
  ["pooler", { isPooled: true }, "warning", /keeps sessions/, /direct address is better/],
  ["pooler", { isPooled: true, roundTripMs: deaf }, "broken", /delivers nothing/, /"listen"/],
  ["pooler", { isPooled: true, roundTripMs: FAULT }, "unknown", /permission/],
  ["listen", {}, "ok", /after 0\.6 ms$/],
  ["listen", { roundTripMs: { value: 1_200 } }, "warning", /after 1200 ms/, /3000 ms/],
  ["listen", { roundTripMs: deaf }, "broken", /Cannot listen/],
  ["rights", {}, "ok", /role "me" may notify/],
  [
    "rights",
    {
      rights: {
        value: { role: 'a"b', missing: ["EXECUTE ON FUNCTION pg_catalog.pg_notify(text, text)"] },
      },
    },
    "broken",
    /lacks EXECUTE ON FUNCTION/,
    /^GRANT EXECUTE ON FUNCTION pg_catalog\.pg_notify\(text, text\) TO "a""b"$/,
  ],
  ["rights", { rights: FAULT }, "unknown", /permission/],
  ["queue", {}, "ok", /is 0 % full$/],
  ["queue", { queueUsage: { value: 0.0001 } }, "ok", /less than 1 % full$/],
  ["queue", { queueUsage: { value: 0.099 } }, "ok", /10 %/],
  ["queue", filling, "warning", /20 % full; at 100 %/, /see transactions/],
  ["queue", { queueUsage: { value: 0.5 } }, "broken", /50 %/, /see transactions/],
  ["queue", { queueUsage: FAULT }, "unknown", /permission/],
  ["transactions", {}, "ok", /none longer than 60 s/],
  ["transactions", holders({}), "ok", /none longer/],
  [
    "transactions",
    holders({ ms: 61_000 }),
    "warning",
    /^pid 7 \(idle in transaction for 61 s, "psql", user "me", database "shop"\): one that listens would/,
    /pg_terminate_backend\(7\)/,
  ],
  [
    "transactions",
    { ...holders({}, { pid: 8, application: "", state: "active", ms: 1_000 }), ...filling },
    "warning",
    /^pid 7 .*; pid 8 \(active for 1\.0 s, user "me", .*: one that listens holds/,
    /\(7\)/,
  ],
  ["transactions", { ...holders({ ms: 500 }), ...filling }, "ok", /none longer than 1\.0 s/],
  // Who waits for its client is only interesting where the queue fills.
  ["transactions", holders({ isStuck: true, ms: 7_200_000 }), "ok", /none/],
  [
    "transactions",
    { ...holders({ isStuck: true }), ...filling },
    "warning",
    /client does not read/,
  ],
  [
    "transactions",
    holders(...Array.from({ length: 7 }, () => ({ ms: 9_000_000 }))),
    "warning",
    /for 3 h, .*and 2 more: /,
  ],
  [
    "transactions",
    { holders: { value: { holders: [], seesAll: false } } },
    "unknown",
    /others are not seen/,
    /pg_read_all_stats/,
  ],
  ["transactions", { holders: FAULT }, "unknown", /permission/],
  ["clock", {}, "ok", /2\.5 ms ahead of this machine's/],
  ["clock", { clock: { value: { aheadMs: 0.4, errorMs: 0.5 } } }, "ok", /is the same/],
  [
    "clock",
    { clock: { value: { aheadMs: -8_000, errorMs: 1 } } },
    "warning",
    /8\.0 s behind/,
    /NTP/,
  ],
  ["clock", { clock: { value: { aheadMs: 90_000, errorMs: 1 } } }, "warning", /90 s ahead/],
  [
    "clock",
    { clock: { value: { aheadMs: 90_000, errorMs: 1 } }, hasSecret: true },
    "broken",
    /90 s ahead/,
    /refused from 60 s on/,
  ],
  ["connections", {}, "ok", /80 of 97 that the server may have are left/],
  [
    "connections",
    { room: { value: { left: 9, max: 97, of: "server" } } },
    "warning",
    /9 of 97 .*; a server needs 2/,
    /max_connections/,
  ],
  ["connections", { room: { value: { left: 40, max: 500, of: "role" } } }, "warning", /40 of 500/],
  [
    "connections",
    { room: { value: { left: 1, max: 10, of: "role" } } },
    "broken",
    /1 of 10 that the role may have/,
    /ALTER ROLE/,
  ],
  ["timeouts", {}, "ok", /none/],
  [
    "timeouts",
    { limits: { value: [{ name: "idle_session_timeout", ms: 600_000 }] }, isPooled: true },
    "warning",
    /idle_session_timeout is 10 min/,
    /ALTER ROLE/,
  ],
  [
    "timeouts",
    { limits: { value: [{ name: "statement_timeout", ms: 100 }] } },
    "warning",
    /statement_timeout is 100 ms/,
    /connection string/,
  ],
  ["timeouts", { limits: { value: [{ name: "statement_timeout", ms: 30_000 }] } }, "ok", /none/],
  ["functions", {}, "ok", /only for those who emit from SQL/],
  ["functions", schema({ sql: SQL_VERSION }), "ok", /^version \d+$/],
  ["functions", schema({ sql: SQL_VERSION + 1 }), "ok", /later than this package's/],
  ["functions", schema({ sql: 0 }), "warning", /^version 0, older/, /^socketio-pg install-sql$/],
  ["functions", schema({ sql: 0, mayInstall: false }), "warning", /older/, /as their owner/],
  ["functions", { schema: FAULT }, "unknown", /permission/],
  ["recovery", {}, "ok", /servers make them when they start/],
  ["recovery", schema({ mayInstall: false }), "ok", /role "me" may not make them/],
  [
    "recovery",
    { ...schema({ mayInstall: false }), wantsRecovery: true },
    "broken",
    /may not make them in database "shop"/,
    /install-sql --recovery/,
  ],
  ["recovery", schema({ recovery: 0, mayInstall: false }), "warning", /^version 0, older/],
  ["recovery", schema({ recovery: 0 }), "ok", /servers make them/],
  ["recovery", schema({ recovery: RECOVERY_VERSION, mayUse: true }), "ok", /, not durable$/],
  [
    "recovery",
    schema({ recovery: RECOVERY_VERSION, mayUse: true, isDurable: true }),
    "ok",
    /, durable$/,
  ],
  ["recovery", schema({ recovery: RECOVERY_VERSION }), "warning", /may not use it/, /GRANT USAGE/],
  [
    "recovery",
    { ...schema({ recovery: RECOVERY_VERSION }), wantsRecovery: true },
    "broken",
    /may not use it/,
  ],
  ["servers", {}, "ok", /^2 with prefix "socket\.io"/],
  [
    "servers",
    { peers: { value: { count: 0, elsewhere: [{ database: "blog", count: 3 }] } } },
    "warning",
    /none with prefix "socket\.io" in this database; others: 3 in database "blog"$/,
    /--prefix/,
  ],
  ["servers", { peers: FAULT }, "unknown", /permission/],
  ["heartbeat", {}, "ok", /^server 0123456789abcdef was heard$/],
  ["heartbeat", { heard: undefined, waitedMs: 6_000 }, "warning", /for 6\.0 s/, /blocked/],
  ["heartbeat", { roundTripMs: deaf }, "unknown", /cannot listen/],
  [
    "heartbeat",
    { heard: { ...HEALTHY.heard!, seal: "signed" }, hasSecret: true },
    "ok",
    /was heard, signed$/,
  ],
  [
    "heartbeat",
    { heard: { ...HEALTHY.heard!, fault: "it is sealed" } },
    "warning",
    /cannot be read: it is sealed/,
    /--secret-file/,
  ],
  [
    "heartbeat",
    { heard: { ...HEALTHY.heard!, fault: "it is sealed" }, hasSecret: true },
    "broken",
    /cannot be read/,
  ],
];

test("each fact is judged, with what to do", () => {
  CASES.forEach(([check, facts, level, text, remedy], i) => {
    const found = finding(check, facts);
    const which = `${check} (${i}): ${JSON.stringify(found)}`;
    assert.equal(found.level, level, which);
    assert.match(found.text, text, which);
    if (remedy !== undefined) assert.match(found.remedy ?? "", remedy, which);
    if (level === "ok") assert.equal(found.remedy, undefined, which);
  });
});

test("a healthy database has nothing to say but ok, in one order", () => {
  const findings = findingsOf(HEALTHY);
  assert.deepEqual(
    findings.map(({ check, level }) => [check, level]),
    [
      "database tls primary encoding version pooler listen rights queue transactions clock",
      "connections timeouts functions recovery servers heartbeat",
    ].join(" ").split(" ").map((check) => [check, "ok"]),
  );
  assert.equal(isBroken(findings), false);
});

test("only what is broken counts as that", () => {
  assert.equal(isBroken(findingsOf({ ...HEALTHY, ...filling, isPooled: true })), false);
  assert.equal(isBroken(findingsOf({ ...HEALTHY, roundTripMs: deaf })), true);
});

test("without a connection there is one finding, about what is wrong", () => {
  const check = (code: string) => unreachable({ code, message: "Cannot" }).check;
  assert.deepEqual(
    ["CONNECT_FAILED", "AUTHENTICATION_FAILED", "STANDBY", "NOT_UTF8"].map(check),
    ["database", "database", "primary", "encoding"],
  );
});

const SOME: readonly Finding[] = [
  { check: "database", level: "ok", text: "reached \x1b[2Jit" },
  { check: "queue", level: "broken", text: "it is full", remedy: "end it" },
];

test("a line for each, what to do below it, and nothing that a terminal obeys", () => {
  assert.equal(
    findingsAsText(SOME, false),
    `ok       database      reached \\u001b[2Jit
broken   queue         it is full
                       -> end it
1 of 2 ok, 1 broken
`,
  );
  const coloured = findingsAsText(SOME, true);
  assert.ok(coloured.startsWith("\x1b[32mok       \x1b[0mdatabase "));
  assert.ok(coloured.includes("\n\x1b[31mbroken   \x1b[0mqueue "));
});

test("the page shows what is printed", () => {
  const shown = [
    finding("primary", {}),
    finding("transactions", holders({ ms: 61_000 })),
    finding("queue", { queueUsage: { value: 0.5 } }),
    finding("rights", { rights: FAULT }),
  ];
  assert.equal(
    findingsAsText(shown, false),
    `ok       primary       it is one
warning  transactions  pid 7 (idle in transaction for 61 s, "psql", user "me", database "shop"): one that listens would hold the queue up
                       -> select pg_terminate_backend(7); idle_in_transaction_session_timeout ends idle ones by itself
broken   queue         the queue of notifications is 50 % full; at 100 % nobody can notify
                       -> end the session that listens and does not read: see transactions
unknown  rights        permission denied for view pg_locks
1 of 4 ok, 1 warning, 1 broken, 1 unknown
`,
  );
});

test("lines of JSON, and a summary", () => {
  const lines = findingsAsJson(SOME).trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines, [
    { type: "finding", ...SOME[0] },
    { type: "finding", ...SOME[1] },
    { type: "summary", ok: 1, warning: 0, broken: 1, unknown: 0 },
  ]);
});
