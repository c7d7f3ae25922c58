/** What SQL emits, at clients of two servers. */
import assert from "node:assert/strict";
import { createSqlCluster } from "../support/sql_functions.ts";
import { test } from "../support/test.ts";
import { next } from "../support/wait.ts";

test("emit() reaches every client with its arguments: an array is a list of them, anything else is one", async (t) => {
  const at = await createSqlCluster(t, { clients: 2 });
  const { sql } = at;
  await sql`select socketio.emit('none')`;
  await sql`select socketio.emit('several', '[1, null, "ü🎉", {"a": [{"b": 2}]}, 1.50]')`;
  await sql`select socketio.emit('one', '{"a": 1}')`;
  await sql`select socketio.emit('text', to_jsonb('q"\\'::text))`;
  await sql`select socketio.emit('json null', 'null')`;
  await sql`select socketio.emit('null', null)`;
  await sql`select socketio.emit('array', jsonb_build_array(to_jsonb(array[1, 2])))`;
  await sql`select socketio.emit('odd "name" \\ 🎉', '[]')`;
  await sql`select socketio.emit('placeholder', '{"_placeholder": true, "num": 0}')`;
  for (
    const [event, ...args] of [
      ["none"],
      ["several", 1, null, "ü🎉", { a: [{ b: 2 }] }, 1.5],
      ["one", { a: 1 }],
      ["text", 'q"\\'],
      ["json null", null],
      ["null", null],
      ["array", [1, 2]],
      ['odd "name" \\ 🎉'],
      ["placeholder", { _placeholder: true, num: 0 }],
    ] as [string, ...unknown[]][]
  ) {
    assert.deepEqual(await at.received(event), [[args], [args], [args], [args]], event);
  }
});

test("rooms and except_rooms choose the clients", async (t) => {
  const at = await createSqlCluster(t, { clients: 3 });
  const { cluster, sql } = at;
  for (const i of [0, 2, 3]) await cluster.socket(i).join("a");
  for (const i of [3, 5]) await cluster.socket(i).join('b "🎉"');
  const id = cluster.socket(4).id;
  await sql`select socketio.emit('a', rooms => array['a'])`;
  await sql`select socketio.emit('a and b', rooms => array['a', 'b "🎉"'])`;
  await sql`select socketio.emit('a without b', rooms => '{a}', except_rooms => array['b "🎉"'])`;
  await sql`select socketio.emit('neither', except_rooms => array['a', 'b "🎉"'])`;
  await sql`select socketio.emit('one', rooms => array[${id}::text])`;
  await sql`select socketio.emit('nobody', rooms => array['nobody'])`;
  assert.deepEqual(await at.receivers("a"), [0, 2, 3]);
  assert.deepEqual(await at.receivers("a and b"), [0, 2, 3, 5]);
  assert.deepEqual(await at.receivers("a without b"), [0, 2]);
  assert.deepEqual(await at.receivers("neither"), [1, 4]);
  assert.deepEqual(await at.receivers("one"), [4]);
  assert.deepEqual(await at.receivers("nobody"), []);
});

for (const namespace of ["/chat", "/a:b#", `/${"long".repeat(30)}`]) {
  test(`nsp chooses the namespace: ${namespace.slice(0, 20)}`, async (t) => {
    const at = await createSqlCluster(t, { namespace });
    const { cluster, sql } = at;
    await cluster.socket(1).join("b");
    await sql`select socketio.emit('all', nsp => ${namespace})`;
    await sql`select socketio.emit('room', 'null', array['b'], nsp => ${namespace})`;
    await sql`select socketio.emit('large', to_jsonb(repeat('x', 9000)), nsp => ${namespace})`;
    await sql`select socketio.emit('all')`;
    await sql`select socketio.emit('all', nsp => '/other')`;
    assert.deepEqual(await at.receivers("all"), [0, 1]);
    assert.deepEqual(await at.receivers("room"), [1]);
    assert.deepEqual(await at.receivers("large"), [0, 1]);
  });
}

test("a namespace is not taken for the room whose channel has the same name", async (t) => {
  const at = await createSqlCluster(t, { namespace: "/a" });
  await at.cluster.socket(1).join("b");
  await at.sql`select socketio.emit('to /a:b#', nsp => '/a:b#')`;
  assert.deepEqual(await at.receivers("to /a:b#"), []);
});

