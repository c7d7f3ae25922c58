import assert from "node:assert/strict";
import process from "node:process";
import type { Sql } from "postgres";
import type { PgAdapterError } from "../../mod.ts";
import { type Packet, PacketEncoder, type Parser } from "../../src/packet_encoder.ts";
import { toBase64 } from "../../src/wire/base64.ts";
import { MAX_BODY_BYTES } from "../../src/wire/frame.ts";
import { isPlainText, utf8Length } from "../../src/wire/utf8.ts";
import { mutated } from "../fuzz/hostile.ts";
import { inherited, Random } from "../fuzz/random.ts";
import {
  type Cluster,
  type ClusterOptions,
  createCluster,
  knowEachOther,
} from "../support/cluster.ts";
import { record as recordFigures } from "../support/figures.ts";
import { heldMegabytes } from "../support/memory.ts";
import { type Scope, test } from "../support/test.ts";
import { next, until } from "../support/wait.ts";
import {
  connectStranger,
  frame,
  frames,
  notifyAll,
  overhear,
  record,
  STRANGER,
} from "./stranger.ts";

const NSP = { n: "/" };
const deep = (levels: number) => "[".repeat(levels) + "]".repeat(levels);

/** What every server has to refuse: payloads for the channel of the namespace. */
const REFUSED: Record<string, string | string[]> = {
  "a record that is null": frame(record(null)),
  "a number": frame(record(5)),
  "text": frame(record('"x"')),
  "an array": frame(record([])),
  "an empty object": frame(record({})),
  "a broadcast of nothing": frame(record({ t: 3, ...NSP })),
  "parts that are null": frame(record({ t: 3, ...NSP, p: null })),
  "rooms that are a number": frame(record({ t: 3, ...NSP, r: 5 }, '2["bad"]')),
  "rooms that are text": frame(record({ t: 3, ...NSP, r: "abc" }, '2["bad"]')),
  "a packet that is null": frame(record({ t: 3, ...NSP }, "null")),
  "a packet that is text": frame(record({ t: 3, ...NSP }, '"x"')),
  "a packet without data": frame(record({ t: 3, ...NSP }, "2")),
  "a packet that disconnects": frame(record({ t: 3, ...NSP }, "1")),
  "a packet of no type": frame(record({ t: 3, ...NSP }, '99["bad"]')),
  "a packet of 3,000 levels": frame(record({ t: 3, ...NSP }, `2["bad",${deep(3_000)}]`)),
  "a packet of 100,000 levels": frames(record({ t: 3, ...NSP }, `2["bad",${deep(100_000)}]`)),
  "a packet with a BigInt": frame(record({ t: 3, ...NSP }, '2["bad",10n]')),
  "an event named connect": frame(record({ t: 3, ...NSP }, '2["connect"]')),
  "an event named disconnect, escaped": frame(
    record({ t: 3, ...NSP }, '2["\\u0064isconnect","x"]'),
  ),
  "flags that are null": frame(record({ t: 3, ...NSP, f: null }, '2["bad"]')),
  "flags that are null, with acknowledgement": frame(
    record({ t: 3, ...NSP, f: null, q: "r", v: 100 }, '2["bad"]'),
  ),
  "a type that is text": frame(record({ t: "3", ...NSP }, '2["bad"]')),
  "rooms to join that are null": frame(record({ t: 4, ...NSP, v: null })),
  "rooms to join that are objects": frame(record({ t: 4, ...NSP, v: [{}] })),
  "rooms to leave that are null": frame(record({ t: 5, ...NSP, v: null })),
  "disconnecting by text": frame(record({ t: 6, ...NSP, v: "yes" })),
  "disconnecting by nothing": frame(record({ t: 6, ...NSP })),
  "a request without an id": frame(record({ t: 7, ...NSP })),
  "a server's event that is null": frame(record({ t: 9, ...NSP }, "null")),
  "a server's event that is text": frame(record({ t: 9, ...NSP }, '"evt"')),
  "a server's event named connection": frame(
    record({ t: 9, ...NSP }, '["connection",{"fake":1}]'),
  ),
  "a server's event named newListener": frame(record({ t: 9, ...NSP }, '["newListener","x"]')),
  "a server's event named error": frame(record({ t: 9, ...NSP }, '["error",{"fake":1}]')),
  "a server's event that is null, with acknowledgement": frame(
    record({ t: 9, ...NSP, q: "r" }, "null"),
  ),
  "a server's event of 20,000 arguments": frames(
    record({ t: 9, ...NSP }, `["evt"${",1".repeat(20_000)}]`),
  ),
  "an answer of nothing": frame(record({ t: 8, ...NSP })),
  "an answer to __proto__": frame(record({ t: 12, ...NSP, q: "__proto__" }, "[1]")),
  "a count that is none": frame(record({ t: 11, ...NSP, q: "1", v: -1 })),
  "a sender that is no uid": `1r${"[object Object]1"}1;${record({ t: 2, v: { s: 1 } })}`,
  "a sender of 7,000 characters": `1r${"5".repeat(7_000)}1;${record({ t: 2, v: { s: 1 } })}`,
  "a heartbeat that is none": frame(record({ t: 2, v: null })),
  "a state that is none": frame(record({ t: 20, v: { s: 1, n: {}, d: 1 } })),
  "a namespace of 20,000 characters": frames(
    record({ t: 3, n: "/".repeat(20_000) }, '2["bad"]'),
  ),
  "a packet of another namespace": frame(record({ t: 3, ...NSP }, '2/other,["bad"]')),
  "a packet with an id": frame(record({ t: 3, ...NSP }, '21["bad"]')),
  "an attachment too few": frame(
    record({ t: 3, ...NSP, p: "t41b4" }, '52-["bad",{"_placeholder":true,"num":0}]  AAAA'),
  ),
  "an attachment that is missing": frame(
    record({ t: 3, ...NSP, p: "t40b4" }, '51-["bad",{"_placeholder":true,"num":1}]AAAA'),
  ),
  "eleven attachments": frame(
    record({ t: 3, ...NSP, p: `t9${"b0".repeat(11)}` }, '511-["bad'.padEnd(9) + "]"),
  ),
  "another packet behind it": frame(record({ t: 3, ...NSP }, '2["bad","\u001e41"]')),
  "acknowledgements in a fraction of time": frame(
    record({ t: 3, ...NSP, q: "r", v: 1.5 }, '2["bad"]'),
  ),
  "acknowledgements of a plain sort": frame(record({ t: 3, ...NSP, q: "R!", v: 1 }, '2["bad"]')),
  "a packet of another parser": frame(record({ t: 3, ...NSP, e: "deadbeef" }, '2["bad"]')),
  "a frame that is cut short": frame(record({ t: 3, ...NSP }, '2["bad"]')).slice(0, -4),
  "a frame of another version": frame("").replace("1", "2"),
  "a frame of another kind": frame("").replace("r", "x"),
  "a frame of nothing but a head": "1r",
  "nothing": "",
  "brackets": "[".repeat(7_999),
  "brackets in a plain message": `{"emit":["bad",${"[".repeat(7_000)}`,
  "levels in a plain message": `{"emit":["bad",${deep(3_000)}]}`,
  "a plain message with an unknown key": '{"emit":["bad"],"__proto__":{"polluted":1}}',
  "a plain message named connect": '{"emit":["connect"]}',
  "a plain message with a placeholder of nothing": `{"emit":["bad",{"_placeholder":true,"num":0},{
    "_placeholder":true,"num":-1,"value":{"_placeholder":true,"num":7}}],"attachments":["AA=="]}`,
  "a plain message with an attachment many times": JSON.stringify({
    emit: ["bad", ...Array(11).fill({ _placeholder: true, num: 0 })],
    attachments: ["AA=="],
  }),
  "a plain message with binary that is none": '{"emit":["bad"],"attachments":["!"]}',
};

