/** Every way out of SQL, from the database to clients of two servers: as it is, signed, and where servers encrypt. */
import assert from "node:assert/strict";
import { createSqlCluster } from "../support/sql_functions.ts";
import { test } from "../support/test.ts";
import { next } from "../support/wait.ts";

const secret = "known to servers and to SQL alike";

const SURROUNDINGS = [
  { name: "without a secret", adapter: {}, max: 1_000_000 },
  { name: "signed", adapter: { secret }, max: 1_000_000 },
  { name: "signed, where servers encrypt", adapter: { secret, encrypt: true }, max: 7_000 },
];

for (const { name, adapter, max } of SURROUNDINGS) {
  test(`every function and trigger reaches clients of both servers (${name})`, async (t) => {
    const at = await createSqlCluster(t, { clients: 2, adapter });
    const { cluster, sql } = at;
    if ("secret" in adapter) {
      await sql`select socketio.set_secret(${secret}, encrypt => ${"encrypt" in adapter})`;
    }
    /** The clients, who are 0 and 1 on the first server, 2 and 3 on the second one. */
    const members = async (room: string) => {
      await at.settled();
      return [...cluster.clients.keys()].filter((i) => cluster.socket(i).rooms.has(room));
    };
    const everyone = <Args>(...args: Args[]) => [0, 1, 2, 3].map(() => [args]);
    for (const i of [1, 2]) await cluster.socket(i).join("some");
    /** What both clients in the room get. */
    const some = <Args>(...events: Args[]) =>
      [0, 1, 2, 3].map((i) => i === 1 || i === 2 ? events.map((event) => [event]) : []);

    await sql`select socketio.emit('all', '[1, {"a": "ü"}]')`;
    assert.deepEqual(await at.received("all"), everyone<unknown>(1, { a: "ü" }));
    await sql`select socketio.emit('some', '2', '{some}')`;
    assert.deepEqual(await at.received("some"), some(2));
    const [row] = await sql`select socketio.try_emit('tried', '3') as sent`;
    assert.equal(row?.["sent"], true);
    assert.deepEqual(await at.received("tried"), everyone(3));

    await sql`select socketio.sockets_join('{joined,left}', '{some}')`;
    assert.deepEqual(await members("joined"), [1, 2]);
    await sql`select socketio.sockets_leave('{left}', '{some}')`;
    assert.deepEqual(await members("left"), []);
    assert.deepEqual(await members("joined"), [1, 2]);

    const asked: unknown[] = [];
    for (const i of [0, 1]) cluster.io(i).on("ask", (n: number) => asked.push([i, n]));
    await sql`select socketio.server_side_emit('ask', '[7]')`;
    await at.settled();
    assert.deepEqual(asked.sort(), [[0, 7], [1, 7]]);

    await sql.unsafe(`
      create table notes (id integer primary key, room text, data jsonb);
      create trigger for_rows after insert or update or delete on notes for each row execute function
        socketio.emit_changes('row:{op}', '{room}', '{"columns":["id","data"]}');
      create trigger for_statements after insert on notes referencing new table as added
        for each statement execute function
        socketio.emit_changes('rows:{op}', '{room}', '{"columns":["id"]}')`);
    const data = { text: "é🙂".repeat(Math.floor(max / 6)), list: [1, null, true] };
    await sql`insert into notes values (1, 'some', ${
      JSON.stringify(data)
    }::text::jsonb), (2, 'some', '2')`;
    await sql`update notes set data = '3' where id = 2`;
    await sql`delete from notes where id = 2`;
    const change = (op: string, more: object) => ({
      op,
      schema: "public",
      table: "notes",
      ...more,
    });
    assert.deepEqual(
      await at.received("row:insert"),
      some(
        change("insert", { row: { id: 1, data } }),
        change("insert", { row: { id: 2, data: 2 } }),
      ),
    );
    assert.deepEqual(
      await at.received("row:update"),
      some(change("update", { row: { id: 2, data: 3 } })),
    );
    assert.deepEqual(
      await at.received("row:delete"),
      some(change("delete", { row: { id: 2, data: 3 } })),
    );
    assert.deepEqual(
      await at.received("rows:insert"),
      some(change("insert", { rows: [{ id: 1 }, { id: 2 }] })),
    );

    const gone = [1, 2].map((i) => next(cluster.client(i), "disconnect"));
    await sql`select socketio.disconnect_sockets('{some}')`;
    for (const [reason] of await Promise.all(gone)) assert.equal(reason, "io server disconnect");
    await sql`select socketio.emit('rest')`;
    await at.settled();
    for (const i of [0, 3]) assert.deepEqual(cluster.inbox(i).of("rest"), [[]]);
    assert.deepEqual(cluster.errors, []);
  });
}
