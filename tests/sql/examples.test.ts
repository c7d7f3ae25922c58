/** The examples for SQL and for Python, as they stand in examples/. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createSqlCluster } from "../support/sql_functions.ts";
import { test } from "../support/test.ts";

const folder = new URL("../../examples/", import.meta.url);
const emitter = fileURLToPath(new URL("emitter.py", folder));

/** Debian's Python has Debian's client; another one may have it, too. */
const python = ["/usr/bin/python3", "python3"].find((command) =>
  spawnSync(command, ["-c", "import psycopg2"]).status === 0
);
const skip = python === undefined && "needs Python with psycopg2 (Debian: python3-psycopg2)";

/** Runs Python code beside emitter.py, or emitter.py itself; fails with what it says. */
function run(...args: string[]): void {
  const { status, stderr } = spawnSync(python!, args, {
    cwd: fileURLToPath(folder),
    encoding: "utf8",
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1" },
  });
  if (status !== 0) throw new Error(stderr);
}

test("trigger.sql", async (t) => {
  const at = await createSqlCluster(t);
  await at.cluster.socket(0).join("customer:7");
  await at.cluster.socket(1).join("staff");
  await at.sql.unsafe(readFileSync(new URL("trigger.sql", folder), "utf8"));
  await at.sql`insert into orders (customer_id, internal_note) values (7, 'difficult'), (8, null)`;
  await at.sql`update orders set status = 'paid'`;
  await at.sql`delete from orders`;
  const table = { schema: "public", table: "orders" };
  const row = { id: 1, status: "open" }, paid = { id: 1, status: "paid" };
  assert.deepEqual(await at.received("order:insert"), [[[{ op: "insert", ...table, row }]], []]);
  assert.deepEqual(await at.received("order:update"), [
    [[{ op: "update", ...table, row: paid, old: { status: "open" } }]],
    [],
  ]);
  assert.deepEqual(await at.received("order:delete"), [
    [[{ op: "delete", ...table, row: paid }]],
    [],
  ]);
  const rows = [{ ...row, customer_id: 7 }, { id: 2, status: "open", customer_id: 8 }];
  assert.deepEqual(await at.received("orders:new"), [[], [[{ op: "insert", ...table, rows }]]]);
});

test("emitter.py has at most 60 lines, and is called as it says", async (t) => {
  assert.ok(readFileSync(emitter, "utf8").trimEnd().split("\n").length <= 60);
  const at = await createSqlCluster(t);
  await at.cluster.socket(1).join("news");
  const { uri, prefix } = at.cluster;
  run(emitter, uri, "--prefix", prefix, "--to", "news", "headline", '{"text": "It wörks"}', "7");
  run(emitter, uri, "--prefix", prefix, "all");
  assert.deepEqual(await at.received("headline"), [[], [[{ text: "It wörks" }, 7]]]);
  assert.deepEqual(await at.receivers("all"), [0, 1]);
}, { skip });

for (const namespace of ["/", "/chat", `/${"long".repeat(30)}`]) {
  test(
    `emitter.py: rooms, large payloads, order and transactions: ${namespace.slice(0, 8)}`,
    async (t) => {
      const at = await createSqlCluster(t, { namespace });
      await at.cluster.socket(1).join("news");
      const code = `
import sys, psycopg2
from emitter import Emitter
uri, prefix, nsp = sys.argv[1:]
connection = psycopg2.connect(uri)
emitter = Emitter(connection, prefix)
for n in range(100):
    emitter.emit("n", n, "é🙂" * (3000 if n % 10 == 0 else n), nsp=nsp)
    emitter.emit("same", nsp=nsp, volatile=False)
emitter.emit("large", "🙂" * 250000, to=["news"], nsp=nsp, compress=True)
emitter.emit("others", "x" * 9000, exclude=["news"], nsp=nsp)
connection.commit()
emitter.emit("rolled back", nsp=nsp)
connection.rollback()
emitter.emit("last", exclude=["news"], nsp=nsp)
connection.commit()
`;
      run("-c", code, at.cluster.uri, at.cluster.prefix, namespace);
      for (const events of await at.received("n")) {
        assert.deepEqual(events.map(([n]) => n), Array.from({ length: 100 }, (_, n) => n));
        assert.ok(
          events.every(([n, text]) => text === "é🙂".repeat(Number(n) % 10 ? Number(n) : 3_000)),
        );
      }
      assert.deepEqual((await at.received("same")).map(({ length }) => length), [100, 100]);
      assert.deepEqual(await at.received("large"), [[], [["🙂".repeat(250_000)]]]);
      assert.deepEqual(await at.receivers("others"), [0]);
      assert.deepEqual(await at.receivers("rolled back"), []);
      assert.deepEqual(await at.receivers("last"), [0]);
    },
    { skip },
  );
}