/** What is fine, and has no effect here. */
const PASSED_OVER: Record<string, string | string[]> = {
  "sockets are asked for, by whoever cannot be answered": frame(record({ t: 7, ...NSP, q: "r" })),
  "sockets are asked for, with rooms": frame(record({ t: 7, ...NSP, q: "r", r: [] })),
  "an answer to nothing": frame(record({ t: 8, ...NSP, q: "zz" }, "[5]")),
  "a count of nothing": frame(record({ t: 11, ...NSP, q: "zz", v: 3 })),
  "a namespace named __proto__": frame(record({ t: 3, n: "__proto__" })),
  "another namespace": frame(record({ t: 3, n: "/other" }, '2/other,["bad"]')),
  "another namespace, plain": '{"emit":["bad"],"nsp":"/other"}',
  "the beginning of a record that goes on": frame("x", {
    kind: "c",
    chunk: { index: 0, count: 9 },
  }),
  "the end of a record that has no beginning": frame("x", {
    kind: "c",
    chunk: { index: 8, count: 9 },
  }),
};

/** What is heard of the errors of each server. */
function listenToErrors(cluster: Cluster): PgAdapterError[][] {
  return cluster.servers.map(({ adapter }) => {
    const errors: PgAdapterError[] = [];
    adapter.on("error", (error) => errors.push(error));
    return errors;
  });
}

