/** The processes of a cluster, out of what was heard and what PostgreSQL shows. */
import assert from "node:assert/strict";
import { keyOf } from "../../src/bus/presence.ts";
import { census, type ClusterNode, isComplete } from "../../src/cli/census.ts";
import { nodesAsJson, nodesAsText, remarksOn } from "../../src/cli/nodes_view.ts";
import type { HeardProcess } from "../../src/cli/roll_call.ts";
import { test } from "../support/test.ts";

const A = "aaaaaaaa00000000", B = "bbbbbbbb00000000", C = "0000000c00000000";
const STATE = { namespaces: ["/", "/chat"], hasRoomChannels: true, parser: "" };

function heard(uid: string, more: Partial<HeardProcess> = {}): HeardProcess {
  return { uid, at: 1_000, seal: "none", hasLeft: false, ...more };
}

const since = new Date("2026-11-27T07:18:00.123Z");
const later = new Date("2026-11-27T07:19:00.000Z");

test("phases", () => {
  const listeners = new Map([[keyOf(A), 1], [keyOf(B), 2]]);
  const phases = (all: readonly ClusterNode[]) =>
    Object.fromEntries(all.map(({ uid, phase }) => [uid, phase]));
  assert.deepEqual(phases(census(listeners, [], [heard(A), heard(C)], 1_000)), {
    [A]: "ready",
    "bbbbbbbb…": "silent",
    [C]: "deaf",
  });
  assert.deepEqual(phases(census(listeners, [], [heard(A, { hasLeft: true })], 1_000)), {
    [A]: "left",
    "bbbbbbbb…": "silent",
  });
});

test("what connections show; the name of one is believed where its lock agrees", () => {
  const all = census(
    new Map([[keyOf(A), 1], [keyOf(B), 2], [keyOf(C), 3]]),
    [
      { pid: 1, name: "shop", user: "me", address: "10.0.0.1", since },
      { pid: 2, name: `socketio-pg:listen:${B}`, user: "me", address: "local", since: later },
      { pid: 3, name: `socketio-pg:listen:${A}` },
    ],
    [heard(A, { state: STATE })],
    1_250,
  );
  assert.deepEqual(all, [
    {
      uid: A,
      phase: "ready",
      heardMs: 250,
      seal: "none",
      namespaces: ["/", "/chat"],
      roomChannels: true,
      pid: 1,
      since,
      address: "10.0.0.1",
      user: "me",
      application: "shop",
    },
    { uid: B, phase: "silent", pid: 2, since: later, address: "local", user: "me" },
    { uid: "0000000c…", phase: "silent", pid: 3 },
  ]);
});

test("it is complete once everybody who listens has said all", () => {
  const listeners = new Map([[keyOf(A), 1], [keyOf(B), 2]]);
  assert.equal(isComplete(new Map(), []), true);
  assert.equal(isComplete(listeners, [heard(A, { state: STATE }), heard(C)]), false);
  assert.equal(isComplete(listeners, [heard(A, { state: STATE }), heard(B)]), false);
  assert.equal(isComplete(listeners, [heard(A, { state: STATE }), heard(B, { fault: "x" })]), true);
  assert.equal(
    isComplete(listeners, [heard(A, { hasLeft: true }), heard(B, { state: STATE })]),
    true,
  );
});

const NODES: readonly ClusterNode[] = [
  {
    uid: A,
    phase: "ready",
    since,
    heardMs: 400,
    seal: "none",
    address: "10.0.0.1",
    user: "me",
    pid: 1,
    namespaces: ["/", "/\x1b[2J"],
    roomChannels: true,
  },
  {
    uid: C,
    phase: "deaf",
    heardMs: 0,
    seal: "signed",
    namespaces: Array.from({ length: 12 }, (_, i) => `/${i}`),
    roomChannels: false,
  },
  { uid: "bbbbbbbb…", phase: "silent", pid: 3, application: "shop", error: "it is sealed" },
];

test("a table", () => {
  assert.equal(
    nodesAsText(NODES),
    `UID               PHASE   SINCE                 HEARD      ADDRESS   USER  APPLICATION  MODE     NAMESPACES
aaaaaaaa00000000  ready   2026-11-27T07:18:00Z  0.4 s ago  10.0.0.1  me    -            dynamic  /, /\\u001b[2J
0000000c00000000  deaf    ?                     0.0 s ago  ?         ?     -            static   /0, /1, /2, /3, /4, /5, /6, /7, /8, /9 and 2 more
bbbbbbbb…         silent  ?                     never      ?         ?     shop         ?        ?
3 processes: 1 ready, 1 deaf, 1 silent
`,
  );
  assert.equal(nodesAsText([]), "No process of the cluster is there\n");
});

test("the page shows what is printed", () => {
  const [first] = NODES;
  const shown: ClusterNode[] = [
    { ...first!, namespaces: ["/", "/chat"] },
    {
      uid: "bbbbbbbb…",
      phase: "silent",
      since: later,
      address: "10.0.0.2",
      user: "me",
      pid: 2,
      application: "shop",
    },
  ];
  assert.equal(
    nodesAsText(shown),
    `UID               PHASE   SINCE                 HEARD      ADDRESS   USER  APPLICATION  MODE     NAMESPACES
aaaaaaaa00000000  ready   2026-11-27T07:18:00Z  0.4 s ago  10.0.0.1  me    -            dynamic  /, /chat
bbbbbbbb…         silent  2026-11-27T07:19:00Z  never      10.0.0.2  me    shop         ?        ?
2 processes: 1 ready, 1 silent
`,
  );
});

test("lines of JSON, and remarks", () => {
  const lines = nodesAsJson(NODES).trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines.map(({ type, uid, since }) => [type, uid, since]), [
    ["node", A, since.toISOString()],
    ["node", C, undefined],
    ["node", "bbbbbbbb…", undefined],
    ["summary", undefined, undefined],
  ]);
  assert.deepEqual(lines[3], { type: "summary", nodes: 3, ready: 1, deaf: 1, silent: 1 });
  const remarks = remarksOn(NODES);
  assert.equal(remarks.length, 2);
  assert.match(remarks[0] ?? "", /^Cannot read what bbbbbbbb… says: it is sealed$/);
  assert.match(remarks[1] ?? "", /needs pg_read_all_stats$/);
});
