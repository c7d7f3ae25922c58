/** Clusters with a secret: strangers have no effect, and faults of connections no other than without. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { PgAdapterError, PgAdapterOptions } from "../../mod.ts";
import { Sealer } from "../../src/runtime/sealer.ts";
import {
  connectStranger,
  frame,
  notifyAll,
  overhear,
  record as item,
} from "../hostile/stranger.ts";
import { splitNumber } from "../../src/wire/logged.ts";
import { createCluster, createNode } from "../support/cluster.ts";
import { pgAdapter } from "../../mod.ts";
import { databaseUri } from "../support/database.ts";
import { record } from "../support/figures.ts";
import { Fleet } from "../support/fleet.ts";
import { allReady, hears, judge, terminate } from "../support/outage.ts";
import { connectSql } from "../support/sql.ts";
import { test } from "../support/test.ts";
import { createTraffic, QUICK } from "../support/traffic.ts";
import { until } from "../support/wait.ts";

const LONG = { deadline: 120_000 };

const SECRET = "known to all servers of the cluster";
const OTHER = "the next secret of the same cluster";

const MODES: Record<string, PgAdapterOptions> = {
  signed: { secret: SECRET },
  encrypted: { secret: SECRET, encrypt: true },
};

for (const [mode, adapter] of Object.entries(MODES)) {
  test(
    `nothing of what strangers send is accepted, and each kind is told once (${mode})`,
    async (t) => {
      const cluster = await createCluster(t, { adapter });
      const sql = await connectStranger(t, cluster.uri);
      const heard = await overhear(sql, cluster);
      const channel = `${cluster.prefix}:/`;
      const uid = cluster.adapter(0).stats().uid;
      for (let n = 0; n < 20; n++) cluster.io(0).emit("genuine", n);
      await cluster.settled();
      const isGenuine = ({ payload }: { payload: string }) =>
        splitNumber(payload).frame.startsWith(uid, 2);
      await until(
        "it was overheard",
        () => heard.some((each) => each.channel === channel && isGenuine(each)),
      );
      const genuine = heard.filter(isGenuine);
      const { payload } = genuine.find((each) => each.channel === channel)!;
      const bad = item({ t: 3, n: "/" }, '2["bad"]');
      const named = frame(bad, { uid, sequence: 1_000_000, previous: 999_999 });
      const now = Date.now;
      const nonce = () => crypto.randomUUID().replaceAll("-", "").slice(0, 16);
      const seal = (secret: string, encrypt: boolean, late = 0) =>
        new Sealer(secret, encrypt, { now: () => now() - late, nonce }).seal(channel, named);
      const encrypt = adapter.encrypt === true;
      const middle = Math.floor(payload.length / 2);
      const swapped = payload[middle] === "A" ? "B" : "A";
      const forged: Record<string, { channel: string; payload: string }> = {
        "plain and unsigned": { channel, payload: '{"event":"bad","args":[1]}' },
        "a frame of a member, unsigned": { channel, payload: named },
        "a frame of nobody, unsigned": { channel, payload: frame(bad) },
        "tampered with": {
          channel,
          payload: payload.slice(0, middle) + swapped + payload.slice(middle + 1),
        },
        "of another channel": { channel: `${cluster.prefix}:~`, payload },
        "of an unknown key": { channel, payload: seal(OTHER, encrypt) },
        "of long ago": { channel, payload: seal(SECRET, encrypt, 120_000) },
      };
      if (encrypt) {
        forged["signed only"] = { channel, payload: seal(SECRET, false) };
        forged["encrypted by halves"] = { channel, payload: payload.slice(0, 60) };
      }
      const times = 200;
      const before = cluster.servers.map(({ adapter }) => adapter.stats().received);
      for (let i = 0; i < times; i++) {
        // Equal ones in one transaction would be one.
        await notifyAll(sql, Object.values(forged));
      }
      // What was said before is known, whoever says it.
      await notifyAll(sql, genuine);
      await notifyAll(sql, genuine);
      cluster.io(0).emit("genuine", 20);
      await cluster.settled();
      const kinds = cluster.errors.splice(0).map((error) => {
        const { code, message } = error as PgAdapterError;
        assert.equal(code, "UNSIGNED");
        assert.ok(!message.includes("bad") && !message.includes(SECRET));
        return /\(([a-z-]+)\)$/.exec(message)?.[1];
      });
      const count = Object.keys(forged).length;
      for (const server of [1, 2]) {
        const { refused, malformed, duplicates } = cluster.adapter(server).stats().received;
        assert.equal(refused - before[server]!.refused, count * times);
        assert.equal(malformed - before[server]!.malformed, count * times);
        assert.ok(duplicates > before[server]!.duplicates);
      }
      const wanted = encrypt
        ? ["stale", "undecryptable", "unencrypted", "unknown-key", "unsigned"]
        : ["forged", "stale", "unknown-key", "unsigned"];
      assert.deepEqual([...new Set(kinds)].sort(), wanted);
      // Each server told each kind once at most.
      for (const kind of wanted) {
        assert.ok(kinds.filter((each) => each === kind).length <= 3, `${kind}: ${kinds}`);
      }
      for (const server of [0, 1, 2]) {
        assert.deepEqual(cluster.inbox(server).of("genuine").map(([n]) => n), [
          ...Array.from({ length: 21 }, (_, n) => n),
        ]);
        assert.deepEqual([...new Set(cluster.inbox(server).events)], ["genuine"]);
      }
      record(35, {
        mode,
        sent: (count * times + 2 * genuine.length) * 3,
        accepted: 0,
        kinds: wanted.join(" "),
      });
    },
    LONG,
  );

  test(`large and binary messages arrive whole (${mode})`, async (t) => {
    const cluster = await createCluster(t, { adapter });
    const text = "é漢🎉~1".repeat(100_000);
    const bytes = Buffer.alloc(1_500_000, Buffer.from([0, 255, 1, 254, 126, 49, 7]));
    for (let i = 0; i < 3; i++) {
      cluster.io(i).emit("large", text);
      cluster.io(i).emit("binary", { bytes }, bytes.subarray(0, i));
    }
    await cluster.settled();
    for (let i = 0; i < 3; i++) {
      assert.equal(cluster.inbox(i).of("large").length, 3);
      for (const [content] of cluster.inbox(i).of("large")) assert.ok(content === text);
      const binary = cluster.inbox(i).of("binary") as [{ bytes: Uint8Array }, Uint8Array][];
      assert.deepEqual(binary.map(([, { byteLength }]) => byteLength).sort(), [0, 1, 2]);
      for (const [content] of binary) assert.ok(Buffer.from(content.bytes).equals(bytes));
    }
  }, LONG);

  test(`what was missed is said again under seal (${mode})`, async (t) => {
    const traffic = await createTraffic(t, { adapter: { ...QUICK, ...adapter }, rate: 67 });
    const sql = connectSql(t, traffic.uri);
    traffic.run();
    for (let kill = 0; kill < 12; kill++) {
      await traffic.more(50);
      const talker = traffic.at(kill % 3);
      const since = performance.now();
      await terminate(sql, kill % 4 === 3 ? "publish" : "listen", talker.uid);
      await hears(talker, "reconnect", since);
    }
    await allReady(traffic);
    const history = await traffic.stop();
    const stats = traffic.talkers.map(({ adapter }) => adapter.stats().received);
    judge(35, traffic, history, {
      mode,
      kills: 12,
      repaired: stats.reduce((sum, { repaired }) => sum + repaired, 0),
      refused: stats.reduce((sum, { refused }) => sum + refused, 0),
    });
    for (const { refused, repaired } of stats) {
      assert.equal(refused, 0);
      assert.ok(repaired > 0);
    }
    assert.deepEqual(traffic.told("error"), []);
  }, LONG);

  test(`a secret is replaced while everyone talks (${mode})`, async (t) => {
    const fleet = new Fleet(t, await databaseUri());
    const start = (secret: string[]) => fleet.start({ ...adapter, secret });
    for (let i = 0; i < 3; i++) await start([SECRET]);
    fleet.run(50);
    await fleet.more(100);
    // All accept the new one before anybody signs with it; nobody signs with the old one when it is given up.
    for (const secret of [[SECRET, OTHER], [OTHER, SECRET], [OTHER]]) {
      for (const member of fleet.open) {
        await fleet.close(member);
        await start(secret);
        await fleet.more(50);
      }
    }
    const found = await fleet.stop();
    record(35, { mode, rotation: "three steps", ...found });
    const { sent: _sent, received: _received, ...faults } = found;
    assert.deepEqual(faults, { lost: 0, doubled: 0, reordered: 0, altered: 0 });
    for (const { told } of fleet.members) {
      assert.deepEqual(told.filter(({ event }) => !event.startsWith("node-")), []);
    }
  }, LONG);

  test(
    `a server without the secret is told so, and has no part in the cluster (${mode})`,
    async (t) => {
      const cluster = await createCluster(t, {
        adapter: { ...adapter, requestsTimeout: 1_000, heartbeatInterval: 300 },
      });
      const stranger = await createNode(
        pgAdapter(cluster.uri, { prefix: cluster.prefix, requestsTimeout: 1_000 }),
      );
      t.after(() => stranger.close());
      const told: PgAdapterError[] = [];
      stranger.adapter.on("error", (error) => told.push(error));
      await stranger.adapter.ready();
      cluster.io(0).emit("inside");
      stranger.io.emit("outside");
      await until("it is told", () => told.length > 0);
      await until(
        "all have refused what it says",
        () => cluster.servers.every(({ adapter }) => adapter.stats().received.refused > 2),
      );
      await cluster.settled();
      assert.equal(told.length, 1);
      assert.equal(told[0]!.code, "MALFORMED_MESSAGE");
      assert.match(told[0]!.message, /sealed payload as this process has no "secret"/);
      assert.deepEqual(stranger.adapter.stats().nodes, []);
      assert.equal((await stranger.io.fetchSockets()).length, 0);
      assert.equal((await cluster.io(0).fetchSockets()).length, 3);
      const errors = cluster.errors.splice(0) as PgAdapterError[];
      assert.deepEqual(errors.map(({ code }) => code), Array(3).fill("UNSIGNED"));
      for (const i of [0, 1, 2]) assert.deepEqual(cluster.inbox(i).events, ["inside"]);
    },
    LONG,
  );

  test(
    `whoever listens reads ${mode === "signed" ? "what is signed only" : "nothing"}`,
    async (t) => {
      const cluster = await createCluster(t, {
        adapter,
        client: { extraHeaders: { "x-token": "tokenofaclient" } },
      });
      const heard = await overhear(await connectStranger(t, cluster.uri), cluster);
      const words = ["wordofamessage", "roomofsomebody", "eventofaserver", "tokenofaclient"];
      await cluster.socket(1).join("roomofsomebody");
      cluster.io(0).emit("event", "wordofamessage");
      cluster.io(0).emit("binary", Buffer.from("wordofamessage"));
      cluster.io(0).in("roomofsomebody").socketsJoin("another");
      cluster.io(0).serverSideEmit("eventofaserver");
      const sockets = await cluster.io(0).fetchSockets();
      assert.equal(
        sockets.filter(({ handshake }) => handshake.headers["x-token"] === "tokenofaclient").length,
        3,
      );
      await cluster.settled();
      await until("the answers were overheard", () => heard.length > 5);
      const all = heard.map(({ payload }) => payload).join("\n");
      const found = words.filter((word) => all.includes(word));
      // Without encryption they are there: so this is where they would be.
      assert.deepEqual(found, mode === "signed" ? words : []);
      const base64 = Buffer.from("wordofamessage").toString("base64").slice(0, 16);
      assert.equal(all.includes(base64), mode === "signed");
    },
    LONG,
  );
}