test("what a transaction emits arrives in order with all its sizes, when it commits, and never when not", async (t) => {
  const at = await createSqlCluster(t);
  const { sql } = at;
  await sql.begin(async (tx) => {
    await tx`
      select socketio.emit('n', jsonb_build_array(n, repeat('é', case when n % 10 = 0 then 9000 else n end)))
      from generate_series(1, 200) as n`;
    await tx`select socketio.emit('n', '[201, ""]')`;
  });
  await assert.rejects(
    sql.begin(async (tx) => {
      await tx`select socketio.emit('rolled back')`;
      await tx`select socketio.emit('rolled back', to_jsonb(repeat('x', 20000)))`;
      await tx`select 1 / 0`;
    }),
    { code: "22012" },
  );
  const expected = Array.from({ length: 201 }, (_, i) => i + 1);
  for (const events of await at.received("n")) assert.deepEqual(events.map(([n]) => n), expected);
  assert.deepEqual(await at.receivers("rolled back"), []);
});

test("equal emits of one transaction all arrive, small and large, also around savepoints", async (t) => {
  const at = await createSqlCluster(t);
  const { sql } = at;
  await sql`select socketio.emit('same', '{"a": 1}') from generate_series(1, 500)`;
  await sql`select socketio.emit('same large', to_jsonb(repeat('x', 9000))) from generate_series(1, 5)`;
  await sql.begin(async (tx) => {
    await tx`select socketio.emit('saved')`;
    await assert.rejects(
      tx.savepoint(async (inner) => {
        await inner`select socketio.emit('saved')`;
        await inner`select 1 / 0`;
      }),
    );
    await tx`select socketio.emit('saved')`;
    await tx.savepoint((inner) => inner`select socketio.emit('saved')`);
    await tx`select socketio.emit('saved')`;
  });
  for (const [event, count] of [["same", 500], ["same large", 5], ["saved", 4]] as const) {
    const received = await at.received(event);
    assert.deepEqual(received.map(({ length }) => length), [count, count], event);
  }
});

test(
  "1 MB and 16 MB arrive, whatever the characters are, and every size around a payload",
  async (t) => {
    const at = await createSqlCluster(t);
    const { sql } = at;
    for (const [character, bytes] of [["x", 1], ["é", 2], ["漢", 3], ["🙂", 4]] as const) {
      const [one, two] = [1, 2].map((payloads) => Math.floor(payloads * 7_999 / bytes)) as [
        number,
        number,
      ];
      const many = 1_000_000 / bytes;
      const sent = await sql<{ n: number }[]>`
      select n, socketio.emit(${character}, to_jsonb(repeat(${character}, n)))
      from (
        select generate_series(${one - 60}::integer, ${one + 10}::integer)
        union all select generate_series(${two - 130}::integer, ${two + 5}::integer)
        union all select ${Math.floor(many)}
      ) as length (n)`;
      for (const events of await at.received(character)) {
        assert.equal(events.length, sent.length);
        events.forEach(([text], i) => assert.ok(text === character.repeat(sent[i]!.n)));
      }
    }
    await sql`select socketio.emit('huge', to_jsonb(repeat('x', 16000000)))`;
    for (const [event] of await at.received("huge")) {
      assert.ok(event?.[0] === "x".repeat(16_000_000));
    }
  },
  { deadline: 60_000 },
);

test("flags reach the engine", async (t) => {
  const at = await createSqlCluster(t, { size: 1 });
  const client = at.cluster.socket(0).client as unknown as {
    writeToEngine(packets: unknown, options: { volatile?: boolean; compress?: boolean }): void;
  };
  const { writeToEngine } = client;
  const flags: unknown[] = [];
  client.writeToEngine = function (packets, options) {
    if (String(packets).includes("flags")) flags.push([options.volatile, options.compress]);
    writeToEngine.call(this, packets, options);
  };
  const { sql } = at;
  await sql`select socketio.emit('flags', flags => '{"volatile": true}')`;
  await sql`select socketio.emit('flags', flags => '{"compress": false}')`;
  await sql`
    select socketio.emit('flags', to_jsonb(repeat('x', 9000)), flags => '{"volatile": true, "compress": true}')`;
  await at.settled();
  assert.deepEqual(flags, [[true, undefined], [undefined, false], [true, true]]);
});

