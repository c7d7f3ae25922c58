import assert from "node:assert/strict";
import { pgAdapter, PgAdapterError, type PgAdapterOptions } from "../../mod.ts";
import { test } from "../support/test.ts";

const URI = "postgresql://u@127.0.0.1:1/db";

/** Values that an option must refuse; each message must name the option. */
const REFUSED: Record<string, unknown[]> = {
  uri: [7, true, {}, null, ["postgresql://"]],
  listen: [7, {}, null],
  publish: [7, {}, null],
  prefix: [7, null, {}, "", "nul \0", "lone \ud800", "x".repeat(64), "ü".repeat(32)],
  heartbeatInterval: ["5000", null, NaN, Infinity, 0, -1, 1.5, 2 ** 31],
  heartbeatTimeout: ["5000", null, NaN, Infinity, 0, -1, 1.5, 2 ** 31, 5_000, 100],
  requestsTimeout: ["5000", null, NaN, Infinity, 0, -1, 1.5, 2 ** 31],
  subscriptionMode: ["both", "", 1, null, true],
  maxRoomChannels: ["1000", null, NaN, Infinity, -1, 1.5],
  maxPayload: ["1000", null, NaN, Infinity, 0, -1, 1.5],
  secret: [
    "",
    "sekret-of-15-ch",
    `sekret ${"\ud800".repeat(16)}`,
    1234567890123456,
    true,
    null,
    {},
    [],
    [["sekret-of-16-chr"]],
    ["sekret-of-16-chr", "sekret"],
    ["sekret-of-16-chr", undefined],
    new Uint8Array(15),
    new ArrayBuffer(32),
  ],
  encrypt: [true, "true", 1, null],
  redactHandshake: ["true", 1, null, {}, []],
  recovery: [true, "durable", 1, null, [], { durable: "yes" }, { durable: null }, {
    Durable: true,
  }],
  tracing: [true, "otel", 1, null, {}, [], { send: 1 }, { send: () => undefined, receive: "x" }],
};

for (const [name, values] of Object.entries(REFUSED)) {
  test(`option ${name}: what is no ${name} is refused by name`, () => {
    for (const value of values) {
      const options = { uri: URI, [name]: value } as PgAdapterOptions;
      assert.throws(() => pgAdapter(options), (error: unknown) => {
        assert.ok(error instanceof PgAdapterError, String(error));
        assert.equal(error.code, "INVALID_OPTION");
        assert.ok(error.message.includes(name), error.message);
        if (name === "secret") {
          assertSecret(error, "sekret");
          assertSecret(error, "1234567890");
        } else if (typeof value === "number") assert.ok(error.message.includes(String(value)));
        return true;
      });
    }
  });
}

test("secrets of all forms are taken, with and without encryption", async () => {
  const text = "x".repeat(16);
  for (const secret of [text, new Uint8Array(16), [text], [text, new Uint8Array(32)]]) {
    for (const encrypt of [undefined, false, true]) {
      await pgAdapter(URI, { secret, encrypt }).close();
    }
  }
  await pgAdapter(URI, { secret: undefined, encrypt: false }).close();
});

test("an unknown option is refused by name, and the known ones are listed", () => {
  for (const name of ["channelprefix", "Prefix", "heartbeatinterval"]) {
    const options = { [name]: 1 } as PgAdapterOptions;
    for (const make of [() => pgAdapter(URI, options), () => pgAdapter({ uri: URI, ...options })]) {
      assert.throws(make, (error: unknown) => {
        assert.ok(error instanceof PgAdapterError);
        assert.equal(error.code, "INVALID_OPTION");
        assert.ok(error.message.includes(name) && error.message.includes("heartbeatInterval"));
        return true;
      });
    }
  }
});

test("arguments that are no target and no options are refused", () => {
  for (const value of [7, true, null, [], Symbol("x"), () => {}]) {
    const target = value as PgAdapterOptions;
    assert.throws(() => pgAdapter(target), { code: "INVALID_OPTION" }, String(value));
  }
  for (const value of [7, "socket.io", true, []]) {
    const options = value as PgAdapterOptions;
    assert.throws(() => pgAdapter(URI, options), { code: "INVALID_OPTION" }, String(value));
  }
});

test("a malformed connection string is refused, and its password stays a secret", () => {
  for (
    const uri of [
      "",
      "localhost",
      "mysql://u:sekret@localhost/db",
      "http://u:sekret@localhost/db",
      "postgresql:/u:sekret@localhost/db",
      "postgresql://u:sekret@localhost:port/db",
      "postgresql://u:sekret@localhost:99999/db",
      "postgresql://u:se%kret@localhost/db",
      "postgresql://u:sekret@[::1/db",
      "://u:sekret@",
      "u:sekret@localhost",
      "u:hu/sekret@localhost/db",
      "host=localhost user=u password=sekret dbname=db",
      "host=localhost password = 'sekret'",
      "host=localhost password='a \\' sekret'",
      "postgresql://localhost:bad/db?sslpassword=sekret",
      "postgresql://localhost:bad/db?user=u&password=sekret",
      "mysql://u:hu/sekret@localhost/db",
    ]
  ) {
    for (
      const make of [
        () => pgAdapter(uri),
        () => pgAdapter({ uri }),
        () => pgAdapter(URI, { listen: uri }),
        () => pgAdapter(URI, { publish: uri }),
      ]
    ) {
      assert.throws(make, (error: unknown) => {
        assert.ok(error instanceof PgAdapterError, `${uri}: ${error}`);
        assert.equal(error.code, "INVALID_URI", error.message);
        assert.match(error.message, /postgresql:\/\/\[user/);
        assertSecret(error, "sekret");
        assertSecret(error, "se%kret");
        return true;
      }, uri);
    }
  }
});

/** Nowhere in an error, its cause or what a log shows of it. */
function assertSecret(error: unknown, secret: string): void {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const shown = [at.message, at.stack, JSON.stringify(at)].join("\n");
    assert.ok(!shown.includes(secret), shown);
  }
}
