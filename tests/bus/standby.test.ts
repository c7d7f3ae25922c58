import assert from "node:assert/strict";
import { pgAdapter } from "../../mod.ts";
import { startPostgres } from "../support/postgres.ts";
import { test } from "../support/test.ts";

test("a standby is refused by name, with the remedy", async (t) => {
  const postgres = await startPostgres({ standby: true });
  t.after(() => postgres.stop());
  const adapter = pgAdapter(postgres.uri);
  t.after(() => adapter.close());
  const errors: string[] = [];
  adapter.on("error", ({ code }) => errors.push(code));
  await assert.rejects(adapter.ready(), {
    code: "STANDBY",
    message: new RegExp(
      `127.0.0.1:${postgres.port}.* it is a standby.* the address of the primary`,
    ),
  });
  await assert.rejects(adapter.ready(), { code: "STANDBY" });
  assert.deepEqual(errors, ["STANDBY"]);
}, { deadline: 60_000 });