test("sockets_join(), sockets_leave() and disconnect_sockets(), also with more rooms than a payload holds", async (t) => {
  const at = await createSqlCluster(t, { clients: 3 });
  const { cluster, sql } = at;
  const members = async (room: string) => {
    await at.settled();
    return [...cluster.clients.keys()].filter((i) => cluster.socket(i).rooms.has(room));
  };
  const id = cluster.socket(1).id;
  await sql`select socketio.sockets_join('{all}')`;
  await sql`select socketio.sockets_join('{a,b}', array[${id}::text])`;
  assert.deepEqual(await members("all"), [0, 1, 2, 3, 4, 5]);
  assert.deepEqual(await members("b"), [1]);
  await sql`select socketio.sockets_leave('{all}', except_rooms => '{a}')`;
  await sql`select socketio.sockets_leave('{b,unknown}', '{a}')`;
  await sql`select socketio.sockets_leave('{}')`;
  assert.deepEqual(await members("all"), [1]);
  assert.deepEqual(await members("b"), []);
  await sql`select socketio.sockets_join(array(select 'room ' || n from generate_series(1, 2000) as n), '{a}')`;
  assert.deepEqual(await members("room 2000"), [1]);
  await sql`
    select socketio.emit('many', 'null', array(select 'room ' || n from generate_series(1, 2000) as n))`;
  assert.deepEqual(await at.receivers("many"), [1]);
  await sql`select socketio.sockets_leave(array(select 'room ' || n from generate_series(1, 2000) as n), '{a}')`;
  assert.deepEqual(await members("room 1"), []);

  const gone = next(cluster.client(1), "disconnect");
  await sql`select socketio.disconnect_sockets('{a}')`;
  assert.equal((await gone)[0], "io server disconnect");
  const rest = [0, 2, 3, 4, 5].map((i) => next(cluster.client(i), "disconnect"));
  await sql`select socketio.disconnect_sockets(close => true)`;
  await Promise.all(rest);
});

test("server_side_emit() reaches every server, with small and large arguments", async (t) => {
  const at = await createSqlCluster(t, { namespace: "/chat" });
  const seen: unknown[] = [];
  for (const i of [0, 1]) {
    at.cluster.nsp(i).on("ev", (n: number, text: string) => seen.push([i, n, text.length]));
    at.cluster.io(i).on("ev", () => seen.push("wrong"));
  }
  const { sql } = at;
  await sql`select socketio.server_side_emit('ev', '[7, "é"]', '/chat')`;
  await sql`select socketio.server_side_emit('ev', jsonb_build_array(8, repeat('🙂', 9000)), nsp => '/chat')`;
  await at.settled();
  assert.deepEqual(seen.sort(), [[0, 7, 1], [0, 8, 18_000], [1, 7, 1], [1, 8, 18_000]]);
});

test("servers with another parser understand SQL", async (t) => {
  const { default: parser } = await import("socket.io-msgpack-parser");
  const at = await createSqlCluster(t, { server: { parser }, client: { parser } });
  const { sql } = at;
  await sql`select socketio.emit('hello', '{"a": [1]}')`;
  await sql`select socketio.emit('hello', to_jsonb(repeat('x', 9000)))`;
  assert.deepEqual(await at.received("hello"), [
    [[{ a: [1] }], ["x".repeat(9_000)]],
    [[{ a: [1] }], ["x".repeat(9_000)]],
  ]);
});

test("a statement of a thousand large emits leaves nothing behind at the servers", async (t) => {
  const at = await createSqlCluster(t);
  await at
    .sql`select socketio.emit('large', to_jsonb(repeat('x', 16000))) from generate_series(1, 1000)`;
  assert.deepEqual((await at.received("large")).map(({ length }) => length), [1_000, 1_000]);
  for (const i of [0, 1]) {
    const { incomplete, malformed } = at.cluster.adapter(i).stats().received;
    assert.deepEqual([incomplete, malformed], [0, 0]);
    assert.equal(await at.cluster.io(i).of("/").adapter.serverCount(), 2);
  }
});