/** What makes errors one kind: all but the values. */
function kindOf({ code, message, cause }: PgAdapterError): string {
  const reason = cause instanceof Error ? cause.message : message;
  return code + reason.replace(/"(?:[^"\\]|\\.)*"|\d+/g, "");
}

/** Counts whatever of the application runs. */
function countCalls(cluster: Cluster): () => number {
  let calls = 0;
  for (const { io } of cluster.servers) {
    for (
      const event of ["connection", "connect", "new_namespace", "evt", "toString", "__proto__"]
    ) {
      io.on(event, () => calls++);
    }
    for (const socket of io.sockets.sockets.values()) {
      socket.on("disconnect", () => calls++);
      socket.onAny(() => calls++);
    }
  }
  return () => calls;
}

/** Notifies on the channel of the namespace. */
async function notify(sql: Sql, cluster: Cluster, payloads: (string | string[])[]): Promise<void> {
  const channel = `${cluster.prefix}:/`;
  await notifyAll(sql, payloads.flat().map((payload) => ({ channel, payload })));
}

/** Every client is there, and gets what every server sends. */
async function checkDelivery(cluster: Cluster): Promise<void> {
  for (const i of cluster.servers.keys()) cluster.io(i).emit("later", i);
  await cluster.settled();
  for (const i of cluster.clients.keys()) {
    assert.ok(cluster.client(i).connected, `client ${i} is disconnected`);
    assert.deepEqual(cluster.inbox(i).of("later").map(([from]) => from).sort(), [0, 1, 2]);
  }
}

/** A cluster, a stranger, and what must be as it was in the end. */
async function setUp(t: Scope, options: ClusterOptions = {}) {
  const before = inherited();
  const cluster = await createCluster(t, options);
  const errors = listenToErrors(cluster);
  const calls = countCalls(cluster);
  const sql = await connectStranger(t, cluster.uri);
  const malformed = () => cluster.servers.map(({ adapter }) => adapter.stats().received.malformed);
  const check = async () => {
    await checkDelivery(cluster);
    assert.equal(calls(), 0, "a listener of the application was called");
    assert.deepEqual(inherited(), before);
  };
  return { cluster, errors, sql, malformed, check };
}

for (const [what, payloads] of Object.entries(REFUSED)) {
  test(`refused: ${what}`, async (t) => {
    const { cluster, errors, sql, malformed, check } = await setUp(t);
    await notify(sql, cluster, [payloads]);
    await check();
    for (const list of errors) {
      assert.equal(list.length, 1, list.map(String).join("; "));
      assert.match(list[0]!.code, /^(?:MALFORMED_MESSAGE|WIRE_VERSION)$/);
      assert.ok(list[0]!.message.length < 500);
    }
    assert.deepEqual(malformed(), [1, 1, 1]);
    for (const i of [0, 1, 2]) {
      assert.deepEqual(new Set(cluster.inbox(i).events), new Set(["later"]));
    }
    cluster.errors.length = 0;
  });
}

test("all that is refused, three times in one go, is counted, and each kind reported once", async (t) => {
  const { cluster, errors, sql, malformed, check } = await setUp(t);
  const payloads = Object.values(REFUSED);
  for (let times = 0; times < 3; times++) {
    await notify(sql, cluster, payloads);
    await notify(sql, cluster, Object.values(PASSED_OVER));
  }
  await check();
  assert.deepEqual(malformed(), Array(3).fill(3 * payloads.length));
  for (const list of errors) {
    const kinds = list.map(kindOf);
    assert.deepEqual(kinds, [...new Set(kinds)]);
    assert.ok(kinds.length > 20, kinds.join("\n"));
  }
  recordFigures(34, { "kinds refused": payloads.length });
  for (const i of [0, 1, 2]) assert.deepEqual(new Set(cluster.inbox(i).events), new Set(["later"]));
  cluster.errors.length = 0;
});

