/** The connection that listens, and what it tells of channels. */
import assert from "node:assert/strict";
import { PgAdapterError } from "../../mod.ts";
import { Listener } from "../../src/bus/listener.ts";
import { Presence } from "../../src/bus/presence.ts";
import { connectionSettings } from "../../src/bus/settings.ts";
import { createUid } from "../../src/wire/frame.ts";
import { uniquePrefix } from "../support/cluster.ts";
import { databaseUri } from "../support/database.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

test("a channel whose connection is lost before it is left is told of as left", async (t) => {
  const [uid, prefix] = [createUid(), uniquePrefix()];
  const unlistened: string[] = [];
  let [ups, downs] = [0, 0];
  const listener = new Listener(
    uid,
    new Presence(prefix, uid),
    `${prefix}~${uid}`,
    connectionSettings(await databaseUri()),
    { connect: 5_000, statement: 5_000, isOwn: true },
    {
      up: () => void ups++,
      down: () => void downs++,
      failed: () => {},
      error: () => {},
      notification: () => {},
      opening: () => 1,
      listening: () => {},
      unlistened: (channel) => unlistened.push(channel),
    },
  );
  t.after(() => listener.close());
  listener.start();
  const channels = [`${prefix}left`, `${prefix}leaving`, `${prefix}stays`] as const;
  for (const channel of channels) listener.listen(channel);
  await until("it listens", () => ups === 1);
  unlistened.length = 0;
  listener.unlisten(channels[1]);
  // UNLISTEN of the second is under way, that of the first is not.
  await Promise.resolve();
  listener.unlisten(channels[0]);
  listener.replace(new PgAdapterError("CONNECTION_LOST", "Lost for the test"));
  await until("it listens again", () => ups === 2);
  assert.equal(downs, 1);
  assert.deepEqual(new Set(unlistened), new Set([channels[0], channels[1]]));
  assert.equal(unlistened.length, 2);
});
