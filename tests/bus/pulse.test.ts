import assert from "node:assert/strict";
import { Pulse } from "../../src/bus/pulse.ts";
import { type Scope, test } from "../support/test.ts";
import { until } from "../support/wait.ts";

function createPulse(t: Scope) {
  const counts = { beat: 0, tick: 0, sweep: 0, unheard: 0, deaf: 0, silent: 0 };
  const events = Object.fromEntries(
    Object.keys(counts).map((name) => [name, () => void counts[name as keyof typeof counts]++]),
  ) as Record<keyof typeof counts, () => void>;
  const pulse = new Pulse({ interval: 20, echo: 10_000, firstEcho: 1 }, events);
  t.after(() => pulse.stop());
  return { pulse, counts };
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