test("what is fine and concerns nobody changes nothing, and is no error", async (t) => {
  const { cluster, sql, malformed, check } = await setUp(t);
  for (let times = 0; times < 3; times++) {
    await notify(sql, cluster, Object.values(PASSED_OVER));
  }
  await check();
  assert.deepEqual(malformed(), [0, 0, 0]);
});

test("what is fine arrives, once, odd as it is", async (t) => {
  const { cluster, sql, check } = await setUp(t);
  const seen: unknown[][] = [];
  for (const { io } of cluster.servers) io.on("servers", (...args: unknown[]) => seen.push(args));
  const odd = '{"toJSON":1,"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}';
  await notify(sql, cluster, [
    frame(record({ t: 3, ...NSP }, '2["plain"]')),
    frame(record({ t: 3, ...NSP }, `2["odd",${odd}]`)),
    frame(record({ t: 3, ...NSP, e: undefined, f: { strange: 1, local: true } }, '2["flags"]')),
    frame(record({ t: 9, ...NSP }, `["servers",1,${odd}]`)),
  ]);
  await check();
  for (const i of [0, 1, 2]) {
    assert.deepEqual(cluster.inbox(i).events.filter((event) => event !== "later"), [
      "plain",
      "odd",
      "flags",
    ]);
    assert.deepEqual(cluster.inbox(i).of("odd"), [[JSON.parse(odd)]]);
  }
  assert.deepEqual(seen, Array(3).fill([1, JSON.parse(odd)]));
});

test("PostgreSQL itself refuses 8,000 bytes", async (t) => {
  const { cluster, sql, check } = await setUp(t);
  await assert.rejects(notify(sql, cluster, ["x".repeat(8_000)]), /payload string too long/);
  await check();
});

test("acknowledgements that strangers wait for are bounded, and those of the cluster come", async (t) => {
  const { cluster, sql, malformed } = await setUp(t);
  const ask = (count: number) =>
    Array.from({ length: count }, () => {
      return frame(record({ t: 3, ...NSP, q: "r", v: 2 ** 31 - 1 }, '2["ask"]'));
    });
  await notify(sql, cluster, ask(1_500));
  await cluster.settled();
  assert.deepEqual(malformed(), [500, 500, 500]);
  for (const i of [0, 1, 2]) assert.ok(acksOf(cluster, i) <= 1_000);
  cluster.errors.length = 0;
});

function acksOf(cluster: Cluster, client: number): number {
  return (cluster.socket(client) as unknown as { acks: Map<number, unknown> }).acks.size;
}

test("packets of another parser are looked into before clients get them", async (t) => {
  const { default: parser } = await import("socket.io-msgpack-parser") as unknown as {
    default: Parser;
  };
  const { cluster, errors, sql, malformed, check } = await setUp(t, {
    server: { parser },
    client: { parser },
  });
  const encoder = new parser.Encoder();
  const { parserId } = new PacketEncoder(parser, encoder);
  const packet = (packet: object) => {
    const [bytes] = encoder.encode(packet as Packet) as [Uint8Array];
    const base64 = toBase64(bytes);
    return frame(record({ t: 3, ...NSP, e: parserId, p: `b${base64.length}` }, base64));
  };
  const nested = JSON.parse(`["bad",${deep(1_500)}]`) as unknown[];
  const refused = [
    packet({ type: 1, nsp: "/" }),
    packet({ type: 4, nsp: "/", data: { message: "bad" } }),
    packet({ type: 2, nsp: "/", data: ["disconnect"] }),
    packet({ type: 2, nsp: "/", data: [] }),
    packet({ type: 2, nsp: "/", data: [{}] }),
    packet({ type: 2, nsp: "/other", data: ["bad"] }),
    packet({ type: 2, nsp: "/", data: ["bad"], id: 1 }),
    packet({ type: 2, nsp: "/", data: nested }),
    packet({ type: 99, nsp: "/", data: ["bad"] }),
    frame(record({ t: 3, ...NSP, e: parserId, p: "b4" }, "AAAA")),
    frame(record({ t: 3, ...NSP, e: parserId }, '2["bad"]')),
    frame(record({ t: 3, ...NSP }, '2["connect"]')),
    frame(record({ t: 3, ...NSP }, "2[")),
    frame(record({ t: 3, ...NSP, p: "t40b4" }, '51-["bad",{"_placeholder":true,"num":1}]AAAA')),
  ];
  const fine = packet({ type: 2, nsp: "/", data: ["fine", new Uint8Array(2)] });
  await notify(sql, cluster, [...refused, fine]);
  await check();
  assert.deepEqual(malformed(), Array(3).fill(refused.length));
  for (const i of [0, 1, 2]) {
    assert.deepEqual(new Set(cluster.inbox(i).events), new Set(["fine", "later"]));
  }
  for (const list of errors) {
    assert.deepEqual([...new Set(list.map(({ code }) => code))], ["MALFORMED_MESSAGE"]);
  }
  cluster.errors.length = 0;
});

