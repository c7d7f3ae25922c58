/** Servers of another version of the protocol in the same database. */
import assert from "node:assert/strict";
import type { PgAdapterError } from "../../mod.ts";
import { frame, notifyAll, record as item } from "../hostile/stranger.ts";
import { record } from "../support/figures.ts";
import { judge } from "../support/outage.ts";
import { connectSql } from "../support/sql.ts";
import { test } from "../support/test.ts";
import { createTraffic, QUICK } from "../support/traffic.ts";

const LONG = { deadline: 60_000 };

test("frames of another version are told once, and disturb nothing", async (t) => {
  const traffic = await createTraffic(t, { adapter: QUICK, rate: 67 });
  const sql = connectSql(t, traffic.uri);
  traffic.run();
  await traffic.more(50);
  const [first, ...others] = traffic.talkers.map(({ uid }) => uid);
  const body = item({ t: 3, n: "/" }, '2["n","stranger",0,""]');
  const payloads = [
    frame(body),
    frame(body, { sequence: 1_000_000, previous: 999_999 }),
    frame("", { kind: "b" }),
    frame(body, { uid: first!, sequence: 1_000_000, previous: 999_999 }),
    frame(body, { kind: "c", chunk: { index: 0, count: 3 } }),
  ].map((payload) => `2${payload.slice(1)}`);
  // What a later version does with its frames is not known: kinds that there are not yet, other heads.
  payloads.push(`2z${first}~~`, `3r${others[0]}`, `2r${"f".repeat(16)}:${"x".repeat(7_000)}`);
  const channels = ["/", "/second", "~"].map((name) => `${traffic.prefix}:${name}`);
  const before = traffic.talkers.map(({ adapter }) => adapter.stats().received.malformed);
  const times = 50;
  for (let i = 0; i < times; i++) {
    await notifyAll(
      sql,
      channels.flatMap((channel) => payloads.map((payload) => ({ channel, payload }))),
    );
  }
  await traffic.more(50);
  const history = await traffic.stop();
  judge(36, traffic, history, { strange: times * channels.length * payloads.length });
  traffic.talkers.forEach((talker, i) => {
    const errors = traffic.told("error", 0, [talker]).map(({ detail }) => detail as PgAdapterError);
    assert.deepEqual(errors.map(({ code }) => code), ["WIRE_VERSION"]);
    assert.match(errors[0]!.message, /version "[23]" as this process speaks version "1"/);
    const count = talker.adapter.stats().received.malformed - before[i]!;
    // A server does not look into what bears its own name.
    const own = payloads.filter((payload) => payload.startsWith(talker.uid, 2)).length;
    assert.ok(count <= times * channels.length * payloads.length);
    assert.ok(count >= times * channels.length * (payloads.length - own));
  });
  assert.deepEqual(traffic.told("disconnect"), []);
  assert.deepEqual(traffic.told("node-up").length, traffic.told("node-up").length);
  record(36, { errors: 3 });
}, LONG);
