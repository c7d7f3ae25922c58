/** Traffic without any fault: the base line of all other tests here. */
import assert from "node:assert/strict";
import { record } from "../support/figures.ts";
import { verify } from "../support/history.ts";
import { test } from "../support/test.ts";
import { createTraffic } from "../support/traffic.ts";

for (const proxied of [false, true]) {
  test(`without faults everything arrives once, in order, ${proxied ? "through proxies" : "directly"}`, async (t) => {
    const traffic = await createTraffic(t, { proxied, rate: 200 });
    const start = performance.now();
    traffic.run();
    await traffic.more(1_000);
    const running = performance.now() - start;
    const found = verify(await traffic.stop());
    assert.ok(found.expected === found.sent * 3 && found.received === found.expected);
    assert.deepEqual(traffic.told("disconnect"), []);
    record(0, { running, sent: found.sent });
  });
}