/** What the cluster said of all that it can say, but for what is to disconnect sockets or move them. */
async function captured(
  sql: Sql,
  cluster: Cluster,
): Promise<{ channel: string; payload: string }[]> {
  const heard = await overhear(sql, cluster);
  // Who changes a message can leave out that an answer is wanted: listeners have to look.
  const answers = (value: string) => (answer: unknown) => {
    if (typeof answer === "function") answer(value);
  };
  for (const client of cluster.clients) client.on("ask", answers("fine"));
  for (const { io } of cluster.servers) io.on("question", answers("answer"));
  for (const { io } of cluster.servers) {
    io.emit("captured", { a: [1, "ü🎉", null] });
    io.to("room").except("other").emit("captured");
    io.emit("captured", Buffer.from("binary"), { deep: Buffer.alloc(20) });
    io.emit("captured", "x".repeat(2 * MAX_BODY_BYTES));
    await io.fetchSockets();
    await io.timeout(5_000).emitWithAck("ask");
    await io.serverSideEmitWithAck("question");
  }
  const isThere = (type: number) => heard.some(({ payload }) => payload.includes(`{"t":${type},`));
  const types = [2, 3, 7, 8, 9, 10, 11, 12];
  await until(`types ${types} were heard`, () => types.every(isThere));
  // What they send by themselves goes on; of that there is enough.
  return [...heard];
}

/** Short times, after which a process that only seems to be there is forgotten. */
const QUICK = { adapter: { heartbeatInterval: 300, heartbeatTimeout: 3_000 } };

/** Mutations that PostgreSQL carries. */
function mutations(
  frames: readonly { channel: string; payload: string }[],
  count: number,
  seed: number,
  change: (payload: string) => string,
): { channel: string; payload: string }[] {
  const random = new Random(seed);
  const payloads = frames.map(({ payload }) => payload);
  const made: { channel: string; payload: string }[] = [];
  while (made.length < count) {
    const { channel, payload } = random.pick(frames);
    const text = change(mutated(random, payload, payloads));
    if (isPlainText(text) && utf8Length(text) < 8_000) made.push({ channel, payload: text });
  }
  return made;
}

/**
 * Without a secret, what somebody sends in the name of a member can take the number of the member's next message, which
 * then counts as said before. It is for the ones after that to arrive.
 */
async function undisturbed(cluster: Cluster): Promise<void> {
  await until("what is sent arrives everywhere", async () => {
    try {
      await cluster.settled(2_000);
      return true;
    } catch (_late) {
      return false;
    }
  }, 20_000);
}

async function survives(
  t: Scope,
  count: number,
  change?: (payload: string, cluster: Cluster) => string,
): Promise<void> {
  const seed = Number(process.env["FUZZ_SEED"] ?? crypto.getRandomValues(new Uint32Array(1))[0]);
  try {
    await survivesSeed(t, count, seed, change);
  } catch (cause) {
    throw new Error(`FUZZ_SEED=${seed} makes the same mutations: ${cause}`, { cause });
  }
}

