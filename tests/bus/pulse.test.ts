import assert from "node:assert/strict";
import { Pulse } from "../../src/bus/pulse.ts";
import { type Scope, test } from "../support/test.ts";
import { until } from "../support/wait.ts";

function createPulse(t: Scope, { interval = 20, firstEcho = 1 } = {}) {
  const counts = { beat: 0, tick: 0, sweep: 0, unheard: 0, deaf: 0, silent: 0 };
  /** When it was told that nothing came back. */
  const unheard: number[] = [];
  const events = Object.fromEntries(
    Object.keys(counts).map((name) => [name, () => void counts[name as keyof typeof counts]++]),
  ) as Record<keyof typeof counts, () => void>;
  const returned: number[] = [];
  /** When it beat. */
  const beats: number[] = [];
  const pulse = new Pulse({ interval, echo: 10_000, firstEcho }, {
    ...events,
    // Ten frames are made between two heartbeats, the heartbeats among them.
    beat: () => {
      beats.push(performance.now());
      return 10 * counts.beat++;
    },
    returned: (milliseconds) => returned.push(milliseconds),
    unheard: () => {
      unheard.push(performance.now());
      events.unheard();
    },
  });
  t.after(() => pulse.stop());
  return { pulse, counts, returned, beats, unheard };
}

test("with one connection only time passes, and nothing is sent or judged", async (t) => {
  const { pulse, counts } = createPulse(t);
  pulse.rest();
  await until("time passes", () => counts.tick >= 5);
  assert.deepEqual({ ...counts, tick: 0 }, {
    beat: 0,
    tick: 0,
    sweep: 0,
    unheard: 0,
    deaf: 0,
    silent: 0,
  });
});

test("with both it beats, and looks after others", async (t) => {
  const { pulse, counts } = createPulse(t);
  pulse.rest();
  pulse.start();
  pulse.echo(1);
  await until("it beats", () => counts.beat >= 2 && counts.sweep >= 2 && counts.tick >= 2);
});

/** One that beats, and has done so: what it waits for is its first heartbeat, which has a number from 1 to 10. */
async function createBeating(t: Scope) {
  const created = createPulse(t);
  created.pulse.start();
  created.pulse.echo(0);
  await until("it beats", () => created.counts.beat > 0);
  return created;
}

test("how long a heartbeat took is told once it is back", async (t) => {
  const { pulse, counts, returned, beats } = await createBeating(t);
  pulse.taken(3);
  assert.deepEqual(returned, []);
  pulse.echo(2);
  assert.deepEqual(returned, []);
  const before = performance.now() - beats[0]!;
  pulse.echo(3);
  pulse.echo(4);
  assert.equal(returned.length, 1);
  assert.ok(returned[0]! >= before, `${returned} of ${before}`);
  const { beat } = counts;
  await until("it beats again", () => counts.beat > beat);
  pulse.taken(1_000);
  pulse.echo(1_000);
  assert.equal(returned.length, 2);
});

test("it is told of one that is back before PostgreSQL says that it has taken it", async (t) => {
  const { pulse, returned, beats } = await createBeating(t);
  const before = performance.now() - beats[0]!;
  pulse.echo(3);
  // A heartbeat is due a moment before it beats.
  const back = performance.now() - beats[0]! + 5;
  await until("some time has passed", () => performance.now() - beats[0]! > back + 5);
  pulse.taken(3);
  assert.equal(returned.length, 1);
  assert.ok(returned[0]! >= before && returned[0]! <= back, `${before}, ${returned}, ${back}`);
});

test("one that waits is told of from when it was due, whatever others were due since", async (t) => {
  const { pulse, counts, returned, beats } = await createBeating(t);
  await until("it beats again", () => counts.beat >= 3);
  const waited = performance.now() - beats[0]!;
  pulse.taken(3);
  pulse.echo(3);
  assert.equal(returned.length, 1);
  assert.ok(returned[0]! >= waited, `${returned} of ${waited}`);
});

test("what was sent before a heartbeat tells nothing of how long that takes", async (t) => {
  const { pulse, counts, returned } = await createBeating(t);
  pulse.taken(3);
  pulse.echo(3);
  const { beat } = counts;
  await until("it beats again", () => counts.beat > beat);
  pulse.taken(8);
  pulse.echo(8);
  assert.equal(returned.length, 1);
  assert.ok(!pulse.isWaiting);
});

test("one that was under way when a connection was lost is not told of", async (t) => {
  const { pulse, returned } = await createBeating(t);
  pulse.taken(3);
  pulse.stop();
  pulse.start();
  pulse.echo(3);
  assert.deepEqual(returned, []);
});

test("what must come back first is waited for from when PostgreSQL has taken it", async (t) => {
  const firstEcho = 400;
  const { pulse, unheard } = createPulse(t, { interval: 50, firstEcho });
  pulse.start();
  const start = performance.now();
  await until("the limit has passed", () => performance.now() - start > 2.3 * firstEcho);
  assert.deepEqual(unheard, []);
  pulse.taken(1);
  const taken = performance.now();
  let sequence = 1;
  // What is taken since does not put it off.
  await until("it is told", () => {
    pulse.taken(++sequence);
    return unheard.length > 0;
  });
  assert.ok(unheard[0]! - taken >= firstEcho, `${unheard[0]! - taken}`);
});

test("where nothing is taken it is told all the same, again and again", async (t) => {
  const { pulse, counts } = createPulse(t, { interval: 50, firstEcho: 10 });
  pulse.start();
  await until("it is told twice", () => counts.unheard >= 2);
  pulse.echo(1);
  const { unheard, beat } = counts;
  await until("it beats", () => counts.beat > beat);
  assert.equal(counts.unheard, unheard);
});
