import assert from "node:assert/strict";
import { PgAdapter, type PgAdapterOptions } from "../../mod.ts";
import { createCluster } from "../support/cluster.ts";
import { listenTo } from "../support/sql.ts";
import { test } from "../support/test.ts";
import { until, within } from "../support/wait.ts";

const CLIENT = {
  auth: { token: "sekret-auth" },
  query: { name: "mia" },
  extraHeaders: {
    Cookie: "sid=sekret-cookie",
    "Set-Cookie": "sid=sekret-set-cookie",
    Authorization: "Bearer sekret-bearer",
    "Proxy-Authorization": "Basic sekret-proxy",
    "x-custom": "abc",
  },
};

type Redact = NonNullable<PgAdapterOptions["redactHandshake"]>;

/** Two servers; a client of the second one has credentials in its handshake. */
async function withCredentials(t: Parameters<typeof createCluster>[0], redactHandshake?: Redact) {
  const { auth, ...client } = CLIENT;
  const cluster = await createCluster(t, {
    size: 2,
    client,
    adapter: { redactHandshake, requestsTimeout: 60_000 },
  });
  // That is where it gets what a client gives as `auth`.
  Object.assign(cluster.socket(1).handshake, { auth });
  const { id } = cluster.socket(1);
  const fetch = async () => {
    const [remote] = await within(
      10_000,
      "fetchSockets()",
      cluster.io(0).in(id).fetchSockets(),
    );
    assert.ok(remote);
    return remote.handshake as unknown as Record<string, unknown>;
  };
  return { cluster, fetch };
}

test("without redactHandshake other servers get the whole handshake", async (t) => {
  for (const redact of [undefined, false]) {
    const { cluster, fetch } = await withCredentials(t, redact);
    assert.deepEqual(await fetch(), JSON.parse(JSON.stringify(cluster.socket(1).handshake)));
    assert.match(JSON.stringify(await fetch()), /sekret-auth/);
  }
});

test("with redactHandshake credentials do not travel, and the rest does", async (t) => {
  const { cluster, fetch } = await withCredentials(t, true);
  const { adapter } = cluster.io(0).of("/");
  assert.ok(adapter instanceof PgAdapter);
  const heard = await listenTo(t, cluster.uri, [`${cluster.prefix}:~${adapter.uid}`]);
  const isAnswer = ({ payload }: { payload: string }) => payload.includes('"x-custom":"abc"');
  const { handshake } = cluster.socket(1);
  const before = structuredClone(handshake);
  const headers = Object.entries(handshake.headers)
    .filter(([name]) =>
      !["cookie", "set-cookie", "authorization", "proxy-authorization"].includes(name)
    );
  assert.equal(Object.keys(handshake.headers).length - headers.length, 4);
  const remote = await fetch();
  assert.deepEqual(
    remote,
    JSON.parse(
      JSON.stringify({ ...handshake, headers: Object.fromEntries(headers), auth: {} }),
    ),
  );
  assert.equal((remote["headers"] as Record<string, string>)["x-custom"], "abc");
  assert.deepEqual(handshake, before, "the handshake itself is as it was");
  await until("the answer has travelled", () => heard.some(isAnswer));
  const travelled = heard.map(({ payload }) => payload).join("\n");
  assert.doesNotMatch(travelled, /sekret/);
});

test("names of headers are compared in any case", async (t) => {
  const { cluster, fetch } = await withCredentials(t, true);
  Object.assign(cluster.socket(1).handshake, {
    headers: { COOKIE: "sekret", "Proxy-AUTHORIZATION": "sekret", "X-Cookie": "stays" },
  });
  assert.deepEqual((await fetch())["headers"], { "X-Cookie": "stays" });
});

test("a function maps a copy, whatever it does to it", async (t) => {
  const { cluster, fetch } = await withCredentials(t, (handshake) => {
    const { auth, headers } = handshake as { auth: Record<string, unknown>; headers: object };
    delete (auth["deep"] as Record<string, unknown>)["token"];
    for (const name of Object.keys(headers)) Reflect.deleteProperty(headers, name);
    return { auth, headers, own: 1 };
  });
  const { handshake } = cluster.socket(1);
  const self: Record<string, unknown> = {};
  Object.assign(self, { self });
  Object.assign(handshake, { auth: { deep: { token: "sekret", id: 7 } }, self });
  assert.deepEqual(await fetch(), { auth: { deep: { id: 7 } }, headers: {}, own: 1 });
  assert.deepEqual(handshake.auth, { deep: { token: "sekret", id: 7 } });
  assert.equal(handshake.headers["x-custom"], "abc");
});

test("when the function fails, so does the request, soon, and nothing of the handshake travels", async (t) => {
  const failures: Redact[] = [
    (handshake) => {
      throw new Error(JSON.stringify(handshake));
    },
    () => undefined as unknown as Record<string, unknown>,
    () => "text" as unknown as Record<string, unknown>,
    () => [] as unknown as Record<string, unknown>,
  ];
  for (const redact of failures) {
    const { cluster, fetch } = await withCredentials(t, redact);
    await assert.rejects(fetch(), (error: Error & { code?: string }) => {
      assert.equal(error.code, "REQUEST_FAILED");
      assert.match(error.message, /redactHandshake/);
      assert.doesNotMatch(error.message, /sekret/);
      return true;
    });
    const [reported, ...rest] = cluster.errors.splice(0) as (Error & { code?: string })[];
    assert.equal(reported?.code, "HANDLER_FAILED");
    assert.deepEqual(rest, []);
  }
});

test("sockets of the own server keep their handshake", async (t) => {
  const { cluster } = await withCredentials(t, true);
  const [local] = await cluster.io(1).in(cluster.socket(1).id).fetchSockets();
  assert.equal(local?.handshake.headers.cookie, "sid=sekret-cookie");
});