async function survivesSeed(
  t: Scope,
  count: number,
  seed: number,
  change?: (payload: string, cluster: Cluster) => string,
): Promise<void> {
  const { cluster, sql } = await setUp(t, QUICK);
  const before = inherited();
  const frames = await captured(sql, cluster);
  const all = mutations(frames, count, seed, (payload) => change?.(payload, cluster) ?? payload);
  await notifyAll(sql, all.slice(0, count / 2));
  await undisturbed(cluster);
  const half = heldMegabytes();
  await notifyAll(sql, all.slice(count / 2));
  await undisturbed(cluster);
  const grown = heldMegabytes() - half;
  assert.ok(grown < 20, `${grown} MB more after another ${count / 2} payloads`);
  await knowEachOther(cluster.servers);
  await checkDelivery(cluster);
  assert.equal((await cluster.io(1).fetchSockets()).length, 3);
  for (const i of [0, 1, 2]) assert.ok(!cluster.inbox(i).events.includes("disconnect"));
  assert.deepEqual(inherited(), before);
  // Who speaks in the name of a member can make others believe that they missed something of it: that is told.
  const errors = cluster.errors.splice(0).filter(({ message }) => !message.startsWith("a gap"));
  recordFigures(34, { mutations: count, "MB more after them": grown });
  const codes = new Set(errors.map((error) => (error as PgAdapterError).code));
  assert.ok(codes.has("MALFORMED_MESSAGE"), [...codes].join());
  for (const code of codes) {
    assert.match(code, /^(?:MALFORMED_MESSAGE|WIRE_VERSION|PARSER_MISMATCH)$/);
  }
}

test("10,000 mutations of what the cluster said, in the name of a stranger", async (t) => {
  await survives(t, 10_000, (payload, cluster) => {
    for (const { adapter } of cluster.servers) {
      payload = payload.replaceAll(adapter.stats().uid, STRANGER);
    }
    return payload;
  });
}, { deadline: 90_000 });

test("10,000 mutations of what the cluster said, in the names of its members", async (t) => {
  await survives(t, 10_000);
}, { deadline: 90_000 });

test("frames that are said again as they were have no effect", async (t) => {
  const { cluster, sql } = await setUp(t, QUICK);
  const frames = await captured(sql, cluster);
  const received = await cluster.received("captured");
  await notifyAll(sql, frames);
  assert.deepEqual(
    (await cluster.received("captured")).map(({ length }) => length),
    received.map(({ length }) => length),
  );
  await knowEachOther(cluster.servers);
});

test("a frame with a member's uid and a sequence far ahead does not silence the member", async (t) => {
  const { cluster, sql, check } = await setUp(t);
  const [uid] = cluster.servers.map(({ adapter }) => adapter.stats().uid);
  const ahead = { uid: uid!, sequence: 1_000_000_000, previous: 999_999_999 };
  await notify(sql, cluster, [frame(record({ t: 3, ...NSP }, "bad"), ahead)]);
  await notify(sql, cluster, [
    frame("", { ...ahead, kind: "p", sequence: Number.MAX_SAFE_INTEGER }),
  ]);
  await check();
  cluster.errors.length = 0;
});

test("a frame with a member's uid and the number 0 holds nothing up", async (t) => {
  const { cluster, sql, check } = await setUp(t);
  for (const { adapter } of cluster.servers) {
    const strange = { uid: adapter.stats().uid, sequence: 0, previous: 0 };
    await notify(sql, cluster, [frame(record({ t: 3, ...NSP }, '2["bad"]'), strange)]);
  }
  await cluster.settled(5_000);
  await check();
  for (const i of [0, 1, 2]) assert.deepEqual(cluster.inbox(i).of("bad"), []);
  cluster.errors.length = 0;
});

test("a chunk with a member's uid does not spoil the record that the member is sending", async (t) => {
  const { cluster, sql, check } = await setUp(t);
  const [uid] = cluster.servers.map(({ adapter }) => adapter.stats().uid);
  const received = next(cluster.client(1), "large", 20_000);
  const chunk = { kind: "c" as const, uid: uid!, chunk: { index: 0, count: 3 } };
  const strange = () => frame("x".repeat(100), chunk);
  cluster.io(0).emit("large", "x".repeat(100 * MAX_BODY_BYTES));
  for (let times = 0; times < 50; times++) await notify(sql, cluster, [strange()]);
  assert.equal(String((await received)[0]).length, 100 * MAX_BODY_BYTES);
  await check();
  cluster.errors.length = 0;
});

test("thousands of records that are begun and never finished take bounded memory", async (t) => {
  const { cluster, sql, check } = await setUp(t, { adapter: { maxPayload: 100_000 } });
  const before = heldMegabytes();
  await sql`
    select pg_notify(
      ${`${cluster.prefix}:/`},
      '1c' || lpad(to_hex(n), 16, '0') || '1,0,0/100;' || repeat('x', ${MAX_BODY_BYTES}::int)
    ) from generate_series(1, 5000) as n`;
  await check();
  const grown = heldMegabytes() - before;
  // Three servers got 40 MB each.
  assert.ok(grown < 40, `${grown} MB more`);
}, { deadline: 60_000 });
